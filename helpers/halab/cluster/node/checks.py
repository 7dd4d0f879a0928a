"""One look at a container from outside or inside: HTTP, TCP, gRPC, a command. Used by probes and lifecycle hooks.

Results carry kubelet's and Go's words, since they end up in events: ``dial tcp 10.0.0.1:80: connect: connection refused``.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from dataclasses import dataclass
from typing import Literal

from halab.cluster.kube.gotext import quote
from halab.cluster.kube.types import Obj

from .runtime import Container, StartFailed

Result = Literal["success", "failure", "warning", "unknown"]
MAX_BODY = 10 * 1024  # of a failed answer shown in an event
USER_AGENT = "kube-%s/1.34"  # of what: a probe, a lifecycle hook
PLAIN_HTTP = "http: server gave HTTP response to HTTPS client"
BAD_STATUS = "HTTP probe failed with statuscode: "


@dataclass(frozen=True, slots=True)
class Outcome:
    result: Result
    output: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a pod answers: its address, and by how much its low ports are shifted on this machine."""

    address: str
    port_shift: int

    def real_port(self, port: int) -> int:
        return port + self.port_shift if port < 1024 else port


class PortError(Exception):
    """A port name that the container does not have."""


def port_of(value: object, container: Obj) -> int:
    """The number of a port given by number or name."""
    if isinstance(value, int):
        port = value
    else:
        named = next((item["containerPort"] for item in container.get("ports") or () if item.get("name") == value), None)
        if named is None and not str(value).isdecimal():
            raise PortError(f"strconv.Atoi: parsing {_quote(str(value))}: invalid syntax")
        port = int(named if named is not None else str(value))
    if not 0 < port < 65536:
        raise PortError(f"invalid port number: {port}")
    return port


def _quote(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def dial_error(error: BaseException, host: str, port: int) -> str:
    """In Go's words."""
    if isinstance(error, TimeoutError):
        return f"dial tcp {host}:{port}: i/o timeout"
    if isinstance(error, socket.gaierror):
        return f"dial tcp: lookup {host}: no such host"
    if isinstance(error, ssl.SSLError):
        return (
            PLAIN_HTTP
            if error.reason == "WRONG_VERSION_NUMBER"
            else f"tls: {(error.reason or str(error)).lower().replace('_', ' ')}"
        )
    code = error.errno if isinstance(error, OSError) else None
    text = os.strerror(code).lower() if code else str(error)
    if code == errno.ECONNRESET:
        return f"read tcp {host}:{port}: read: connection reset by peer"
    return f"dial tcp {host}:{port}: connect: {text}"


async def tcp(target: Target, host: str, port: int, timeout: float) -> Outcome:
    real = target.real_port(port)
    try:
        async with asyncio.timeout(timeout):
            _, writer = await asyncio.open_connection(host, real)
    except (OSError, TimeoutError) as error:
        return Outcome("failure", dial_error(error, host, port))
    writer.close()
    return Outcome("success")


@dataclass(frozen=True, slots=True)
class HttpCall:
    host: str
    port: int
    path: str
    scheme: str
    headers: tuple[tuple[str, str], ...]
    agent: str

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}{self.path}"


def http_call(action: Obj, container: Obj, address: str, purpose: str = "probe") -> HttpCall:
    """Raises PortError."""
    path: str = action.get("path") or "/"
    return HttpCall(
        host=action.get("host") or address,
        port=port_of(action.get("port", 80), container),
        path=path if path.startswith("/") else "/" + path,
        scheme=action.get("scheme", "HTTP").lower(),
        headers=tuple((item["name"], item.get("value", "")) for item in action.get("httpHeaders") or ()),
        agent=USER_AGENT % purpose,
    )


async def _exchange(target: Target, call: HttpCall) -> tuple[int, dict[str, str], str]:
    context: ssl.SSLContext | None = None
    if call.scheme == "https":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    shifted = target.real_port(call.port) if call.host == target.address else call.port
    reader, writer = await asyncio.open_connection(call.host, shifted, ssl=context)
    try:
        given = {name.lower() for name, _ in call.headers}
        lines = [f"GET {call.path} HTTP/1.1"]
        if "host" not in given:
            lines.append(f"Host: {call.host}:{call.port}")
        if "user-agent" not in given:
            lines.append(f"User-Agent: {call.agent}")
        if "accept" not in given:
            lines.append("Accept: */*")
        lines += [f"{name}: {value}" for name, value in call.headers]
        writer.write(("\r\n".join([*lines, "Connection: close"]) + "\r\n\r\n").encode())
        head = await reader.readuntil(b"\r\n\r\n")
        status_line, _, rest = head.decode("latin-1").partition("\r\n")
        headers = {
            name.strip().lower(): value.strip() for line in rest.split("\r\n") if line for name, _, value in [line.partition(":")]
        }
        code = int(status_line.split(" ", 2)[1])
        length = headers.get("content-length", "")
        wanted = min(int(length), MAX_BODY) if length.isdecimal() else MAX_BODY
        body = b""
        while len(body) < wanted and (piece := await reader.read(wanted - len(body))):
            body += piece
        return code, headers, body.decode(errors="replace")
    finally:
        writer.transport.abort()


