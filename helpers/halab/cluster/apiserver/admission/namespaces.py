"""NamespaceLifecycle: nothing is created in a namespace that is absent or going; some namespaces stay for ever."""

from __future__ import annotations

from halab.cluster.apiserver.admission.attributes import Attributes
from halab.cluster.kube import kinds, status

IMMORTAL = frozenset({"default", "kube-system", "kube-public"})


def admit(attributes: Attributes) -> None:
    if attributes.kind is kinds.NAMESPACES:
        if attributes.operation == "DELETE" and attributes.name in IMMORTAL:
            raise attributes.forbidden("this namespace may not be deleted")
        return
    if attributes.operation != "CREATE" or not attributes.namespace or attributes.kind is kinds.LOCAL_SUBJECT_ACCESS_REVIEWS:
        return
    entry = attributes.tx.get(kinds.NAMESPACES.storage, "", attributes.namespace)
    if entry is None:
        raise status.not_found(kinds.NAMESPACES, attributes.namespace)
    if b'"Terminating"' not in entry.value:
        return
    if entry.obj().get("status", {}).get("phase") == "Terminating" and not attributes.subresource:
        error = attributes.forbidden(
            f"unable to create new content in namespace {attributes.namespace} because it is being terminated"
        )
        message = f"namespace {attributes.namespace} is being terminated"
        cause = {"reason": "NamespaceTerminating", "message": message, "field": "metadata.namespace"}
        error.details = (error.details or {}) | {"causes": [cause]}
        raise error
