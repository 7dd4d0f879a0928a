"""The scripts that stand in for what a machine's busybox lacks, run around a busybox that only says how it was called."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from halab.images.bases.busybox_gaps import GAPS, scripts


@pytest.fixture
def around(tmp_path: Path) -> Path:
    fake = tmp_path / "busybox"
    fake.write_text(
        '#!/bin/sh\n[ "$2" = --help ] && exit 1\n[ "$1" = tr ] && exec tr "$2" "$3"\n[ -z "$HANG" ] || exit 142\nprintf "[%s]" "$@"\n'
    )
    fake.chmod(0o755)
    for name, text in scripts(fake, ("wget", "nc"), tmp_path).items():
        (tmp_path / name).write_text(text)
    return tmp_path


def call(around: Path, *words: str, hang: str = "") -> tuple[int, str, str]:
    done = subprocess.run(
        ["sh", str(around / words[0]), *words[1:]], capture_output=True, text=True, env={"PATH": "/usr/bin:/bin", "HANG": hang}
    )
    return done.returncode, done.stdout.replace(str(around / "busybox"), "BB"), done.stderr


@pytest.mark.parametrize(
    ("words", "called"),
    [
        (("-qO-", "http://web/"), "[wget][-qO-][http://web/]"),
        (("-T", "2", "-qO-", "http://web/"), "[timeout][-s][ALRM][2][BB][wget][-qO-][http://web/]"),
        (("-qO-", "-T2", "http://web/"), "[timeout][-s][ALRM][2][BB][wget][-qO-][http://web/]"),
        (("-qT", "3", "-O", "-", "http://web/"), "[timeout][-s][ALRM][3][BB][wget][-q][-O][-][http://web/]"),
        (("--timeout=1", "--spider", "http://web/"), "[timeout][-s][ALRM][1][BB][wget][--spider][http://web/]"),
        (("--timeout", "1", "-O", "T2", "http://web/"), "[timeout][-s][ALRM][1][BB][wget][-O][T2][http://web/]"),
        (("-T", "0", "--header", "Host: -T 5", "http://web/"), "[wget][--header][Host: -T 5][http://web/]"),
    ],
)
def test_wgets_time_limit_is_taken_out_of_its_arguments(around: Path, words: tuple[str, ...], called: str) -> None:
    assert call(around, "wget", *words) == (0, called, "")


def test_a_download_that_takes_too_long_is_told_in_wgets_words(around: Path) -> None:
    assert call(around, "wget", "-T", "1", "http://web/", hang="yes") == (1, "", "wget: download timed out\n")


@pytest.mark.parametrize(
    ("words", "called"),
    [
        (("web", "80"), "[nc][web][80]"),
        (("-l", "-p", "80", "-e", "cat"), "[nc][-l][-p][80][-e][cat]"),
        (("-z", "-w", "2", "web", "80"), "[nc][-w][2][web][80][-e][true]"),
    ],
)
def test_ncs_scan_is_a_connection_that_ends_at_once(around: Path, words: tuple[str, ...], called: str) -> None:
    assert call(around, "nc", *words) == (0, called, "")


def test_an_open_port_is_told_when_asked(around: Path) -> None:
    assert call(around, "nc", "-zv", "web", "80") == (0, "[nc][web][80][-e][true]", "web (web:80) open\n")


def test_a_busybox_that_has_it_all_needs_no_script(tmp_path: Path) -> None:
    whole = tmp_path / "busybox"
    whole.write_text("#!/bin/sh\necho " + " ".join(f"'{told}'" for told, _ in GAPS.values()) + "\n")
    whole.chmod(0o755)
    assert not scripts(whole, ("wget", "nc"), tmp_path)
