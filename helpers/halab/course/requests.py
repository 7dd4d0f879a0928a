"""Requests as a user sends them: one new connection each, and what came back. No Kubernetes in here.

A new connection for every request matters: a Service spreads connections, not requests, so a kept-alive client would see one pod only.
"""

from __future__ import annotations

import http.client
import ssl
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from halab.settings import ASTRAY_HEADER
from halab.traffic.record import ASTRAY

ASK_AGAIN = 0.05  # seconds between two requests to a server that is starting

Address = tuple[str, int]  # host, port as really dialled


@dataclass(frozen=True, slots=True)
class Answer:
    """One request's outcome. ``status`` is 0 and ``error`` says why when nothing came back. ``seconds`` is the time to the whole body."""

    status: int
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)  # lower-case names
    error: str = ""
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 400

    def __str__(self) -> str:
        return f"{self.status}" if self.status else self.error


def fetch(
    address: Address,
    path: str = "/",
    *,
    method: str = "GET",
    host: str = "",
    tls: bool = False,
    timeout: float = 5.0,
    headers: dict[str, str] | None = None,
    body: bytes | None = None,
) -> Answer:
    """Send one request on a connection of its own. Never raises for what the other side does: that is the result.

    With ``tls``, ``host`` is also the name asked for (SNI); the certificate is not verified, since labs make their own.
    """
    start = time.perf_counter()
    connection: http.client.HTTPConnection
    if tls:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = _NamedTls(address, host, context, timeout)
    else:
        connection = http.client.HTTPConnection(*address, timeout=timeout)
    try:
        connection.request(
            method,
            path,
            body=body,
            headers={"Host": host or f"{address[0]}:{address[1]}", "Connection": "close", **(headers or {})},
        )
        response = connection.getresponse()
        text = response.read().decode(errors="replace")
        names = {key.lower(): value for key, value in response.getheaders()}
        if why := names.get(ASTRAY_HEADER):
            return Answer(0, error=f"{ASTRAY}: {why}", seconds=time.perf_counter() - start)
        return Answer(response.status, text, names, "", time.perf_counter() - start)
    except (OSError, http.client.HTTPException) as error:
        return Answer(0, error=_reason(error), seconds=time.perf_counter() - start)
    finally:
        connection.close()


def fetch_many(
    address: Address, count: int, path: str = "/", *, host: str = "", together: int = 8, timeout: float = 5.0
) -> list[Answer]:
    """``count`` requests, ``together`` at a time."""
    with ThreadPoolExecutor(together) as pool:
        return list(pool.map(lambda _: fetch(address, path, host=host, timeout=timeout), range(count)))


def wait_until_answered(address: Address, timeout: float, path: str = "/") -> Answer:
    """Ask until there is a good answer, or until ``timeout`` seconds are over; the last answer."""
    deadline = time.monotonic() + timeout
    while True:
        answer = fetch(address, path)
        if answer.ok or time.monotonic() > deadline:
            return answer
        time.sleep(ASK_AGAIN)


def statuses(answers: Iterable[Answer]) -> str:
    """``298 x 200, 2 x connection refused``."""
    return ", ".join(f"{count} x {what}" for what, count in Counter(str(answer) for answer in answers).most_common())


def _reason(error: Exception) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, TimeoutError):
        return "timed out"
    if isinstance(error, ConnectionResetError | http.client.RemoteDisconnected):
        return "connection closed before an answer"
    return str(error) or type(error).__name__


class _NamedTls(http.client.HTTPSConnection):
    """HTTPS to an address while asking for another host's name."""

    def __init__(self, address: Address, name: str, context: ssl.SSLContext, timeout: float) -> None:
        super().__init__(*address, timeout=timeout, context=context)
        self._name, self._context_used = name, context

    def connect(self) -> None:
        http.client.HTTPConnection.connect(self)
        self.sock = self._context_used.wrap_socket(self.sock, server_hostname=self._name or self.host)
