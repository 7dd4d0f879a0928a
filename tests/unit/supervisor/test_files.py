"""Files of a cluster's directory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from halab.cluster.apiserver.audit import Audit
from halab.cluster.supervisor.files import bound, exchange, write_private
from halab.cluster.supervisor.prepare import Wish, prepare, write
from halab.errors import MachineError
from halab.settings import halab_home


def test_a_long_log_keeps_its_last_lines_whole_and_its_writer_goes_on(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with open(log, "a", buffering=1) as writer:
        for number in range(1000):
            writer.write(f"line {number}\n")
        assert bound(log, 2000)
        writer.write("next\n")
    lines = log.read_text().splitlines()
    assert lines[-2:] == ["line 999", "next"]
    assert len("\n".join(lines)) < 1100 and all(line.startswith("line ") for line in lines[:-1])


def test_a_short_log_or_none_is_left_alone(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert not bound(log)
    log.write_text("a\n")
    assert not bound(log) and log.read_text() == "a\n"


def test_two_directories_change_places_at_once(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "who").write_text(name)
    exchange(tmp_path / "a", tmp_path / "b")
    assert [(tmp_path / name / "who").read_text() for name in "ab"] == ["b", "a"]
    with pytest.raises(FileNotFoundError):
        exchange(tmp_path / "a", tmp_path / "none")


def test_a_file_that_cannot_be_written_leaves_the_old_one_and_names_the_way_out(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(MachineError):
        write_private(folder, "text")  # a directory is in the way
    assert list(tmp_path.iterdir()) == [folder]


def test_an_audit_log_that_cannot_be_begun_anew_goes_on_in_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    audit = Audit(tmp_path / "audit.log")
    before = audit._file
    with monkeypatch.context() as patch:
        patch.setattr("halab.cluster.apiserver.audit.os.open", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
        with pytest.raises(OSError, match="full"):
            audit._rotate()
    assert audit._file == before
    os.fstat(audit._file)  # still open
    audit._rotate()
    assert audit.path.exists() and audit._file != before
    audit.close()


def test_a_home_too_deep_for_a_database_is_refused_by_name_before_anything_is_made(tmp_path: Path) -> None:
    home = tmp_path.joinpath(*["a-name-of-thirty-three-characters"] * 20)
    with pytest.raises(MachineError, match=r"bytes too long.*set HALAB_HOME to a shorter one"):
        prepare(Wish(home, "default"), lambda _text: None)
    assert list(tmp_path.iterdir()) == []


def test_a_home_with_a_colon_is_refused_as_kubectl_could_not_be_told_of_it(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="holds a colon"):
        prepare(Wish(tmp_path / "a:b", "default"), lambda _text: None)


def test_a_relative_home_is_one_place_wherever_a_process_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HALAB_HOME", "here")
    assert halab_home() == tmp_path / "here"
    monkeypatch.chdir("/")
    assert halab_home() == tmp_path / "here" and os.environ["HALAB_HOME"] == str(tmp_path / "here")


def test_a_relative_state_directory_is_ignored_and_a_user_without_a_home_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HALAB_HOME", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", "state")
    monkeypatch.setenv("HOME", "/home/ada")
    assert halab_home() == Path("/home/ada/.local/state/halab")
    monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("Could not determine home directory.")))
    with pytest.raises(MachineError, match="set HALAB_HOME"):
        halab_home()


def test_keys_that_an_older_version_did_not_make_are_made_and_the_others_kept(tmp_path: Path) -> None:
    made = prepare(Wish(tmp_path, "default"), lambda _text: None)
    made.claim.socket.close()
    folder = made.config.directory / "pki"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    newer = {path.name for path in (made.config.proxy_authority, made.config.proxy_certificate, made.config.proxy_key)}
    for name in newer:
        (folder / name).unlink()
    write(made.config, lambda _text: None)
    after = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert set(after) == set(before)
    assert {name for name in after if after[name] != before[name]} == newer
