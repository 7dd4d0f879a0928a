"""HEALTHCHECK: a command run in the container now and then; starting, healthy, unhealthy. It only tells; it never restarts (Docker)."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from halab.sandbox import Sandbox, StartError

_SECOND = 10**9


@dataclass(slots=True)
class Health:
    """Times in seconds; ``tell`` is called when the status changes."""

    sandbox: Sandbox
    command: list[str]
    interval: float
    timeout: float
    start_period: float
    retries: int
    tell: Callable[[str], None]

    @classmethod
    def of(cls, config: dict[str, Any], sandbox: Sandbox, tell: Callable[[str], None]) -> Health | None:
        """From an image's config; None where it has no check."""
        check = config.get("Healthcheck") or {}
        test = list(check.get("Test") or [])
        if len(test) < 2 or test[0] not in ("CMD", "CMD-SHELL"):
            return None
        command = test[1:] if test[0] == "CMD" else [*(config.get("Shell") or ["/bin/sh", "-c"]), test[1]]

        def seconds(name: str, default: float) -> float:
            return (check.get(name) or 0) / _SECOND or default

        return cls(
            sandbox,
            command,
            seconds("Interval", 30),
            seconds("Timeout", 30),
            seconds("StartPeriod", 0),
            check.get("Retries") or 3,
            tell,
        )

    async def run(self) -> None:
        status, failures = "starting", 0
        self.tell(status)
        began = asyncio.get_running_loop().time()
        while self.sandbox.running:
            await asyncio.sleep(self.interval)  # the interval is the check's own rhythm, not a wait for something
            if await self._once():
                failures, new = 0, "healthy"
            else:
                in_start = status == "starting" and asyncio.get_running_loop().time() - began < self.start_period
                failures += 0 if in_start else 1
                new = "unhealthy" if failures >= self.retries else status
            if new != status:
                status = new
                self.tell(status)

    async def _once(self) -> bool:
        try:
            probe = await self.sandbox.exec(self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        except StartError:
            return False
        with contextlib.suppress(TimeoutError):
            return await asyncio.wait_for(probe.wait(), self.timeout) == 0
        probe.kill()
        return False
