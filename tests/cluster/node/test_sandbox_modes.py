"""Real containers in each mode that this machine allows: the same program must see the same world in all of them."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from halab import sandbox
from halab.cluster.node import clockfile
from halab.sandbox import Dns, Mount, Sandbox, SandboxSpec, StartError, build

PATH = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
NET = "127.251"  # a range that no cluster owns


@pytest.fixture(params=["privileged", "userns", "none"])
def mode(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Each mode in turn; one that this machine or user does not allow is skipped."""
    monkeypatch.setenv("HALAB_SANDBOX", request.param)
    sandbox.capabilities.cache_clear()
    if sandbox.capabilities().mode != request.param:
        sandbox.capabilities.cache_clear()
        pytest.skip(f"this machine does not allow {request.param} sandboxes to this user")
    yield request.param
    sandbox.capabilities.cache_clear()


def address(number: int) -> str:
    """Of each mode its own, so that a port that a former mode's connections still hold (TIME_WAIT) is in nobody's way."""
    offset = {"privileged": 0, "userns": 50, "none": 100}[sandbox.capabilities().mode]
    return f"{NET}.1.{number + offset}"


def spec(command: str, directory: Path, number: int = 5, **changes: object) -> SandboxSpec:
    layer = directory / "layer"
    (layer / "srv").mkdir(parents=True, exist_ok=True)
    (layer / "srv" / "hello").write_text("from the image\n")
    base: dict[str, object] = {
        "argv": ["sh", "-c", command],
        "env": PATH,
        "layers": [layer],
        "hostname": "web-0",
        "address": address(number),
        "local": address(number).replace(f"{NET}.1.", f"{NET}.65."),
        "port_shift": 20000,
        "dns": Dns(f"{NET}.128.10", ("ns.svc.cluster.local",)),
    }
    return SandboxSpec(**(base | changes))  # type: ignore[arg-type]


async def output(of: SandboxSpec) -> tuple[str, int]:
    """What the container prints, and its exit status."""
    read, write = os.pipe()
    try:
        box = await sandbox.launch(of, stdout=write, stderr=write)
    finally:
        os.close(write)
    with os.fdopen(read) as file:
        code = await box.wait()
        return await asyncio.to_thread(file.read), code


async def run_inside(box: Sandbox, command: str) -> str:
    read, write = os.pipe()
    try:
        process = await box.exec(["sh", "-c", command], stdout=write, stderr=write)
    finally:
        os.close(write)
    with os.fdopen(read) as file:
        await process.wait()
        return await asyncio.to_thread(file.read)


async def test_a_container_sees_its_own_names_files_and_identity(mode: str, tmp_path: Path) -> None:
    command = "hostname; id -u; cat /srv/hello; grep web-0 /etc/hosts; head -2 /etc/resolv.conf; exit 3"
    text, code = await output(spec(command, tmp_path))
    assert text.splitlines() == [
        "web-0",
        "0",
        "from the image",
        f"{address(5)}\tweb-0",
        "search ns.svc.cluster.local",
        f"nameserver {NET}.128.10",
    ]
    assert code == 3


CLOCKS = """
import ctypes, time
class Moment(ctypes.Structure):
    _fields_ = [("seconds", ctypes.c_long), ("rest", ctypes.c_long)]
libc = ctypes.CDLL(None); libc.time.restype = ctypes.c_long
began, day = time.monotonic(), Moment()
libc.gettimeofday(ctypes.byref(day), None)
seen = [time.time(), day.seconds, libc.time(None)]
soon = Moment(int(time.time()) + 1, 0)
mutex, condition = (ctypes.c_long * 8)(), (ctypes.c_long * 8)()
libc.pthread_mutex_lock(mutex)
libc.pthread_cond_timedwait(condition, mutex, ctypes.byref(soon))
libc.clock_nanosleep(0, 1, ctypes.byref(soon), None)
print(*seen, time.monotonic() - began)
"""


@pytest.mark.parametrize("ahead", [0.0, 86400.5, -3600.25])
async def test_it_sees_the_clock_of_its_node_and_waits_until_the_moments_that_it_means(
    mode: str, ahead: float, tmp_path: Path
) -> None:
    tmp_path.chmod(0o755)
    clockfile.write(tmp_path, ahead)
    text, code = await output(spec("", tmp_path, argv=["python3", "-c", CLOCKS], clock=clockfile.of(tmp_path)))
    assert code == 0, text
    *seen, took = map(float, text.split())
    assert all(abs(one - time.time() - ahead) < 60 for one in seen)
    assert took < 60  # neither an hour nor a day


