"""What a pod asks for as a whole (``spec.resources``), and whether its containers fit into it."""

from __future__ import annotations

from halab.cluster.kube import quantity
from halab.cluster.kube.quota import pod_resources
from halab.cluster.kube.status import forbidden_field, invalid_value
from halab.cluster.kube.types import Obj
from halab.cluster.kube.validation import resources
from halab.cluster.kube.validation.meta import Errors


def of_the_whole(errors: Errors, spec: Obj, claims: frozenset[str], path: str) -> None:
    given = spec["resources"]
    if "claims" in given:
        errors.append(forbidden_field(f"{path}.claims", "claims cannot be set for Resources at pod-level"))
    before = len(errors)
    resources.requirements(errors, given, path, claims, resources.pod_resource)
    if len(errors) == before:
        _pod_covers_containers(errors, spec, given.get("requests") or {}, given.get("limits") or {}, path)


def _pod_covers_containers(errors: Errors, spec: Obj, requests: Obj, limits: Obj, path: str) -> None:
    """What a pod asks for as a whole is enough for all its containers, and none of them may have more than it."""
    together = pod_resources(
        {"spec": {name: spec[name] for name in ("containers", "initContainers") if name in spec}}, "requests"
    )
    for name, total in sorted(together.items()):
        if name in requests and quantity.compare(total, requests[name]) > 0:
            message = f"must be greater than or equal to aggregate container requests of {total}"
            errors.append(invalid_value(f"{path}.requests[{name}]", requests[name], message))
    for index, container in enumerate(spec.get("containers") or ()):
        for name, limit in sorted(((container.get("resources") or {}).get("limits") or {}).items()):
            if name in limits and quantity.compare(limit, limits[name]) > 0:
                where = f"{path}.containers[{index}][{name}].limits"  # Kubernetes' own path
                errors.append(invalid_value(where, limit, f"must be less than or equal to pod limits of {limits[name]}"))
