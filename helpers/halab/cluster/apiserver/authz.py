"""Who may do what: RBAC over the stored roles and bindings.

The policy is made anew when one of the four kinds of objects has changed; decisions are remembered with it. Denials speak
Kubernetes' words, in the resource's Status or, for other paths, as plain 403s.
"""

from __future__ import annotations

from typing import Any

from halab.cluster.apiserver.request import Request, User
from halab.cluster.kube import kinds, rbac, status
from halab.cluster.kube.rbac import Attributes, Policy
from halab.cluster.kube.status import ApiError
from halab.cluster.store.store import Store

Obj = dict[str, Any]
SOURCES = (kinds.CLUSTER_ROLES, kinds.ROLES, kinds.CLUSTER_ROLE_BINDINGS, kinds.ROLE_BINDINGS)


def rbac_user(user: User) -> rbac.User:
    return rbac.User(user.name, user.groups, user.uid)


class Authorizer:
    def __init__(self, store: Store) -> None:
        self._collections = [store.collection(kind.storage) for kind in SOURCES]
        self._made: tuple[int, ...] = ()
        self._policy = Policy()

    @property
    def policy(self) -> Policy:
        """The policy of this moment."""
        now = tuple(collection.changed for collection in self._collections)
        if now != self._made:
            self._policy = Policy(*([entry.obj() for entry in collection.select()] for collection in self._collections))
            self._made = now
        return self._policy

    def decide(self, user: User, attributes: Attributes) -> rbac.Decision:
        return self.policy.authorize(rbac_user(user), attributes)

    def refusal(self, user: User, attributes: Attributes) -> ApiError | None:
        """The 403 for what the user may not do, None if it may."""
        if rbac.SUPERUSERS in user.groups:
            return None
        decision = self.decide(user, attributes)
        if decision.allowed:
            return None
        text = rbac.denial(rbac_user(user), attributes, decision.reason)
        if not attributes.is_resource:
            return status.ApiError(403, f"forbidden: {text}", "Forbidden", {})
        resource = f"{attributes.resource}.{attributes.group}" if attributes.group else attributes.resource
        error = status.forbidden(resource, attributes.name, text)
        if attributes.subresource:
            name = f"{attributes.resource}/{attributes.subresource}"
            error = status.forbidden(f"{name}.{attributes.group}" if attributes.group else name, attributes.name, text)
        return error

    def check(self, request: Request) -> None:
        """Raises the 403 for a request that its user may not make."""
        if rbac.SUPERUSERS in request.user.groups:
            return
        if request.is_resource:
            name = request.name
            if not name and request.verb in ("list", "watch", "deletecollection"):
                name = _selected_name(request)
            attributes = Attributes(request.verb, request.group, request.resource, request.subresource, request.namespace, name)
        else:
            attributes = Attributes(request.verb, path=request.path)
        error = self.refusal(request.user, attributes)
        if error is not None:
            raise error


def _selected_name(request: Request) -> str:
    """``fieldSelector=metadata.name=x`` makes a list or a watch one of a single object."""
    selector = request.param("fieldSelector")
    prefix = "metadata.name="
    if selector.startswith(prefix) and "," not in selector:
        return selector[len(prefix) :]
    return ""
