"""A snapshot may come from anywhere: nothing is written outside, nothing damaged is taken."""

from __future__ import annotations

import hashlib
import io
import json
import stat
import tarfile
from pathlib import Path

import pytest

from halab.cluster.supervisor.snapshot.restoring import _unpack, read_header
from halab.errors import UsageError

Entry = tuple[str, bytes, str, str]  # name, type, content, link


def archive(path: Path, *entries: Entry, digests: bool = True, mode: int = 0o644) -> Path:
    noted = {}
    with tarfile.open(path, "w") as tar:
        for name, kind, content, link in (("snapshot.json", tarfile.REGTYPE, "{}", ""), *entries):
            member = tarfile.TarInfo(name)
            member.type, member.linkname, member.size = kind, link, len(content) if kind == tarfile.REGTYPE else 0
            member.mode = mode
            tar.addfile(member, io.BytesIO(content.encode()))
            if kind == tarfile.REGTYPE:
                noted[name] = hashlib.sha256(content.encode()).hexdigest()
        if digests:
            member = tarfile.TarInfo("digests.json")
            data = json.dumps(noted).encode()
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def regular(name: str, content: str = "x") -> Entry:
    return name, tarfile.REGTYPE, content, ""


FOLDER: Entry = ("volumes", tarfile.DIRTYPE, "", "")


@pytest.fixture
def staging(tmp_path: Path) -> Path:
    (tmp_path / "staging").mkdir()
    return tmp_path / "staging"


@pytest.mark.parametrize(
    "entries",
    [
        [regular("../evil")],
        [regular("/tmp/evil")],
        [FOLDER, regular("volumes/../../evil")],
        [FOLDER, ("volumes/out", tarfile.SYMTYPE, "", ".."), regular("volumes/out/evil")],
        [FOLDER, ("volumes/evil", tarfile.SYMTYPE, "", "../../evil"), regular("volumes/evil")],
        [FOLDER, ("volumes/hard", tarfile.LNKTYPE, "", "../../secret")],
        [FOLDER, ("volumes/hard", tarfile.LNKTYPE, "", "/etc/passwd")],
        [FOLDER, ("volumes/disk", tarfile.BLKTYPE, "", "")],
        [regular("cluster.json")],
        [regular("volumes-2/x")],
    ],
    ids=lambda entries: entries[-1][0].replace("/", ":"),
)
def test_what_would_be_written_outside_is_refused(tmp_path: Path, staging: Path, entries: list[Entry]) -> None:
    (tmp_path / "secret").write_text("secret")
    with pytest.raises(UsageError, match="is damaged"):
        _unpack(archive(tmp_path / "s", *entries), staging)
    assert not (tmp_path / "evil").exists()
    assert (tmp_path / "secret").stat().st_nlink == 1


def test_links_modes_and_closed_folders_come_back_without_setuid(tmp_path: Path, staging: Path) -> None:
    link: Entry = ("volumes/now", tarfile.SYMTYPE, "", "/data/v1")
    hard: Entry = ("volumes/same", tarfile.LNKTYPE, "", "volumes/tool")
    _unpack(archive(tmp_path / "s", FOLDER, regular("volumes/tool"), link, hard, mode=0o4555), staging)
    assert (staging / "volumes/now").readlink() == Path("/data/v1")
    assert (staging / "volumes/tool").stat().st_nlink == 2
    assert stat.S_IMODE((staging / "volumes/tool").stat().st_mode) == 0o555
    assert stat.S_IMODE((staging / "volumes").stat().st_mode) == 0o555
    (staging / "volumes").chmod(0o755)


def test_a_file_that_is_cut_off_or_changed_is_damaged(tmp_path: Path, staging: Path) -> None:
    whole = archive(tmp_path / "s", regular("state.db", "the state " * 500))
    data = whole.read_bytes()
    for number, spoiled in enumerate((data[:3000], data[:6900], data.replace(b"the state", b"THE STATE", 1))):
        place = staging / str(number)
        place.mkdir()
        whole.write_bytes(spoiled)
        with pytest.raises(UsageError, match="is damaged"):
            _unpack(whole, place)


def test_a_file_without_its_end_is_damaged(tmp_path: Path, staging: Path) -> None:
    with pytest.raises(UsageError, match="its end is missing"):
        _unpack(archive(tmp_path / "s", regular("state.db"), digests=False), staging)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x1f\x8b\x08", b"\0" * 10240])
def test_what_is_no_snapshot_says_so(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "s").write_bytes(content)
    with pytest.raises(UsageError, match="is not a halab snapshot; give a file"):
        read_header(tmp_path / "s")


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        read_header(tmp_path / "none")
