"""Memory and CPU limits of a container, and what it uses.

Where this process may divide its cgroup the kernel enforces them. Elsewhere the agent watches the container's memory and ends it when
it grows beyond its limit; CPU limits are not enforced there (the fidelity table says so).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from halab.sandbox import capabilities

CPU_PERIOD = 100_000  # microseconds
LOOK_SECONDS = (0.05, 1.0)  # how often memory is looked at: near the limit, and far from it
_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def tree(*pids: int) -> list[int]:
    """The container's processes: ``pids`` and all below them."""
    found, level = list(pids), list(pids)
    while level:
        below: list[int] = []
        for parent in level:
            with suppress(OSError, ValueError):
                for task in Path(f"/proc/{parent}/task").iterdir():
                    below += [int(child) for child in (task / "children").read_text().split()]
        found += below
        level = below
    return found


def usage_of(*pids: int) -> tuple[float, int]:
    """CPU seconds (of ended children too) and bytes in memory of a container. Shared pages count for each process."""
    ticks = memory = 0
    for member in tree(*pids):
        with suppress(OSError, ValueError, IndexError):
            fields = Path(f"/proc/{member}/stat").read_text(errors="replace").rpartition(")")[2].split()
            ticks += sum(int(value) for value in fields[11:15])
            memory += int(fields[21]) * _PAGE
    return ticks / _TICK, memory


def _anonymous(pids: list[int]) -> int:
    """Bytes that belong to the container alone (statm: resident less shared)."""
    total = 0
    for member in tree(*pids):
        with suppress(OSError, ValueError, IndexError):
            fields = Path(f"/proc/{member}/statm").read_text().split()
            total += (int(fields[1]) - int(fields[2])) * _PAGE
    return total


@dataclass(slots=True)
class Limits:
    """What holds one container back. ``cgroups`` are to be entered before it starts."""

    memory: int
    cgroups: tuple[Path, ...] = ()
    _memory_group: Path | None = None
    _members: Callable[[], list[int]] = list
    _killed: bool = False
    _timer: asyncio.TimerHandle | None = field(default=None, repr=False)

    def watch(self, members: Callable[[], list[int]], exceeded: Callable[[], None]) -> None:
        """Without a cgroup: look at the memory from time to time, and call ``exceeded`` once it is too much."""
        self._members = members
        if self.memory and self._memory_group is None:
            self._look(exceeded)

    def _look(self, exceeded: Callable[[], None]) -> None:
        used = _anonymous(self._members())
        if used > self.memory:
            self._killed = True
            exceeded()
            return
        near, far = LOOK_SECONDS
        delay = near if used * 4 > self.memory else near * 2 if used * 16 > self.memory else far / 4
        self._timer = asyncio.get_running_loop().call_later(delay, self._look, exceeded)

    def resize(self, memory: float, cpu: float) -> None:
        """Other limits for what runs: bytes, cores; 0 leaves one as it is. A limit that was not there at the start does not come."""
        if memory and self.memory:
            self.memory = int(memory)
        for group in self.cgroups:
            changes: dict[str, int | str] = {"memory.max": self.memory, "memory.limit_in_bytes": self.memory}
            if cpu:
                quota = max(1000, int(cpu * CPU_PERIOD))
                changes |= {"cpu.max": f"{quota} {CPU_PERIOD}", "cpu.cfs_quota_us": quota}
            for name, value in changes.items():
                if value and (group / name).exists():
                    with suppress(OSError):  # the kernel refuses less memory than is in use
                        _write(group / name, str(value))

    def ended(self) -> bool:
        """The container is over: clean up. True if it (or a part of it) was killed for its memory."""
        if self._timer is not None:
            self._timer.cancel()
        if self._memory_group is not None:
            self._killed = self._killed or _kernel_kills(self._memory_group) > 0
        for group in self.cgroups:
            with suppress(OSError):
                group.rmdir()
        return self._killed


def _kernel_kills(group: Path) -> int:
    for name in ("memory.events", "memory.oom_control"):
        with suppress(OSError):
            for line in (group / name).read_text().splitlines():
                if line.startswith("oom_kill "):
                    return int(line.split()[1])
    return 0


def _write(path: Path, value: str) -> None:
    path.write_text(value)


def apply(pod: str, name: str, container_id: str, memory: int, cpu: float) -> Limits | None:
    """Make the container's cgroups, if it has limits at all."""
    if not memory and not cpu:
        return None
    machine = capabilities()
    label = f"halab-{pod}-{container_id[-12:]}"
    if machine.cgroup is None:
        return Limits(memory)
    try:
        if machine.cgroup_version == 2:
            group = machine.cgroup / label
            group.mkdir()
            if memory:
                _write(group / "memory.max", str(memory))
                with suppress(OSError):
                    _write(group / "memory.swap.max", "0")
                with suppress(OSError):
                    _write(group / "memory.oom.group", "1")
            if cpu:
                with suppress(OSError):
                    _write(group / "cpu.max", f"{max(1000, int(cpu * CPU_PERIOD))} {CPU_PERIOD}")
            return Limits(memory, (group,), group)
        groups: list[Path] = []
        group = machine.cgroup / label
        if memory:
            group.mkdir()
            groups.append(group)
            _write(group / "memory.limit_in_bytes", str(memory))
        cpu_root = Path("/sys/fs/cgroup/cpu")
        if cpu and os.access(cpu_root, os.W_OK):
            cpu_group = cpu_root / label
            with suppress(OSError):
                cpu_group.mkdir()
                groups.append(cpu_group)
                _write(cpu_group / "cpu.cfs_period_us", str(CPU_PERIOD))
                _write(cpu_group / "cpu.cfs_quota_us", str(max(1000, int(cpu * CPU_PERIOD))))
        return Limits(memory, tuple(groups), group if memory else None)
    except OSError:
        return Limits(memory)
