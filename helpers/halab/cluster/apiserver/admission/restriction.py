"""NodeRestriction: a node agent changes only its own Node and the pods that are bound to it."""

from __future__ import annotations

from halab.cluster.apiserver.admission.attributes import Attributes
from halab.cluster.kube import kinds

PREFIX = "system:node:"


def validate(attributes: Attributes) -> None:
    if not attributes.user.name.startswith(PREFIX):
        return
    node = attributes.user.name[len(PREFIX) :]
    if attributes.kind is kinds.NODES:
        name = attributes.name or attributes.obj.get("metadata", {}).get("name", "")
        if name != node:
            raise attributes.forbidden(f'node "{node}" is not allowed to modify node "{name}"')
        if attributes.operation == "UPDATE" and not attributes.subresource and attributes.old is not None:
            _same_taints(attributes, node)
    elif attributes.kind is kinds.PODS:
        _own_pod(attributes, node)


def _same_taints(attributes: Attributes, node: str) -> None:
    before = (attributes.old or {}).get("spec", {}).get("taints") or []
    if (attributes.obj.get("spec", {}).get("taints") or []) != before:
        raise attributes.forbidden(f'node "{node}" is not allowed to modify taints')


def _own_pod(attributes: Attributes, node: str) -> None:
    pod = attributes.old if attributes.old is not None else attributes.obj
    bound = (pod.get("spec") or {}).get("nodeName", "")
    match attributes.operation, attributes.subresource:
        case "CREATE", "":
            if "kubernetes.io/config.mirror" not in (attributes.obj["metadata"].get("annotations") or {}):
                raise attributes.forbidden(
                    f'pod does not have "kubernetes.io/config.mirror" annotation, node "{node}" can only create mirror pods'
                )
            if bound != node:
                raise attributes.forbidden(f'node "{node}" can only create pods with spec.nodeName set to itself')
        case "DELETE", "":
            if bound != node:
                raise attributes.forbidden(f'node "{node}" can only delete pods with spec.nodeName set to itself')
        case "UPDATE", "status":
            if bound != node:
                raise attributes.forbidden(f'node "{node}" can only update pod status for pods with spec.nodeName set to itself')
        case "UPDATE", _:
            raise attributes.forbidden(
                f"unexpected operation {attributes.operation!r}, node {node!r} can only create and delete mirror pods"
            )
