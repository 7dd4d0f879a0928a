"""NetworkPolicies: who may connect to whom. Pure: objects in, one table a pod out (sandbox/src/policy.c says how a table is written and read).

The rules are Kubernetes' (https://kubernetes.io/docs/concepts/services-networking/network-policies/): a pod that no policy selects for a
direction may do everything in it; one that some policy selects may do what any of them allows; a connection must be allowed by the caller's
side and by the called one. A Service's address is as open as its most open endpoint, since which of them is asked is decided later, in the
proxy. Connections from outside of the pods (this machine, the Ingress) count as the node's own, which every implementation lets through.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from halab.cluster.kube.selectors import from_label_selector
from halab.cluster.kube.types import Obj

ANY = ("any", 0, 65535)
Span = tuple[str, int, int]  # protocol (tcp, udp, any), first and last port


@dataclass(frozen=True, slots=True)
class Peer:
    """One end of a connection. ``ports`` maps (name, protocol) to the number of a named port; what is no pod has no namespace."""

    address: str
    namespace: str
    labels: Mapping[str, str]
    ports: Mapping[tuple[str, str], int]

    @classmethod
    def of(cls, pod: Obj) -> Peer | None:
        """None for a pod without an address of its own, or whose containers have ended."""
        spec, status = pod["spec"], pod.get("status") or {}
        address = status.get("podIP")
        if not address or spec.get("hostNetwork") or status.get("phase") in ("Succeeded", "Failed"):
            return None
        containers = [*(spec.get("initContainers") or ()), *spec["containers"]]
        ports = {
            (port["name"], port.get("protocol") or "TCP"): port["containerPort"]
            for container in containers
            for port in container.get("ports") or ()
            if port.get("name")
        }
        return cls(address, pod["metadata"]["namespace"], pod["metadata"].get("labels") or {}, ports)


@dataclass(frozen=True, slots=True)
class Door:
    """One port of a Service: where it is dialled, and the endpoints (address, port) behind it."""

    address: str
    protocol: str
    port: int
    endpoints: tuple[tuple[str, int], ...]


class Rules:
    """What the policies of a cluster say of any two ends."""

    def __init__(self, policies: Iterable[Obj], namespaces: Mapping[str, Mapping[str, str]]) -> None:
        self._namespaces = namespaces
        self._policies = sorted(policies, key=lambda policy: (policy["metadata"]["namespace"], policy["metadata"]["name"]))

    def governing(self, peer: Peer, direction: str) -> list[Obj]:
        """The policies that select ``peer`` for ``Ingress`` or ``Egress``."""
        return [
            policy
            for policy in self._policies
            if policy["metadata"]["namespace"] == peer.namespace
            and direction in _directions(policy["spec"])
            and from_label_selector(policy["spec"].get("podSelector") or {}).matches(peer.labels)
        ]

    def allowed(self, policies: Sequence[Obj], direction: str, other: Peer, called: Peer) -> list[Span]:
        """The ports of ``called`` that these policies open between their pod and ``other``."""
        section, side = ("ingress", "from") if direction == "Ingress" else ("egress", "to")
        found: list[Span] = []
        for policy in policies:
            for rule in policy["spec"].get(section) or ():
                peers = rule.get(side) or ()
                if not peers or any(self._meant(peer, policy["metadata"]["namespace"], other) for peer in peers):
                    found += spans(rule.get("ports") or (), called)
        return found

    def _meant(self, peer: Obj, namespace: str, other: Peer) -> bool:
        if block := peer.get("ipBlock"):
            address = ipaddress.ip_address(other.address)
            return address in ipaddress.ip_network(block["cidr"], strict=False) and not any(
                address in ipaddress.ip_network(each, strict=False) for each in block.get("except") or ()
            )
        if not other.namespace:
            return False
        if (selector := peer.get("namespaceSelector")) is not None:
            if not from_label_selector(selector).matches(dict(self._namespaces.get(other.namespace) or {})):
                return False
        elif other.namespace != namespace:
            return False
        return from_label_selector(peer.get("podSelector") or {}).matches(other.labels)


def _directions(spec: Obj) -> Sequence[str]:
    return spec.get("policyTypes") or (["Ingress", "Egress"] if spec.get("egress") else ["Ingress"])


def spans(ports: Sequence[Obj], called: Peer | None) -> list[Span]:
    """The ports of a rule; all, if it names none. A named port is looked up at the pod that is called."""
    if not ports:
        return [ANY]
    found: list[Span] = []
    for port in ports:
        protocol, number = port.get("protocol") or "TCP", port.get("port")
        if protocol not in ("TCP", "UDP"):
            continue
        if isinstance(number, str):
            number = called.ports.get((number, protocol)) if called else None
            if number is None:
                continue
        low, high = (0, 65535) if number is None else (number, port.get("endPort") or number)
        found.append((protocol.lower(), low, high))
    return found


def common(left: Iterable[Span], right: Sequence[Span]) -> list[Span]:
    """The ports that are in both."""
    found: list[Span] = []
    for protocol, low, high in left:
        for other, least, most in right:
            if protocol == other or "any" in (protocol, other):
                span = (other if protocol == "any" else protocol, max(low, least), min(high, most))
                if span[1] <= span[2] and span not in found:
                    found.append(span)
    return found


def tables(
    policies: Sequence[Obj],
    peers: Sequence[Peer],
    namespaces: Mapping[str, Mapping[str, str]],
    doors: Sequence[Door],
    nowhere: tuple[str, int] | None,
) -> dict[str, str]:
    """The table of each pod's address; pods that may connect everywhere have none. ``nowhere`` is the socket that never answers, if any is needed."""
    rules = Rules(policies, namespaces)
    guards = {peer.address: rules.governing(peer, "Ingress") for peer in peers} if policies else {}
    found: dict[str, str] = {}
    for caller in peers if policies else ():
        if caller.address in {door.address for door in doors}:
            continue  # the cluster's DNS: it answers, it does not call
        own = rules.governing(caller, "Egress")
        open_to: dict[str, list[Span]] = {}
        for called in peers:
            guard = guards[called.address]
            if called.address == caller.address or not (own or guard):
                continue
            spans_out = rules.allowed(own, "Egress", called, called) if own else [ANY]
            spans_in = rules.allowed(guard, "Ingress", caller, called) if guard else [ANY]
            open_to[called.address] = common(spans_out, spans_in)
        lines = [*_pods(open_to), *_doors(doors, open_to, rules, own), *_blocks(own)]
        if lines:
            first = [f"nowhere {nowhere[0]} {nowhere[1]}"] if nowhere is not None else []
            found[caller.address] = "\n".join([*first, *lines]) + "\n"
    return found


