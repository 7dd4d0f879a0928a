"""ResourceQuota: what would exceed a quota is refused; what is accepted is counted at once, in the same transaction."""

from __future__ import annotations

from typing import Any

from halab.cluster.apiserver.admission.attributes import Attributes
from halab.cluster.kube import kinds, quantity, quota

Obj = dict[str, Any]
Amounts = dict[str, str]
CHARGED_ON_UPDATE = frozenset({kinds.SERVICES, kinds.PERSISTENT_VOLUME_CLAIMS})


def _pretty(amounts: Amounts) -> str:
    return ",".join(f"{name}={amounts[name]}" for name in sorted(amounts))


def _handles(attributes: Attributes) -> bool:
    if not attributes.namespace or attributes.kind is kinds.EVENTS or attributes.kind is kinds.EVENTS_V1:
        return False
    if attributes.subresource:
        return attributes.kind is kinds.PODS and attributes.subresource == "resize"
    return attributes.operation == "CREATE" or (attributes.operation == "UPDATE" and attributes.kind in CHARGED_ON_UPDATE)


def validate(attributes: Attributes) -> None:
    if not _handles(attributes):
        return
    for limit in attributes.all(kinds.RESOURCE_QUOTAS, attributes.namespace):
        if quota.covers(limit, attributes.kind, attributes.obj):
            _charge(attributes, limit)


def _charge(attributes: Attributes, limit: Obj) -> None:
    name = limit["metadata"]["name"]
    status = limit.get("status") or {}
    hard: Amounts = status.get("hard") or {}
    tracked = [resource for resource in hard if quota.tracks(attributes.kind, resource)]
    if attributes.kind is kinds.PODS and (missing := quota.unspecified(tracked, attributes.obj)):
        raise attributes.forbidden(f"failed quota: {name}: {missing}")
    used: Amounts = status.get("used") or {}
    unknown = sorted(resource for resource in tracked if resource not in used)
    if unknown:
        raise attributes.forbidden(f"status unknown for quota: {name}, resources: {','.join(unknown)}")
    wanted = quota.usage(attributes.kind, attributes.obj)
    if attributes.old is not None and quota.covers(limit, attributes.kind, attributes.old):
        before = quota.usage(attributes.kind, attributes.old)
        wanted = {key: quantity.subtract(value, before[key]) if key in before else value for key, value in wanted.items()}
    delta = {key: value for key, value in wanted.items() if key in hard and quantity.parse(value) > 0}
    if not delta:
        return
    after = {key: quantity.add(used[key], value) for key, value in delta.items()}
    exceeded = [key for key in delta if quantity.compare(after[key], hard[key]) > 0]
    if exceeded:
        requested, present, limited = ({key: source[key] for key in exceeded} for source in (delta, used, hard))
        raise attributes.forbidden(
            f"exceeded quota: {name}, requested: {_pretty(requested)}, used: {_pretty(present)}, limited: {_pretty(limited)}"
        )
    if not attributes.dry_run:
        limit["status"] = status | {"used": used | after}
        attributes.tx.put(kinds.RESOURCE_QUOTAS.storage, attributes.namespace, name, limit)
