"""Registries on this machine, by name: start, stop, list. Each is a daemon of its own that keeps its images across restarts."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import select
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from halab.aio.http import serve
from halab.aio.processes import start_time
from halab.errors import ImageError
from halab.images import daemon
from halab.images.layers import remove_tree
from halab.images.registry.server import Registry


@dataclass(frozen=True, slots=True)
class Running:
    """``address`` is ``IP:PORT``, to be written before an image's name; ``pid`` is 0 when it does not run."""

    name: str
    address: str
    pid: int


class Registries:
    """Under ``home/registries``."""

    def __init__(self, home: Path) -> None:
        self.home, self.root = home, home / "registries"
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)

    def _read(self, directory: Path) -> Running:
        raw = json.loads((directory / "registry.json").read_text())
        alive = raw["pid"] and start_time(raw["pid"]) == raw["stamp"]
        return Running(directory.name, raw["address"], raw["pid"] if alive else 0)

    def registries(self) -> list[Running]:
        return [self._read(path) for path in sorted(self.root.iterdir()) if (path / "registry.json").exists()]

    def start(self, name: str, address: str = "127.0.0.1:5000") -> Running:
        """Start a registry (its images are kept from the last time). Raises ImageError when the address is taken."""
        if not name.replace("-", "").replace("_", "").isalnum():
            raise ImageError(f"registry {name!r}", "the name may have letters, digits, '-' and '_' only")
        directory = self.root / name
        directory.mkdir(exist_ok=True)
        if (directory / "registry.json").exists() and (running := self._read(directory)).pid:
            return running
        daemon.start(
            f"registry {name}", "halab.images.registry.manage", [str(directory), address], directory / "registry.log", self.home
        )
        return self._read(directory)

    def stop(self, name: str, *, purge: bool = False) -> Running:
        """Stop it; ``purge`` deletes its images too."""
        directory = self.root / name
        if not (directory / "registry.json").exists():
            known = ", ".join(item.name for item in self.registries()) or "none"
            raise ImageError(f"registry {name}", "there is no such registry", f"known: {known}")
        running = self._read(directory)
        if running.pid:
            handle = os.pidfd_open(running.pid)
            try:
                signal.pidfd_send_signal(handle, signal.SIGTERM)
                if not select.select([handle], [], [], 5)[0]:
                    signal.pidfd_send_signal(handle, signal.SIGKILL)
            finally:
                os.close(handle)
        if purge:
            remove_tree(directory)
            self._forget_mirrors(running.address)
        return Running(name, running.address, 0)

    def mirror(self, registry: str, others: Sequence[str]) -> None:
        """Pull from ``others``, in this order, what ``registry`` does not give; none: from it alone. Raises ImageError for a broken file."""
        self._change_mirrors(lambda table: table.update({registry: list(others)}) if others else table.pop(registry, None))

    def _forget_mirrors(self, address: str) -> None:
        def forget(table: dict[str, list[str]]) -> None:
            table.pop(address, None)
            for registry in list(table):
                table[registry] = [other for other in table[registry] if other != address]
                if not table[registry]:
                    del table[registry]

        self._change_mirrors(forget)

    def _change_mirrors(self, change: Callable[[dict[str, list[str]]], object]) -> None:
        path = self.home / "registries.json"
        try:
            table = json.loads(path.read_text()) if path.exists() else {}
        except ValueError:
            raise ImageError(str(path), "is not a JSON object of lists", "mend or remove it") from None
        change(table)
        scratch = path.with_suffix(f".{os.getpid()}")
        scratch.write_text(json.dumps(table, indent=1) + "\n")
        scratch.replace(path)


async def run(directory: Path, address: str, ready: int) -> None:
    """Serve until SIGTERM."""
    host, _, port = address.rpartition(":")
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, int(port)))
        sock.listen(128)
    except (OSError, ValueError) as error:
        daemon.tell(ready, f"error {address}: {error}; choose another address, e.g. 127.0.0.1:5001")
        return
    bound = "{}:{}".format(*sock.getsockname()[:2])
    state = {"address": bound, "pid": os.getpid(), "stamp": start_time(os.getpid())}
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)

    def started() -> None:
        partial = directory / ".registry.json"
        partial.write_text(json.dumps(state))
        partial.replace(directory / "registry.json")
        daemon.tell(ready, "ok")

    server = asyncio.create_task(serve(Registry(directory / "data"), host, int(port), sock=sock, on_ready=started))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([server, stopping], return_when=asyncio.FIRST_COMPLETED)
    server.cancel()
    stopping.cancel()
    await asyncio.gather(server, stopping, return_exceptions=True)


def main(arguments: Sequence[str]) -> None:
    daemon.detach()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    ready = int(arguments[2])
    os.set_inheritable(ready, False)
    directory = Path(arguments[0])
    (directory / "data").mkdir(parents=True, exist_ok=True)
    asyncio.run(run(directory, arguments[1], ready))


if __name__ == "__main__":
    main(sys.argv[1:])
