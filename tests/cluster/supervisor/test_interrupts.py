"""Ctrl-C, SIGTERM and SIGKILL at any moment: nothing is left behind, and the same command works afterwards."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from cluster.small_disk import mounted
from halab.cluster.supervisor import manage
from halab.settings import cluster_directory

from .conftest import everyone

STEPS = ("taking an address range", "making certificates", "starting apiserver", "starting controllers", "waiting for")


def start(*arguments: str) -> subprocess.Popen[str]:
    """The command in a process group of its own, as a terminal's job is."""
    command = [sys.executable, "-u", "-m", "halab.cli", *arguments]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True, env=os.environ | {"CI": "1"}
    )


def command_of(pid: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""  # it has ended meanwhile


def lines_until(stream: IO[str] | None, words: str) -> Iterator[str]:
    assert stream is not None
    for line in stream:
        yield line
        if words in line:
            return
    raise AssertionError(f"{words!r} was never said")


@pytest.mark.parametrize("step", STEPS)
def test_ctrl_c_at_any_step_of_up_leaves_nothing_and_the_next_up_works(halab_home: Path, step: str) -> None:
    with start("up", "--nodes", "1") as process:
        list(lines_until(process.stdout, step))
        os.killpg(process.pid, signal.SIGINT)
        assert process.stdout is not None
        said = process.stdout.read()
    directory = cluster_directory("default")
    if process.returncode == 0:  # it was quicker than we were
        assert manage.status().state == "running"
        return
    assert (process.returncode, said.splitlines()[-1]) == (130, "interrupted")
    manage.down()  # returns when whatever was on its way out is gone
    while directory.exists() and everyone(directory):
        pass
    assert manage.up(nodes=1).state == "running"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_build_that_is_stopped_leaves_no_process_and_the_next_command_sweeps(
    halab_home: Path, tmp_path: Path, number: signal.Signals
) -> None:
    folder = tmp_path / "context"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM busybox\nRUN echo begun && sleep 1000\n")
    with start("image", "build", "-t", "x", str(folder)) as process:
        list(lines_until(process.stdout, "begun"))
        os.killpg(process.pid, number)
        process.wait()
        assert process.stdout is not None
        process.stdout.read()  # its end says that the step's processes, which hold the pipe, have ended
    scratch = halab_home / "images" / "tmp"
    if number != signal.SIGKILL:
        assert process.returncode == 130
        assert list(scratch.iterdir()) == []
    (folder / "Dockerfile").write_text("FROM busybox\nRUN echo again\n")
    with start("image", "build", "-t", "x", str(folder)) as process:
        process.communicate()
    assert process.returncode == 0
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_course_that_is_stopped_ends_its_kernel_in_one_line(halab_home: Path, number: signal.Signals) -> None:
    def kernels() -> list[int]:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        return [int(pid) for pid in children if b"ipykernel" in command_of(pid)]

    with start("course", "05") as process:
        while not (found := kernels()):
            assert process.poll() is None
        process.send_signal(number)
        assert process.stdout is not None
        said = process.stdout.read()
    assert (process.returncode, said.splitlines()[-1]) == (130, "interrupted")
    assert not any(Path(f"/proc/{pid}").exists() for pid in found)


def test_a_load_that_is_interrupted_tells_what_it_saw(halab_home: Path) -> None:
    with start("load", "http://127.0.0.1:9/", "--rate", "50", "--duration", "600", "--json") as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1.5)
        os.killpg(process.pid, signal.SIGINT)
        said, _ = process.communicate()
    assert process.returncode == 0
    assert json.loads(said)["sent"] > 0


def test_down_during_up_ends_both(halab_home: Path) -> None:
    with start("up", "--nodes", "1") as process:
        list(lines_until(process.stdout, "starting dataplane"))
        assert manage.down() is True
        assert process.stdout is not None
        said = process.stdout.read()
    assert process.returncode == 2
    assert said.endswith("error: cluster default: was stopped by another command while it came up; run: halab up\n")
    assert everyone(cluster_directory("default")) == []
    assert manage.up(nodes=1).state == "running"


def test_a_build_on_a_full_disk_says_so_in_one_line_and_leaves_no_scratch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "context"
    folder.mkdir()
    (folder / "big").write_bytes(os.urandom(6 << 20))
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY big /\n")
    with mounted(tmp_path / "disk", "4m") as disk:
        monkeypatch.setenv("HALAB_HOME", str(disk))
        with start("image", "build", "-t", "x", str(folder)) as process:
            said, _ = process.communicate()
        assert process.returncode == 2
        assert said.splitlines()[-1].startswith("error: ") and "No space left" in said and "free some space" in said
        assert "Traceback" not in said
        assert list((disk / "images" / "tmp").iterdir()) == []


def test_up_on_a_full_disk_says_so_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with mounted(tmp_path / "disk", "4m") as disk:
        monkeypatch.setenv("HALAB_HOME", str(disk))
        with start("up", "--nodes", "1") as process:
            said, _ = process.communicate()
        assert process.returncode == 2
        assert "MB are free on its disk; free some space" in said
        assert list((disk / "clusters").iterdir()) == []
