"""A difference of two objects in the manner of Go's ``cmp.Diff``, for messages that show what was changed.

Not byte for byte what Go prints (its spacing is random on purpose): the changed fields under Go's names, ``-`` before and ``+`` after.
"""

from __future__ import annotations

from typing import Any

from halab.cluster.kube.gotext import quote, to_json

_INITIALISMS = {
    "uid": "UID", "dns": "DNS", "os": "OS", "tty": "TTY", "hostIPC": "HostIPC", "hostPID": "HostPID", "hostIP": "HostIP",
    "csi": "CSI", "nfs": "NFS", "dnsPolicy": "DNSPolicy", "dnsConfig": "DNSConfig", "httpGet": "HTTPGet", "tcpSocket": "TCPSocket",
}  # fmt: skip


def go_diff(type_name: str, old: Any, new: Any) -> str:
    """The text, with a final newline."""
    lines = [f"  {type_name}{{"]
    _members(lines, old, new, 1)
    lines.append("  }")
    return "\n".join(lines) + "\n"


def _field(name: str) -> str:
    return _INITIALISMS.get(name) or name[:1].upper() + name[1:]


def _members(lines: list[str], old: dict[str, Any], new: dict[str, Any], depth: int) -> None:
    tabs = "\t" * depth
    same = 0
    for name in [*old, *(n for n in new if n not in old)]:
        before, after = old.get(name), new.get(name)
        if before == after:
            same += 1
        elif isinstance(before, dict) and isinstance(after, dict):
            lines.append(f"  {tabs}{_field(name)}: {{")
            _members(lines, before, after, depth + 1)
            lines.append(f"  {tabs}}},")
        elif isinstance(before, list) and isinstance(after, list):
            _list(lines, _field(name), before, after, depth)
        else:
            lines.append(f"- {tabs}{_field(name)}: {_value(before)},")
            lines.append(f"+ {tabs}{_field(name)}: {_value(after)},")
    if same:
        lines.append(f"  {tabs}... // {same} identical fields")


def _list(lines: list[str], name: str, old: list[Any], new: list[Any], depth: int) -> None:
    tabs = "\t" * depth
    lines.append(f"  {tabs}{name}: {{")
    for index in range(max(len(old), len(new))):
        before = old[index] if index < len(old) else None
        after = new[index] if index < len(new) else None
        if before == after:
            continue
        if isinstance(before, dict) and isinstance(after, dict):
            lines.append(f"  {tabs}\t{{")
            _members(lines, before, after, depth + 2)
            lines.append(f"  {tabs}\t}},")
        else:
            if before is not None:
                lines.append(f"- {tabs}\t{_value(before)},")
            if after is not None:
                lines.append(f"+ {tabs}\t{_value(after)},")
    lines.append(f"  {tabs}}},")


def _value(value: Any) -> str:
    if value is None:
        return "nil"
    return quote(value) if isinstance(value, str) else to_json(value)
