"""What a container uses, from its cgroups: readable by everybody, and cheaper than the engine's statistics, which take a second each."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from halab.cluster.node.runtime.limits import usage_of

ROOT = Path("/sys/fs/cgroup")


def directories(text: str, root: Path = ROOT) -> dict[str, Path]:
    """controller -> directory, from /proc/PID/cgroup; the unified hierarchy has the empty name."""
    found = {}
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            found[controller] = root / controllers / path.lstrip("/") if controller else root / path.lstrip("/")
    return found


def _field(file: Path, name: str) -> int:
    for line in file.read_text().splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return int(value)
    return 0


def usage(pid: int) -> tuple[float, int]:
    """CPU seconds, and bytes of the working set (what kubelet calls so: in use, less files that have not been read for long)."""
    try:
        places = directories(Path(f"/proc/{pid}/cgroup").read_text())
        if memory := places.get("memory"):
            used = int((memory / "memory.usage_in_bytes").read_text()) - _field(memory / "memory.stat", "total_inactive_file")
            return int((places["cpuacct"] / "cpuacct.usage").read_text()) / 1e9, max(0, used)
        group = places[""]
        used = int((group / "memory.current").read_text()) - _field(group / "memory.stat", "inactive_file")
        return _field(group / "cpu.stat", "usage_usec") / 1e6, max(0, used)
    except (OSError, KeyError, ValueError):
        pass
    with suppress(OSError, ValueError):
        return usage_of(pid)
    return 0.0, 0
