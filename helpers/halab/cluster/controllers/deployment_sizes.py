"""The arithmetic of rolling updates: how many pods more or fewer each replica set of a deployment should have. Pure.

Follows the Deployment documentation (maxSurge, maxUnavailable, proportional scaling). ``Sizes`` are what ``deployment.py`` works on:
a replica set and the number of replicas it should get.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from halab.cluster.kube.types import Obj

DESIRED, MAXIMUM = "deployment.kubernetes.io/desired-replicas", "deployment.kubernetes.io/max-replicas"
REVISION = "deployment.kubernetes.io/revision"


def scaled(value: int | str | None, total: int, *, up: bool) -> int:
    """An IntOrString: a number, or a percentage of ``total`` rounded up or down."""
    if value is None:
        return 0
    if isinstance(value, str) and value.endswith("%"):
        product = int(value[:-1]) * total
        return -(-product // 100) if up else product // 100
    return int(value)


def replicas_of(obj: Obj) -> int:
    """``spec.replicas``; an absent one means 1, but the API fills that in."""
    value = obj["spec"].get("replicas")
    return 1 if value is None else int(value)


def status_of(obj: Obj, field: str) -> int:
    return int((obj.get("status") or {}).get(field) or 0)


def is_rolling(deployment: Obj) -> bool:
    return str((deployment["spec"].get("strategy") or {}).get("type", "RollingUpdate")) == "RollingUpdate"


def bounds(deployment: Obj) -> tuple[int, int]:
    """(surge, unavailable) in pods; both 0 would never progress, so unavailable is then 1."""
    if not is_rolling(deployment):
        return 0, 0
    rolling = (deployment["spec"].get("strategy") or {}).get("rollingUpdate") or {}
    total = replicas_of(deployment)
    surge = scaled(rolling.get("maxSurge", "25%"), total, up=True)
    unavailable = scaled(rolling.get("maxUnavailable", "25%"), total, up=False)
    return (surge, 1) if not surge and not unavailable else (surge, unavailable)


def max_surge(deployment: Obj) -> int:
    return bounds(deployment)[0]


def max_unavailable(deployment: Obj) -> int:
    total = replicas_of(deployment)
    return min(bounds(deployment)[1], total) if total and is_rolling(deployment) else 0


def age_order(rs: Obj) -> tuple[str, str]:
    return rs["metadata"].get("creationTimestamp", ""), rs["metadata"]["name"]


def active(sets: Iterable[Obj]) -> list[Obj]:
    return [rs for rs in sets if replicas_of(rs) > 0]


def total(sets: Iterable[Obj], field: str = "") -> int:
    """The sum of spec.replicas, or of a field of the status."""
    return sum(status_of(rs, field) if field else replicas_of(rs) for rs in sets)


def new_size(deployment: Obj, sets: Sequence[Obj], new: Obj) -> int:
    """How many replicas the new set may have now: as many as the surge allows while the old ones are there."""
    want, have = replicas_of(deployment), replicas_of(new)
    if not is_rolling(deployment):
        return want
    room = want + max_surge(deployment) - total(sets)
    return have if room <= 0 else have + min(room, want - have)


def old_sizes(deployment: Obj, old: Sequence[Obj], new: Obj) -> dict[str, int]:
    """The old sets' sizes by name once as many pods are taken away as availability allows; unhealthy pods go first.

    Empty when nothing may be taken away now.
    """
    sets = [*old, new]
    floor = replicas_of(deployment) - max_unavailable(deployment)
    new_unavailable = replicas_of(new) - status_of(new, "availableReplicas")
    budget = total(sets) - floor - new_unavailable
    if not total(old) or budget <= 0:
        return {}
    sizes = {rs["metadata"]["name"]: replicas_of(rs) for rs in old}
    before = dict(sizes)
    for rs in sorted(old, key=age_order):  # pods that do not serve cost no availability
        name, unhealthy = rs["metadata"]["name"], replicas_of(rs) - status_of(rs, "availableReplicas")
        take = min(budget, unhealthy) if unhealthy > 0 else 0
        sizes[name] -= take
        budget -= take
    spare = total(sets, "availableReplicas") - floor
    for rs in sorted(old, key=age_order):
        take = max(0, min(spare, sizes[rs["metadata"]["name"]]))
        sizes[rs["metadata"]["name"]] -= take
        spare -= take
    return {name: size for name, size in sizes.items() if size != before[name]}


def proportional_sizes(deployment: Obj, sets: Sequence[Obj], new: Obj | None) -> dict[str, int]:
    """A new count in the middle of a rollout is shared among the active sets in proportion to their sizes."""
    want = replicas_of(deployment)
    live = active(sets)
    room = (want + max_surge(deployment) if want else 0) - total(live)
    newest = sorted(live, key=age_order, reverse=True)
    # Growing favours the larger, then the newer sets; shrinking the larger, then the older ones.
    order = sorted(newest if room > 0 else newest[::-1], key=lambda rs: -replicas_of(rs))
    sizes: dict[str, int] = {}
    added = 0
    for rs in order:
        share = _share(deployment, rs, room, added) if room else 0
        sizes[rs["metadata"]["name"]] = replicas_of(rs) + share
        added += share
    if order and room:
        first = order[0]["metadata"]["name"]
        sizes[first] = max(0, sizes[first] + room - added)
    return sizes


def _share(deployment: Obj, rs: Obj, room: int, added: int) -> int:
    size, want = replicas_of(rs), replicas_of(deployment)
    if not size or room == added:
        return 0
    if not want:
        fraction = -size
    else:
        before = int((rs["metadata"].get("annotations") or {}).get(MAXIMUM) or 0) or status_of(deployment, "replicas")
        if not before:
            return 0
        fraction = _round(size * (want + max_surge(deployment)) / before) - size
    left = room - added
    return min(fraction, left) if room > 0 else max(fraction, left)


def _round(value: float) -> int:
    """Half away from zero, as Go rounds."""
    return int(value + 0.5) if value >= 0 else -int(-value + 0.5)