async def http(target: Target, call: HttpCall, timeout: float) -> Outcome:
    """Success for 200-399; a redirect to another host is a warning, one to the same host is followed (10 times at most)."""
    first = call.host
    try:
        async with asyncio.timeout(timeout):
            for _ in range(10):
                code, headers, body = await _exchange(target, call)
                location = headers.get("location", "")
                if code not in (301, 302, 303, 307, 308) or not location:
                    break
                following = _redirected(call, location)
                if following.host != first:
                    return Outcome("warning", f"Probe terminated redirects, Response body: {body}")
                call = following
            else:
                return Outcome("failure", f'Get "{call.url}": stopped after 10 redirects')
    except TimeoutError:
        return Outcome("failure", f'Get "{call.url}": context deadline exceeded (Client.Timeout exceeded while awaiting headers)')
    except asyncio.IncompleteReadError as error:
        broken = f"net/http: HTTP/1.x transport connection broken: malformed HTTP response {_first_line(error.partial)}"
        return Outcome("failure", f'Get "{call.url}": {broken if error.partial else "EOF"}')
    except (ValueError, IndexError):
        return Outcome("failure", f'Get "{call.url}": EOF')
    except OSError as error:
        return Outcome("failure", f'Get "{call.url}": {dial_error(error, call.host, call.port)}')
    if 200 <= code < 400:
        return Outcome("success", body)
    return Outcome("failure", f"{BAD_STATUS}{code}")


def _first_line(data: bytes) -> str:
    """As Go quotes it."""
    line = data.partition(b"\n")[0]
    return '"' + "".join(quote(chr(byte))[1:-1] if byte < 0x80 else f"\\x{byte:02x}" for byte in line) + '"'


def _redirected(call: HttpCall, location: str) -> HttpCall:
    from urllib.parse import urljoin, urlsplit

    url = urlsplit(urljoin(call.url, location))
    port = url.port or (443 if url.scheme == "https" else 80)
    path = (url.path or "/") + (f"?{url.query}" if url.query else "")
    return HttpCall(url.hostname or call.host, port, path, url.scheme, call.headers, call.agent)


async def run_command(container: Container, command: list[str], timeout: float | None) -> tuple[int | None, str]:
    """Run a command inside: (exit code, output). The code is None when time ran out. Raises StartFailed."""
    read, write = os.pipe2(os.O_CLOEXEC)
    null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    loop = asyncio.get_running_loop()
    output = bytearray()
    done = loop.create_future()

    def readable() -> None:
        data = os.read(read, 65536)
        if data:
            if len(output) < MAX_BODY:
                output.extend(data)
            return
        loop.remove_reader(read)
        if not done.done():
            done.set_result(None)

    try:
        process = await container.exec(command, stdin=null, stdout=write, stderr=write)
    except BaseException:
        os.close(read)
        raise
    finally:
        os.close(write)
        os.close(null)
    loop.add_reader(read, readable)
    try:
        async with asyncio.timeout(timeout):
            code = await process.wait()
            # A child that was left behind may keep the pipe open: what the command itself wrote is there already.
            await asyncio.wait([done], timeout=0.05)
        return code, output.decode(errors="replace")
    except TimeoutError:
        process.kill()
        return None, output.decode(errors="replace")
    except asyncio.CancelledError:
        process.kill()
        raise
    finally:
        loop.remove_reader(read)
        os.close(read)


async def command(container: Container, argv: list[str], timeout: float) -> Outcome:
    try:
        code, output = await run_command(container, argv, timeout)
    except StartFailed as error:
        # The runtime's refusal is an error of the probe, not a verdict on the program.
        return Outcome("unknown", f"rpc error: code = Unknown desc = failed to exec in container: failed to start exec: {error}")
    if code is None:
        return Outcome("failure", f"command timed out: {_quote(' '.join(argv))} timed out after {int(timeout)}s")
    return Outcome("success" if code == 0 else "failure", output)


async def grpc(target: Target, port: int, service: str, timeout: float) -> Outcome:
    """grpc.health.v1.Health/Check, spoken by a minimal HTTP/2 client (see ``grpc_health``)."""
    from .grpc_health import check

    return await check(target, port, service, timeout)
