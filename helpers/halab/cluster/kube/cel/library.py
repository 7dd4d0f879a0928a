"""Kubernetes' own CEL functions: lists, regular expressions, URLs, addresses, quantities, versions.

https://kubernetes.io/docs/reference/using-api/cel/#kubernetes-list-library and what follows there. Values of Kubernetes' types (a quantity, a
URL, ...) are maps with one private key here, so that equality means what it should.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from decimal import Decimal
from functools import total_ordering
from ipaddress import ip_address, ip_network
from typing import Any
from urllib.parse import urlsplit

from halab.cluster.kube.cel import collections
from halab.cluster.kube.quantity import canonical, parse

Function = Callable[..., Any]


# --- lists ---------------------------------------------------------------------------------------------------------------------------


def _sorted(values: list[Any]) -> bool:
    return all(a <= b for a, b in itertools.pairwise(values))


def _extreme(name: str, choose: Callable[[list[Any]], Any]) -> Function:
    def function(values: list[Any]) -> Any:
        if not values:
            raise ValueError(f"{name} called on empty list")
        return choose(values)

    return function


def _last_index(values: list[Any], value: Any) -> int:
    return max((index for index, item in enumerate(values) if item == value), default=-1)


# --- regular expressions -------------------------------------------------------------------------------------------------------------


def _find(text: str, pattern: str) -> str:
    found = re.search(pattern, text)
    return found[0] if found else ""


def _find_all(text: str, pattern: str, limit: int = -1) -> list[str]:
    found = [match[0] for match in re.finditer(pattern, text)]
    return found if limit < 0 else found[:limit]


# --- tagged values -------------------------------------------------------------------------------------------------------------------


def _tag(kind: str, text: str) -> dict[str, str]:
    return {f"kubernetes.{kind}": text}


def _untag(kind: str, value: Any) -> str:
    if not isinstance(value, dict) or f"kubernetes.{kind}" not in value:
        raise ValueError("no such overload")
    return str(value[f"kubernetes.{kind}"])


def _parses(make: Function) -> Function:
    def check(text: str) -> bool:
        try:
            make(text)
        except ValueError:
            return False
        return True

    return check


def _url(text: str) -> dict[str, str]:
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError as error:
        raise ValueError(f"URL parse error during conversion from string: {error}") from None
    if not parts.scheme and not text.startswith("/"):
        raise ValueError(f'URL parse error during conversion from string: parse "{text}": invalid URI for request')
    return _tag("URL", text)


def _url_part(get: Callable[[Any], Any]) -> Function:
    return lambda value: get(urlsplit(_untag("URL", value)))


def _query(value: Any) -> dict[str, list[str]]:
    from urllib.parse import parse_qs

    return parse_qs(urlsplit(_untag("URL", value)).query, keep_blank_values=True)


def _ip(text: str) -> dict[str, str]:
    try:
        return _tag("IP", str(ip_address(text)))
    except ValueError:
        raise ValueError(f'IP Address "{text}" parse error during conversion from string: unable to parse IP') from None


def _address(get: Callable[[Any], Any]) -> Function:
    return lambda value: get(ip_address(_untag("IP", value)))


def _global_unicast(address: Any) -> bool:
    return not (address.is_unspecified or address.is_loopback or address.is_multicast or address.is_link_local)


def _cidr(text: str) -> dict[str, str]:
    try:
        ip_network(text, strict=False)
        if "/" not in text:
            raise ValueError
    except ValueError:
        raise ValueError(f'network address parse error during conversion from string: netip.ParsePrefix("{text}")') from None
    return _tag("CIDR", text)


def _network(value: Any) -> Any:
    return ip_network(_untag("CIDR", value), strict=False)


def _contains_ip(value: Any, other: Any) -> bool:
    text = other if isinstance(other, str) else _untag("IP", other)
    return ip_address(text) in _network(value)


def _contains_cidr(value: Any, other: Any) -> bool:
    inner = ip_network(other, strict=False) if isinstance(other, str) else _network(other)
    outer = _network(value)
    return bool(inner.version == outer.version and inner.subnet_of(outer))


def _quantity(text: str) -> dict[str, str]:
    try:
        return _tag("Quantity", canonical(text))
    except ValueError as error:
        raise ValueError(str(error)) from None


def _amount(value: Any) -> Decimal:
    return Decimal(parse(_untag("Quantity", value)))


def _operand(value: Any) -> Decimal:
    return Decimal(value) if isinstance(value, int) else _amount(value)


def _plain_quantity(number: Decimal) -> dict[str, str]:
    return _quantity(f"{number.normalize():f}")


def _as_integer(value: Any) -> int:
    number = _amount(value)
    if number != number.to_integral_value():
        raise ValueError("cannot convert value to integer")
    return int(number)


@total_ordering
class _Version:
    """A semantic version, ordered as semver.org says."""

    PATTERN = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?")

    def __init__(self, text: str) -> None:
        found = self.PATTERN.fullmatch(text)
        if found is None:
            raise ValueError(f'Invalid character(s) found in version "{text}"' if text else "Version string empty")
        self.numbers = tuple(int(part) for part in found.groups()[:3])
        self.pre = found[4]

    def _key(self) -> tuple[Any, ...]:
        parts = [(0, int(p), "") if p.isdigit() else (1, 0, p) for p in self.pre.split(".")] if self.pre else [(2, 0, "")]
        return (*self.numbers, parts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Version) and self._key() == other._key()

    def __lt__(self, other: _Version) -> bool:
        return self._key() < other._key()

    __hash__ = None  # type: ignore[assignment]


def _semver(text: str) -> dict[str, str]:
    _Version(text)
    return _tag("Semver", text)


def _order(a: Any, b: Any) -> int:
    if isinstance(a, dict) and "kubernetes.Semver" in a:
        x, y = _Version(_untag("Semver", a)), _Version(_untag("Semver", b))
        return (x > y) - (x < y)
    left, right = _amount(a), _amount(b)
    return (left > right) - (left < right)


# --- declarations --------------------------------------------------------------------------------------------------------------------

_GLOBAL: dict[str, tuple[str, Function]] = {
    "url": ("dyn", _url),
    "isURL": ("bool", _parses(_url)),
    "ip": ("dyn", _ip),
    "isIP": ("bool", _parses(_ip)),
    "ip.isCanonical": ("bool", lambda text: _untag("IP", _ip(text)) == text),
    "cidr": ("dyn", _cidr),
    "isCIDR": ("bool", _parses(_cidr)),
    "quantity": ("dyn", _quantity),
    "isQuantity": ("bool", _parses(_quantity)),
    "semver": ("dyn", _semver),
    "isSemver": ("bool", _parses(_semver)),
}
_MEMBER: dict[str, list[tuple[str, str, tuple[str, ...], Function]]] = {
    # name: (target's type, returned type, further parameters' types, function)
    "isSorted": [("list", "bool", (), _sorted)],
    "sum": [("list", "dyn", (), lambda values: sum(values) if values else 0)],
    "min": [("list", "dyn", (), _extreme("min", min))],
    "max": [("list", "dyn", (), _extreme("max", max))],
    "indexOf": [("list", "int", ("dyn",), lambda values, value: values.index(value) if value in values else -1)],
    "lastIndexOf": [("list", "int", ("dyn",), _last_index)],
    "find": [("string", "string", ("string",), _find)],
    "findAll": [
        ("string", "list(string)", ("string",), _find_all),
        ("string", "list(string)", ("string", "int"), _find_all),
    ],
    "getScheme": [("dyn", "string", (), _url_part(lambda parts: parts.scheme))],
    "getHost": [("dyn", "string", (), _url_part(lambda parts: parts.netloc.rpartition("@")[2]))],
    "getHostname": [("dyn", "string", (), _url_part(lambda parts: parts.hostname or ""))],
    "getPort": [("dyn", "string", (), _url_part(lambda parts: str(parts.port or "")))],
    "getEscapedPath": [("dyn", "string", (), _url_part(lambda parts: parts.path))],
    "getQuery": [("dyn", "dyn", (), _query)],
    "family": [("dyn", "int", (), _address(lambda address: address.version))],
    "isUnspecified": [("dyn", "bool", (), _address(lambda address: address.is_unspecified))],
    "isLoopback": [("dyn", "bool", (), _address(lambda address: address.is_loopback))],
    "isLinkLocalUnicast": [("dyn", "bool", (), _address(lambda address: address.is_link_local))],
    "isLinkLocalMulticast": [
        ("dyn", "bool", (), _address(lambda a: a.is_multicast and str(a).startswith(("224.0.0.", "ff02:"))))
    ],
    "isGlobalUnicast": [("dyn", "bool", (), _address(_global_unicast))],
    "containsIP": [("dyn", "bool", ("dyn",), _contains_ip)],
    "containsCIDR": [("dyn", "bool", ("dyn",), _contains_cidr)],
    "prefixLength": [("dyn", "int", (), lambda value: _network(value).prefixlen)],
    "masked": [("dyn", "dyn", (), lambda value: _cidr(str(_network(value))))],
    "sign": [("dyn", "int", (), lambda value: int(_amount(value).compare(Decimal(0))))],
    "isInteger": [("dyn", "bool", (), lambda value: _amount(value) == _amount(value).to_integral_value())],
    "asInteger": [("dyn", "int", (), _as_integer)],
    "asApproximateFloat": [("dyn", "double", (), lambda value: float(_amount(value)))],
    "add": [("dyn", "dyn", ("dyn",), lambda a, b: _plain_quantity(_amount(a) + _operand(b)))],
    "sub": [("dyn", "dyn", ("dyn",), lambda a, b: _plain_quantity(_amount(a) - _operand(b)))],
    "isGreaterThan": [("dyn", "bool", ("dyn",), lambda a, b: _order(a, b) > 0)],
    "isLessThan": [("dyn", "bool", ("dyn",), lambda a, b: _order(a, b) < 0)],
    "compareTo": [("dyn", "int", ("dyn",), _order)],
    "major": [("dyn", "int", (), lambda value: _Version(_untag("Semver", value)).numbers[0])],
    "minor": [("dyn", "int", (), lambda value: _Version(_untag("Semver", value)).numbers[1])],
    "patch": [("dyn", "int", (), lambda value: _Version(_untag("Semver", value)).numbers[2])],
}


def extension(cel: Any) -> Any:
    """The library as an extension of the engine."""
    from halab.cluster.kube.cel.authorizer import MEMBERS

    def kind(name: str) -> Any:
        if name == "list":
            return cel.Type.List(cel.Type.DYN)
        if name.startswith("list("):
            return cel.Type.List(kind(name[5:-1]))
        return getattr(cel.Type, name.upper())

    declared = [
        cel.FunctionDecl(name, [cel.Overload(f"k8s_{name}", kind(returned), [cel.Type.STRING], impl=function)])
        for name, (returned, function) in _GLOBAL.items()
    ]
    declared += [
        cel.FunctionDecl(name, [cel.Overload(f"k8s_{name}", kind(returned), list(map(kind, parameters)), impl=function)])
        for name, (returned, parameters, function) in collections.GLOBAL.items()
    ]
    for name, overloads in (_MEMBER | MEMBERS | collections.MEMBER).items():
        made = [
            cel.Overload(
                f"k8s_{name}_{number}", kind(returned), [kind(target), *map(kind, parameters)], is_member=True, impl=function
            )
            for number, (target, returned, parameters, function) in enumerate(overloads)
        ]
        declared.append(cel.FunctionDecl(name, made))
    return cel.CelExtension("kubernetes", declared)
