"""``python -m halab.images.registry DIRECTORY HOST PORT``: one registry in the foreground, as a container's program. It is ended by a signal.

Registries of this machine are daemons instead (``halab image registry start``, ``manage``).
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from contextlib import suppress
from pathlib import Path

from halab.aio.http import serve

from .server import Registry


async def run(directory: Path, host: str, port: int) -> None:
    """Until a signal comes."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    directory.mkdir(parents=True, exist_ok=True)
    with suppress(asyncio.CancelledError):
        await serve(Registry(directory), host, port, on_ready=lambda: print(f"registry at {host}:{port}", flush=True))


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    asyncio.run(run(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
