"""The control socket: one JSON object a line each way, over a Unix socket in the cluster's private directory.

A request is ``{"op": NAME, ...}``; the answer is ``{"ok": true, ...}`` or ``{"ok": false, "subject", "fact", "remedy"}``.
"""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

from halab.cluster.supervisor.layout import socket_path
from halab.errors import ClusterError

MAX_LINE = 1 << 20


def listen(directory: Path) -> socket.socket:
    """The server's end, readable and writable for the owner alone (the caller's umask is 077)."""
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    with socket_path(directory) as path:
        (directory / path.rpartition("/")[2]).unlink(missing_ok=True)
        server.bind(path)
    server.listen(16)
    return server


def request(directory: Path, op: str, *, timeout: float = 30.0, **arguments: object) -> dict[str, Any]:
    """Ask the supervisor of the cluster in ``directory``.

    Raises ``ConnectionError`` when none is listening, ``ClusterError`` when it refuses or does not answer in ``timeout`` seconds.
    """
    name = f"cluster {directory.name}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as connection:
        connection.settimeout(timeout)
        try:
            with socket_path(directory) as path:
                connection.connect(path)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise ConnectionRefusedError(str(directory)) from error
        try:
            connection.sendall(json.dumps({"op": op, **arguments}).encode() + b"\n")
            with connection.makefile("rb") as answers:
                line = answers.readline(MAX_LINE)
        except TimeoutError as error:
            raise ClusterError(
                name, f"its supervisor did not answer {op!r} within {timeout:g} s", "see its supervisor.log"
            ) from error
    if not line:
        raise ConnectionResetError(f"{name}: the supervisor went away")
    answer: dict[str, Any] = json.loads(line)
    if not answer.get("ok"):
        raise ClusterError(answer.get("subject", name), answer.get("fact", "refused"), answer.get("remedy", ""))
    return answer
