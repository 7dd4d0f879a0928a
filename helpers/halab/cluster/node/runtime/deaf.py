"""Programs that a stop signal cannot reach, and that do nothing with the time they would be given.

Process 1 of a container does not get a signal that it has no handler for, so a bare ``sleep 3600`` lives through its whole grace
period (30 s by default) and is then killed. Nothing can happen in that time when the process is alone and has no socket. A pod that
stands for itself shows this in full. Of a controller's pods such a process is killed at once, with the same result (137): a StatefulSet
or DaemonSet that replaces its pods one after the other, or a Deployment that recreates them, would wait for each of them in vain.
A program that serves somebody, or that ignores the signal on purpose, keeps its full time everywhere.
"""

from __future__ import annotations

from pathlib import Path


def waits_in_vain(pid: int, number: int) -> bool:
    """Whether ``pid`` is the only process of its container, deaf to signal ``number`` without having asked for it, and has no socket."""
    process = Path(f"/proc/{pid}")
    try:
        status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
        if status.get("NSpid", "").split()[-1:] != ["1"]:
            return False
        if any(int(status[field].split()[0], 16) >> (number - 1) & 1 for field in ("SigCgt", "SigIgn", "SigBlk")):
            return False
        if (process / "task" / str(pid) / "children").read_text().strip():
            return False
        return not any(str(entry.readlink()).startswith("socket:") for entry in (process / "fd").iterdir())
    except (OSError, KeyError, ValueError):
        return False