async def test_what_it_writes_stays_in_its_upper_directory(mode: str, tmp_path: Path) -> None:
    upper = tmp_path / "upper"
    (tmp_path / "layer" / "usr" / "share").mkdir(parents=True)  # as every base has it: the machine's own is its root's
    command = "echo x > /usr/share/mark; rm /srv/hello; cat /srv/hello; echo y > /etc/mark; cat /etc/mark; ls /usr/share/mark"
    text, _ = await output(spec(command, tmp_path, upper=upper))
    assert "No such file" in text
    assert text.splitlines()[-2:] == ["y", "/usr/share/mark"]
    assert not Path("/usr/share/mark").exists()
    assert not Path("/etc/mark").exists()
    written = {
        f"/{prefix}/{path.relative_to(tree)}" for prefix, tree in sandbox.upper_trees(upper) for path in tree.rglob("mark")
    }
    assert {name.replace("//", "/") for name in written} == {"/usr/share/mark", "/etc/mark"}
    sandbox.remove_tree(upper)
    assert not upper.exists()


async def test_volumes_are_mounted_and_may_be_read_only(mode: str, tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    (volume / "k").write_text("v\n")
    mounts = [Mount(volume, "/data"), Mount(volume, "/run/secrets/ro", read_only=True), Mount(volume / "k", "/etc/one.conf")]
    command = "cat /data/k /etc/one.conf; ls /var/run/secrets/ro; echo new > /data/n; if echo x > /run/secrets/ro/z; then echo wrote; fi"
    text, _ = await output(spec(command, tmp_path, mounts=mounts))
    assert text.splitlines()[:3] == ["v", "v", "k"]
    assert "Read-only file system" in text
    assert "wrote" not in text
    assert (volume / "n").read_text() == "new\n"


async def test_replicas_listen_side_by_side_on_the_same_low_port(mode: str, tmp_path: Path) -> None:
    code = (
        "import socket\ns=socket.socket(); s.setsockopt(1, 2, 1); s.bind(('',80)); s.listen(); print('up', flush=True)\n"
        "while 1:\n c,_=s.accept(); c.send(socket.gethostname().encode()); c.close()"
    )
    boxes = []
    for number in (5, 6):
        read, write = os.pipe()
        boxes.append(
            await sandbox.launch(spec("", tmp_path, number, argv=["python3", "-c", code], hostname=f"web-{number}"), stdout=write)
        )
        os.close(write)
        assert await asyncio.to_thread(os.read, read, 3) == b"up\n"
        os.close(read)
    client = "import socket; c=socket.create_connection(('%s', 80)); print(c.recv(99).decode(), c.getsockname()[0], c.getpeername()[1])"
    inside = await run_inside(boxes[0], f'python3 -c "{client % "127.0.0.1"}"')
    other = await run_inside(boxes[0], f'python3 -c "{client % address(6)}"')
    assert inside == f"web-5 {address(5)} 80\n"
    assert other == f"web-6 {address(5)} 80\n"
    reader, writer = await asyncio.open_connection(address(5), 20080)
    assert await reader.read() == b"web-5"
    writer.close()
    for box in boxes:
        box.kill()
        assert await box.wait() == 137


async def test_what_listens_on_localhost_is_reached_only_from_inside(mode: str, tmp_path: Path) -> None:
    code = "import socket,time\ns=socket.socket(); s.setsockopt(1, 2, 1); s.bind(('127.0.0.1',8000)); s.listen(); print(s.getsockname(), flush=True)\ntime.sleep(60)"
    read, write = os.pipe()
    box = await sandbox.launch(spec("", tmp_path, argv=["python3", "-c", code]), stdout=write)
    os.close(write)
    assert await asyncio.to_thread(os.read, read, 99) == b"('127.0.0.1', 8000)\n"
    os.close(read)
    probe = "import socket; print(socket.create_connection(('127.0.0.1', 8000)).getpeername())"
    assert await run_inside(box, f'python3 -c "{probe}"') == "('127.0.0.1', 8000)\n"
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(address(5), 8000)
    box.kill()
    await box.wait()


async def test_process_one_ignores_a_signal_that_it_does_not_handle(mode: str, tmp_path: Path) -> None:
    box = await sandbox.launch(spec("", tmp_path, argv=["sleep", "60"]))
    box.signal(signal.SIGTERM)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(box.wait(), 0.2)
    box.kill()
    assert await box.wait() == 137


async def test_what_a_static_program_makes_in_its_working_directory_is_not_in_the_image(mode: str, tmp_path: Path) -> None:
    static = tmp_path / "make"
    source = '#include <fcntl.h>\n#include <unistd.h>\nint main(void) { return write(open("mine", O_WRONLY | O_CREAT, 0644), "1", 1) != 1; }\n'
    command = [*build.compiler(), "-static", "-x", "c", "-", "-o", str(static)]
    await asyncio.to_thread(subprocess.run, command, input=source, text=True, check=True)
    start = spec("", tmp_path, cwd="/srv", argv=["/srv/make"])
    shutil.copy(static, tmp_path / "layer" / "srv" / "make")
    box = await sandbox.launch(start)
    assert await box.wait() == 0
    assert sorted(path.name for path in (tmp_path / "layer" / "srv").iterdir()) == ["hello", "make"]


async def test_process_one_gets_a_signal_that_it_waits_for(mode: str, tmp_path: Path) -> None:
    code = "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, [15])\nprint('waits', flush=True)\nexit(signal.sigwait([15]) + 1)"
    read, write = os.pipe()
    box = await sandbox.launch(spec("", tmp_path, argv=["python3", "-c", code]), stdout=write)
    os.close(write)
    assert await asyncio.to_thread(os.read, read, 99) == b"waits\n"
    os.close(read)
    box.signal(signal.SIGTERM)
    assert await asyncio.wait_for(box.wait(), 10) == 16


async def test_a_kill_takes_the_whole_tree_along(mode: str, tmp_path: Path) -> None:
    marker = f"7{os.getpid()}.25"
    box = await sandbox.launch(spec(f"(setsid sleep {marker} &) ; sleep {marker}", tmp_path))
    await _until(lambda: _count(marker) == 2)
    box.kill()
    await box.wait()
    await _until(lambda: _count(marker) == 0)


async def test_nothing_outlives_whoever_started_it(mode: str, tmp_path: Path) -> None:
    marker = f"8{os.getpid()}.25"
    script = (
        "import asyncio\nfrom halab.sandbox import *\n"
        f"async def main():\n b = await launch(SandboxSpec(['sh', '-c', '(setsid sleep {marker} &) ; sleep {marker}'], {PATH!r}))\n"
        " print('up', flush=True); await b.wait()\nasyncio.run(main())"
    )
    agent = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stdout=subprocess.PIPE)
    assert agent.stdout is not None
    assert await agent.stdout.readline() == b"up\n"
    await _until(lambda: _count(marker) == 2)
    agent.kill()
    await agent.wait()
    await _until(lambda: _count(marker) == 0)


