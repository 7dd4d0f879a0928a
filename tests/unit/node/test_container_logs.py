"""Logs on a disk that is full: lines are lost, never the program, and never another file's content."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from halab.cluster.node.logs import MAX_BYTES, LogWriter
from halab.images.containers import logs as image_logs

ROOM = 4096


@pytest.fixture
def no_room() -> Iterator[None]:
    """Files cannot grow beyond 4 KiB: a write there is partial, the next one fails, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    former = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    signal.signal(signal.SIGXFSZ, former)


def test_a_container_whose_log_cannot_grow_is_still_heard_to_its_end(tmp_path: Path, no_room: None) -> None:
    told = []
    log = LogWriter(tmp_path / "log")
    log.listeners.add(lambda: told.append(1))
    for number in range(200):
        log.write(b"stdout", f"line {number} {'x' * 80}\n".encode())
    log.write(b"stderr", b"no newline")
    log.close()
    assert len(told) == 202
    lines = (tmp_path / "log").read_bytes().splitlines()
    assert 10 < len(lines) < 40 and all(line.endswith((b"x", b"no newline")) for line in lines)


def test_a_log_that_cannot_be_turned_over_goes_on_in_its_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = LogWriter(tmp_path / "log")
    log._size = MAX_BYTES + 1
    with monkeypatch.context() as patch:
        patch.setattr(log, "_open", lambda: (_ for _ in ()).throw(OSError(28, "full")))
        log.write(b"stdout", b"lost\n")
    os.fstat(log._file)
    log.write(b"stdout", b"kept\n")
    log.close()
    assert (tmp_path / "log").read_bytes().endswith(b"kept\n")


def test_an_image_containers_log_drops_what_does_not_fit(tmp_path: Path, no_room: None) -> None:
    log = image_logs.Writer(tmp_path)
    for number in range(200):
        log.write("stdout", f"line {number}\n")
    kept = image_logs.read(tmp_path)
    assert [line.text for line in kept] == [f"line {number}\n" for number in range(len(kept))]
    assert 10 < len(kept) < 100
