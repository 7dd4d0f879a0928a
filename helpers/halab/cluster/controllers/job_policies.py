"""A Job's podFailurePolicy and successPolicy, and sets of indexes as text (``0-2,5``). Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from halab.cluster.kube.types import Obj


def indexes_of(text: str) -> set[int]:
    """``"0-2,5"`` as a set."""
    found: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    return found


def ranges(indexes: Iterable[int]) -> str:
    """The reverse of ``indexes_of``: ``"0-2,5"``; two neighbours are written ``0,1``."""
    parts: list[list[int]] = []
    for index in sorted(indexes):
        if parts and parts[-1][-1] == index - 1:
            parts[-1].append(index)
        else:
            parts.append([index])
    return ",".join(
        f"{part[0]}" if len(part) == 1 else f"{part[0]},{part[-1]}" if len(part) == 2 else f"{part[0]}-{part[-1]}"
        for part in parts
    )


def failure_rule(policy: Obj | None, pod: Obj) -> tuple[str, str] | None:
    """(action, message) of the first rule that a failed pod matches."""
    for number, rule in enumerate((policy or {}).get("rules") or ()):
        where = f"matching {rule['action']} rule at index {number}"
        name = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
        if "onExitCodes" in rule:
            if (hit := _exit_code(rule["onExitCodes"], pod)) is not None:
                container, code = hit
                return rule["action"], f"Container {container} for pod {name} failed with exit code {code} {where}"
        elif (type := _pod_condition(rule.get("onPodConditions") or (), pod)) is not None:
            return rule["action"], f"Pod {name} has condition {type} {where}"
    return None


def _exit_code(wanted: Obj, pod: Obj) -> tuple[str, int] | None:
    status = pod.get("status") or {}
    for each in [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]:
        ended: dict[str, Any] | None = (each.get("state") or {}).get("terminated")
        if ended is None or wanted.get("containerName") not in (None, each["name"]):
            continue
        code = int(ended.get("exitCode", 0))
        if code and (code in wanted["values"]) == (wanted["operator"] == "In"):
            return each["name"], code
    return None


def _pod_condition(patterns: Iterable[Obj], pod: Obj) -> str | None:
    for each in (pod.get("status") or {}).get("conditions") or ():
        if any(each["type"] == pattern["type"] and each["status"] == pattern.get("status", "True") for pattern in patterns):
            return str(each["type"])
    return None


def success_rule(policy: Obj | None, done: set[int], completions: int) -> int | None:
    """The number of the first rule of a successPolicy that the completed indexes fulfil."""
    for number, rule in enumerate((policy or {}).get("rules") or ()):
        listed = indexes_of(rule["succeededIndexes"]) if rule.get("succeededIndexes") else set(range(completions))
        count = rule.get("succeededCount")
        if len(done & listed) >= (len(listed) if count is None else count):
            return number
    return None
