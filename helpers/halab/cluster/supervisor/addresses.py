"""Which 127.c.0.0/16 a cluster gets on a machine that it may share with many others.

Holding 127.c.0.1:6400 *is* owning range c: the kernel gives the address to one process on the whole machine, whoever its user is,
and takes it back when that process ends. No lock file in a shared directory is needed, so none can be stale or squatted.
"""

from __future__ import annotations

import errno
import hashlib
import ipaddress
import os
import socket
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from halab.errors import MachineError
from halab.settings import (
    API_PORT,
    DOCKER,
    KUBELET_PORT,
    LOCK_PORT,
    LOW_PORT_SHIFT,
    MAX_CLUSTERS,
    PROCESS,
    Addresses,
    BridgeAddresses,
)

LOW_PORTS = (53, 80, 443)


@dataclass(frozen=True, slots=True)
class Claim:
    """A range that is ours as long as ``socket`` is open. ``port_shift``: what is added to ports under 1024 on this machine."""

    number: int
    port_shift: int
    socket: socket.socket


def claim_new(directory: Path, runtime: str = PROCESS) -> Claim:
    """Take the first free range, starting at a place that depends on the cluster, so that neighbours rarely meet.

    Raises ``MachineError`` when no range is free, saying what is in the way.
    """
    refusals: list[str] = []
    for number in _candidates(directory):
        outcome = _try(number, runtime)
        if isinstance(outcome, Claim):
            return outcome
        refusals.append(outcome)
    reason = max(set(refusals), key=refusals.count)
    port = reason.removeprefix("port ").partition(" ")[0] if reason.startswith("port ") else ""
    remedy = f"this shows who has it: ss -ltnp 'sport = :{port}'" if port else "stop a cluster: halab down"
    raise MachineError("127.0.0.0/8", f"none of its {MAX_CLUSTERS} cluster ranges is free ({reason})", remedy)


def claim_again(number: int, name: str, runtime: str = PROCESS) -> Claim:
    """Take the range that a stopped cluster had: its Services' addresses are written in its objects."""
    outcome = _try(number, runtime, again=True)
    if isinstance(outcome, Claim):
        return outcome
    purge = "halab down --purge" + ("" if name == "default" else f" --name {name}")
    raise MachineError(
        f"cluster {name}",
        f"its address range 127.{number}.0.0/16 is busy ({outcome})",
        f"free it, or start the cluster afresh: {purge}",
    )


def _candidates(directory: Path) -> Iterator[int]:
    seed = hashlib.sha256(f"{os.getuid()}:{directory}".encode()).digest()
    start = int.from_bytes(seed[:4], "big")
    for step in range(MAX_CLUSTERS):
        yield 1 + (start + step) % MAX_CLUSTERS


def _try(number: int, runtime: str = PROCESS, *, again: bool = False) -> Claim | str:
    """``again``: the cluster's own network may still be there."""
    if runtime == DOCKER and not again and occupied(BridgeAddresses(number).subnet):
        return f"{BridgeAddresses(number).subnet} is routed elsewhere"
    addresses = Addresses(number)
    holder = _bind(addresses.api, LOCK_PORT)
    if isinstance(holder, OSError):
        return "held by another cluster" if holder.errno == errno.EADDRINUSE else f"{addresses.api}: {holder.strerror}"
    shift = 0 if runtime == DOCKER else _port_shift(addresses)
    wanted = [(addresses.api, API_PORT), (addresses.node(0), KUBELET_PORT)]
    if shift:
        wanted += [(addresses.ingress, port + shift) for port in LOW_PORTS]
    for address, port in wanted:
        if failure := _cannot_bind(address, port):
            holder.close()
            return f"port {port} {failure}"
    holder.listen(1)
    return Claim(number, shift, holder)


def _port_shift(addresses: Addresses) -> int:
    """0 where this process may bind low ports, and where no server of the machine sits on them at every address."""
    blocked = any(_cannot_bind(addresses.ingress, port) for port in LOW_PORTS)
    return LOW_PORT_SHIFT if blocked else 0


def _cannot_bind(address: str, port: int) -> str:
    """Why not, or an empty string."""
    outcome = _bind(address, port)
    if isinstance(outcome, OSError):
        return _reason(outcome)
    with closing(outcome):
        try:
            outcome.listen(1)
        except OSError as error:
            return _reason(error)
    return ""


def _reason(error: OSError) -> str:
    return "is in use" if error.errno == errno.EADDRINUSE else f"cannot be bound: {error.strerror}"


def _bind(address: str, port: int) -> socket.socket | OSError:
    server = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((address, port))
    except OSError as error:
        server.close()
        return error
    return server


def occupied(subnet: str, table: Path = Path("/proc/net/route")) -> bool:
    """Whether this machine has a way to a part of ``subnet`` (a VPN, another bridge) beside its default route."""
    wanted = ipaddress.ip_network(subnet)
    try:
        lines = table.read_text().splitlines()[1:]
    except OSError:
        return False
    for line in lines:
        fields = line.split()
        network, mask = (int.from_bytes(int(fields[at], 16).to_bytes(4, "little"), "big") for at in (1, 7))
        if mask and wanted.overlaps(ipaddress.ip_network((network, mask.bit_count()))):
            return True
    return False
