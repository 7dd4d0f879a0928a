"""The supervisor's end of the control socket: one JSON object a line in, one out, then the connection is closed."""

from __future__ import annotations

import json
import selectors
import socket
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from halab.cluster.supervisor import control
from halab.errors import HalabError

Operation = Callable[..., dict[str, Any]]


class ControlServer:
    """``operation`` finds what a name asks for (raises HalabError), ``stop`` is called for the stop of the cluster."""

    def __init__(
        self,
        directory: Path,
        selector: selectors.BaseSelector,
        operation: Callable[[str], Operation],
        stop: Callable[[], None],
    ) -> None:
        self.selector = selector
        self.operation = operation
        self.stop = stop
        self.started = False  # the cluster is up: "wait" is answered at once
        self.listener = control.listen(directory)
        self._buffers: dict[socket.socket, bytes] = {}
        self._waiters: list[socket.socket] = []
        self._farewell: list[socket.socket] = []  # asked for the stop: told when it is done
        selector.register(self.listener, selectors.EVENT_READ, self._accept)

    def descriptors(self) -> list[int]:
        """What a forked child must not keep open."""
        connections = (self.listener, *self._buffers, *self._waiters, *self._farewell)
        return [one.fileno() for one in connections if one.fileno() >= 0]

    def cluster_is_up(self, status: dict[str, Any]) -> None:
        self.started = True
        for connection in self._waiters:
            _send(connection, status)
        self._waiters.clear()

    def cluster_has_stopped(self) -> None:
        for connection in self._farewell:
            _send(connection, {"ok": True})

    def _accept(self) -> None:
        with suppress(BlockingIOError):
            connection, _ = self.listener.accept()
            connection.setblocking(False)
            self._buffers[connection] = b""
            self.selector.register(connection, selectors.EVENT_READ, lambda: self._read(connection))

    def _read(self, connection: socket.socket) -> None:
        try:
            data = connection.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._buffers[connection] += data
        if data and b"\n" not in self._buffers[connection] and len(self._buffers[connection]) < control.MAX_LINE:
            return
        line = self._buffers.pop(connection).partition(b"\n")[0]
        self.selector.unregister(connection)
        if not line:
            connection.close()
            return
        self._answer(connection, line)

    def _answer(self, connection: socket.socket, line: bytes) -> None:
        try:
            request: dict[str, Any] = json.loads(line)
            op = str(request.pop("op", ""))
            if op == "stop":
                self.stop()
                self._farewell.append(connection)
            elif op == "wait" and not self.started:
                self._waiters.append(connection)
            else:
                _send(connection, {"ok": True} | self.operation(op)(**request))
        except HalabError as error:
            _send(connection, {"ok": False, "subject": error.subject, "fact": error.fact, "remedy": error.remedy})
        except (ValueError, TypeError) as error:
            _send(connection, {"ok": False, "subject": "control socket", "fact": f"bad request ({error})", "remedy": ""})
        except Exception as error:  # one bad request must not cost the cluster
            traceback.print_exc()
            fact = f"{type(error).__name__}: {error}"
            _send(connection, {"ok": False, "subject": "supervisor", "fact": fact, "remedy": "see supervisor.log"})


def _send(connection: socket.socket, answer: dict[str, Any]) -> None:
    """Answer and hang up. A caller that went away is its own affair."""
    with suppress(OSError):
        connection.setblocking(True)
        connection.settimeout(1.0)
        connection.sendall(json.dumps(answer).encode() + b"\n")
    connection.close()
