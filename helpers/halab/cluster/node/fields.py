"""What a pod can be told about itself: fieldRef and resourceFieldRef (the downward API)."""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, Decimal

from halab.cluster.kube.quantity import parse
from halab.cluster.kube.types import Obj

_SUBSCRIPT = re.compile(r"^metadata\.(labels|annotations)\['(.*)'\]$")


def quoted(text: str) -> str:
    """A Go string literal, as the files of a downwardAPI volume have it."""
    out = []
    for char in text:
        escaped = {
            "\\": "\\\\",
            '"': '\\"',
            "\n": "\\n",
            "\r": "\\r",
            "\t": "\\t",
            "\a": "\\a",
            "\b": "\\b",
            "\f": "\\f",
            "\v": "\\v",
        }.get(char)
        if escaped is None:
            escaped = char if char.isprintable() else f"\\x{ord(char):02x}" if ord(char) < 0x80 else f"\\u{ord(char):04x}"
        out.append(escaped)
    return f'"{"".join(out)}"'


def field_value(pod: Obj, path: str, *, address: str, host_address: str) -> str:
    """The value of a ``fieldPath``. Raises ValueError for a path that the downward API does not know."""
    meta, spec = pod["metadata"], pod["spec"]
    if match := _SUBSCRIPT.match(path):
        return str((meta.get(match[1]) or {}).get(match[2], ""))
    if path in ("metadata.labels", "metadata.annotations"):
        entries: Obj = meta.get(path.partition(".")[2]) or {}
        return "\n".join(f"{key}={quoted(entries[key])}" for key in sorted(entries))
    values = {
        "metadata.name": meta["name"],
        "metadata.namespace": meta.get("namespace", ""),
        "metadata.uid": meta.get("uid", ""),
        "spec.nodeName": spec.get("nodeName", ""),
        "spec.serviceAccountName": spec.get("serviceAccountName", ""),
        "status.podIP": address,
        "status.podIPs": address,
        "status.hostIP": host_address,
        "status.hostIPs": host_address,
    }
    if path not in values:
        raise ValueError(f"unsupported fieldPath: {path}")
    return str(values[path])


def resource_value(container: Obj, resource: str, divisor: str, allocatable: dict[str, str]) -> str:
    """``limits.cpu`` and the like, in units of ``divisor``, rounded up. A limit that is not set is the node's allocatable."""
    section, _, name = resource.partition(".")
    if section not in ("limits", "requests"):
        raise ValueError(f"unsupported container resource : {resource}")
    resources = container.get("resources") or {}
    text = (resources.get(section) or {}).get(name)
    if text is None and section == "limits":
        text = allocatable.get(name)
    unit = parse(divisor) if divisor and divisor != "0" else Decimal(1)
    value = parse(text) if text is not None else Decimal(0)
    return str(int((value / (unit or Decimal(1))).to_integral_value(ROUND_CEILING)))