def _pods(open_to: Mapping[str, Sequence[Span]]) -> Iterator[str]:
    for address, spans_open in sorted(open_to.items()):
        if ANY in spans_open:
            yield _line("allow", f"{address}/32", ANY)
            continue
        yield from (_line("allow", f"{address}/32", span) for span in spans_open)
        yield _line("deny", f"{address}/32", ANY)


def _doors(doors: Sequence[Door], open_to: Mapping[str, Sequence[Span]], rules: Rules, own: Sequence[Obj]) -> Iterator[str]:
    """Services that lead to a pod with a say, or, from a caller whose own calls are limited, all of them."""
    for door in doors:
        if not own and not any(address in open_to for address, _ in door.endpoints):
            continue
        protocol = door.protocol.lower()

        def reached(address: str, port: int, protocol: str = protocol) -> bool:
            if (spans_open := open_to.get(address)) is None:
                other = Peer(address, "", {}, {})
                spans_open = rules.allowed(own, "Egress", other, other) if own else [ANY]
            return bool(common([(protocol, port, port)], spans_open))

        allowed = any(reached(address, port) for address, port in door.endpoints)
        if allowed or door.endpoints:
            yield _line("allow" if allowed else "deny", f"{door.address}/32", (protocol, door.port, door.port))


def _blocks(own: Sequence[Obj]) -> Iterator[str]:
    """What a limited caller may reach that is no pod: the blocks of addresses that its policies name, and nothing else."""
    if not own:
        return
    allowed: list[str] = []
    for policy in own:
        for rule in policy["spec"].get("egress") or ():
            for span in spans(rule.get("ports") or (), None):
                if not rule.get("to"):
                    allowed.append(_line("allow", "0.0.0.0/0", span))
                for peer in rule.get("to") or ():
                    for network in _networks(peer.get("ipBlock")):
                        allowed.append(_line("allow", network, span))
    yield from dict.fromkeys(allowed)
    yield _line("deny", "0.0.0.0/0", ANY)


def _networks(block: Obj | None) -> list[str]:
    """A block without its exceptions, as networks."""
    if not block:
        return []
    left = [ipaddress.ip_network(block["cidr"], strict=False)]
    if left[0].version != 4:
        return []
    for text in block.get("except") or ():
        hole = ipaddress.ip_network(text, strict=False)
        left = [part for each in left for part in _without(each, hole)]
    return [str(each) for each in left]


def _without(
    network: ipaddress.IPv4Network | ipaddress.IPv6Network, hole: ipaddress.IPv4Network | ipaddress.IPv6Network
) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    if isinstance(network, ipaddress.IPv4Network) and isinstance(hole, ipaddress.IPv4Network):
        if network.subnet_of(hole):
            return []
        if hole.subnet_of(network):
            return list(network.address_exclude(hole))
    return [network]


def _line(verb: str, network: str, span: Span) -> str:
    return f"{verb} {network} {span[0]} {span[1]} {span[2]}"