@pytest.mark.parametrize(("argv", "stage"), [(["/no/such"], "stat"), (["nosuch"], "lookup"), (["/etc/passwd"], "stat")])
async def test_a_program_that_cannot_be_started_is_an_error(mode: str, tmp_path: Path, argv: list[str], stage: str) -> None:
    with pytest.raises(StartError) as caught:
        await sandbox.launch(spec("", tmp_path, argv=argv))
    assert caught.value.stage == stage


async def test_containers_of_a_pod_can_share_their_processes(mode: str, tmp_path: Path) -> None:
    if mode == "none":
        assert await sandbox.pause() is None
        return
    holder = await sandbox.pause()
    assert holder is not None
    first = await sandbox.launch(spec("exec sleep 61", tmp_path, share_pid_with=holder.pid))
    text, _ = await output(spec("cat /proc/1/comm; cat /proc/[0-9]*/cmdline | tr '\\0' ' '", tmp_path, share_pid_with=holder.pid))
    assert text.startswith("pause\n")
    assert "sleep 61" in text
    holder.kill()
    assert await first.wait() == 137
    await holder.wait()


async def test_a_start_takes_milliseconds(mode: str, tmp_path: Path) -> None:
    took = []
    for _ in range(8):
        begin = time.perf_counter()
        box = await sandbox.launch(spec("", tmp_path, argv=["/bin/true"]))
        took.append(time.perf_counter() - begin)
        await box.wait()
    assert min(took) < 0.1


def _count(marker: str) -> int:
    found = 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                found += (entry / "cmdline").read_bytes() == f"sleep\0{marker}\0".encode()
            except OSError:
                continue
    return found


async def _until(condition: object, seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end
        await asyncio.sleep(0.01)
