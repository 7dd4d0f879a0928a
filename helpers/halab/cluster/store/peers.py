"""Several API servers over one database: each tells the others that it wrote, by a datagram to their sockets in the directory.

The datagram carries nothing; whoever gets one reads the log. A lost datagram is harmless for requests (they look at the
database's version themselves) and delays a watch until the next write.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from pathlib import Path


class Peers:
    """This server's socket, and how to reach the others'. ``on_change`` is called when another server has written."""

    def __init__(self, database: Path, on_change: Callable[[], object]) -> None:
        self.pattern = f"{database.name}.peer-*"
        self.directory = database.parent
        self.path = database.with_name(f"{database.name}.peer-{os.getpid()}")
        self.path.unlink(missing_ok=True)
        self.on_change = on_change
        self.others: list[str] = []
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        self._bind()
        asyncio.get_running_loop().add_reader(self.socket, self._read)
        self.look(announce=True)

    def _bind(self) -> None:
        """Bind by a path relative to the directory's descriptor: socket paths are limited to 107 bytes."""
        directory = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self.socket.bind(f"/proc/self/fd/{directory}/{self.path.name}")
        finally:
            os.close(directory)

    def look(self, announce: bool = False) -> None:
        """Find the other servers' sockets. A new server announces itself, so that the others look again."""
        self.others = [path.name for path in self.directory.glob(self.pattern) if path != self.path]
        if announce:
            self.wake(b"+")

    def wake(self, message: bytes = b".") -> None:
        if not self.others:
            return
        directory = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for name in list(self.others):
                try:
                    self.socket.sendto(message, f"/proc/self/fd/{directory}/{name}")
                except BlockingIOError:
                    continue  # its queue is full of the same message
                except OSError:  # it is gone
                    self.others.remove(name)
                    (self.directory / name).unlink(missing_ok=True)
        finally:
            os.close(directory)

    def _read(self) -> None:
        try:
            while message := self.socket.recv(16):
                if message == b"+":
                    self.look()
        except BlockingIOError:
            pass
        self.on_change()

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self.socket)
        self.socket.close()
        self.path.unlink(missing_ok=True)
