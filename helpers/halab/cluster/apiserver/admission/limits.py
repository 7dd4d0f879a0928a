"""LimitRanger: default requests and limits of containers, and bounds for containers, pods and claims."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from halab.cluster.apiserver.admission.attributes import Attributes
from halab.cluster.kube import kinds, quantity

Obj = dict[str, Any]
Amounts = dict[str, str]
ANNOTATION = "kubernetes.io/limit-ranger"


def _ranges(attributes: Attributes) -> list[Obj]:
    return list(attributes.all(kinds.LIMIT_RANGES, attributes.namespace)) if attributes.namespace else []


def _applies(attributes: Attributes) -> bool:
    if attributes.is_(kinds.PODS, "CREATE"):
        return True
    return attributes.is_(kinds.PERSISTENT_VOLUME_CLAIMS) and attributes.operation in ("CREATE", "UPDATE")


def mutate(attributes: Attributes) -> None:
    if not attributes.is_(kinds.PODS, "CREATE"):
        return
    for limit_range in _ranges(attributes):
        _fill_in(limit_range, attributes.obj)


def _fill_in(limit_range: Obj, pod: Obj) -> None:
    requests: Amounts = {}
    limits: Amounts = {}
    for item in limit_range["spec"].get("limits") or ():
        if item.get("type") == "Container":
            requests |= item.get("defaultRequest") or {}
            limits |= item.get("default") or {}
    notes: list[str] = []
    for prefix, field in (("container", "containers"), ("init container", "initContainers")):
        for container in pod["spec"].get(field) or ():
            resources = container.setdefault("resources", {})
            for which, defaults, word in (("requests", requests, "request"), ("limits", limits, "limit")):
                present = resources.get(which) or {}
                added = sorted(name for name in defaults if name not in present)
                if added:
                    resources[which] = present | {name: defaults[name] for name in added}
                    notes.append(f"{', '.join(added)} {word} for {prefix} {container.get('name', '')}")
    if notes:
        pod["metadata"].setdefault("annotations", {})[ANNOTATION] = "LimitRanger plugin set: " + "; ".join(notes)


def validate(attributes: Attributes) -> None:
    if not _applies(attributes):
        return
    for limit_range in _ranges(attributes):
        check = _pod_faults if attributes.kind is kinds.PODS else _claim_faults
        faults = list(dict.fromkeys(check(limit_range, attributes.obj)))
        if faults:
            raise attributes.forbidden(faults[0] if len(faults) == 1 else f"[{', '.join(faults)}]")


def _pod_faults(limit_range: Obj, pod: Obj) -> Iterator[str]:
    containers = [container.get("resources") or {} for container in pod["spec"].get("containers") or ()]
    starting = [container.get("resources") or {} for container in pod["spec"].get("initContainers") or ()]
    for limit in limit_range["spec"].get("limits") or ():
        if limit.get("type") == "Container":
            for resources in (*containers, *starting):
                yield from _bounds(limit, resources.get("requests") or {}, resources.get("limits") or {})
        elif limit.get("type") == "Pod":
            requests = _pod_total([r.get("requests") or {} for r in containers], [r.get("requests") or {} for r in starting])
            limits = _pod_total([r.get("limits") or {} for r in containers], [r.get("limits") or {} for r in starting])
            yield from _bounds(limit, requests, limits)


def _pod_total(containers: list[Amounts], starting: list[Amounts]) -> Amounts:
    """The sum over the containers of what each of them names, and at least what any init container needs."""
    total: Amounts = {}
    for name in {name for amounts in containers for name in amounts}:
        if all(name in amounts for amounts in containers):
            values = [amounts[name] for amounts in containers]
            milli = name == "cpu"
            amount = sum(quantity.to_milli(value) if milli else quantity.to_int(value) for value in values)
            total[name] = quantity.spell_milli(amount) if milli else quantity.spell(amount)
    for amounts in starting:
        for name, value in amounts.items():
            if name not in total or quantity.compare(total[name], value) < 0:
                total[name] = value
    return total


def _claim_faults(limit_range: Obj, claim: Obj) -> Iterator[str]:
    requests = (claim["spec"].get("resources") or {}).get("requests") or {}
    for limit in limit_range["spec"].get("limits") or ():
        if limit.get("type") != "PersistentVolumeClaim":
            continue
        for name, bound in sorted((limit.get("min") or {}).items()):
            yield from _minimum("PersistentVolumeClaim", name, bound, requests, {})
        for name, bound in sorted((limit.get("max") or {}).items()):
            if name in requests and quantity.compare(requests[name], bound) > 0:
                yield f"maximum {name} usage per PersistentVolumeClaim is {bound}, but request is {requests[name]}"


def _bounds(limit: Obj, requests: Amounts, limits: Amounts) -> Iterator[str]:
    kind = limit["type"]
    for name, bound in sorted((limit.get("min") or {}).items()):
        yield from _minimum(kind, name, bound, requests, limits)
    for name, bound in sorted((limit.get("max") or {}).items()):
        if name not in limits:
            yield f"maximum {name} usage per {kind} is {bound}.  No limit is specified"
        elif quantity.compare(limits[name], bound) > 0:
            yield f"maximum {name} usage per {kind} is {bound}, but limit is {limits[name]}"
        elif name in requests and quantity.compare(requests[name], bound) > 0:
            yield f"maximum {name} usage per {kind} is {bound}, but request is {requests[name]}"
    for name, bound in sorted((limit.get("maxLimitRequestRatio") or {}).items()):
        yield from _ratio(kind, name, bound, requests, limits)


def _minimum(kind: str, name: str, bound: str, requests: Amounts, limits: Amounts) -> Iterator[str]:
    if name not in requests:
        yield f"minimum {name} usage per {kind} is {bound}.  No request is specified"
    elif quantity.compare(requests[name], bound) < 0:
        yield f"minimum {name} usage per {kind} is {bound}, but request is {requests[name]}"
    elif name in limits and quantity.compare(limits[name], bound) < 0:
        yield f"minimum {name} usage per {kind} is {bound}, but limit is {limits[name]}"


def _ratio(kind: str, name: str, bound: str, requests: Amounts, limits: Amounts) -> Iterator[str]:
    head = f"{name} max limit to request ratio per {kind} is {bound}, but"
    if name not in requests or not quantity.parse(requests[name]):
        yield f"{head} no request is specified or request is 0"
    elif name not in limits or not quantity.parse(limits[name]):
        yield f"{head} no limit is specified or limit is 0"
    else:
        ratio = quantity.parse(limits[name]) / quantity.parse(requests[name])
        if ratio > quantity.parse(bound):
            yield f"{head} provided ratio is {float(ratio):f}"
