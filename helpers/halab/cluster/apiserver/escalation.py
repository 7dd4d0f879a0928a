"""Nobody grants what they do not have: roles and bindings are checked against their author's own permissions
(https://kubernetes.io/docs/reference/access-authn-authz/rbac/#privilege-escalation-prevention-and-bootstrapping).
"""

from __future__ import annotations

from typing import Any

from halab.cluster.apiserver.admission.attributes import Attributes
from halab.cluster.apiserver.authz import Authorizer, rbac_user
from halab.cluster.kube import kinds, rbac

Obj = dict[str, Any]
GROUP = "rbac.authorization.k8s.io"
ROLES = frozenset({kinds.ROLES, kinds.CLUSTER_ROLES})
CHECKED = ROLES | {kinds.ROLE_BINDINGS, kinds.CLUSTER_ROLE_BINDINGS}


def check(authorizer: Authorizer, attributes: Attributes) -> None:
    """Raises a 403 that lists what the author lacks."""
    if attributes.kind not in CHECKED or rbac.SUPERUSERS in attributes.user.groups:
        return
    if attributes.kind in ROLES:
        _check_role(authorizer, attributes)
    else:
        _check_binding(authorizer, attributes)


def _may(authorizer: Authorizer, attributes: Attributes, verb: str, resource: str, namespace: str, name: str) -> bool:
    asked = rbac.Attributes(verb, GROUP, resource, "", namespace, name)
    return authorizer.decide(attributes.user, asked).allowed


def _check_role(authorizer: Authorizer, attributes: Attributes) -> None:
    role, old = attributes.obj, attributes.old
    if old is not None and all(role.get(field) == old.get(field) for field in ("rules", "aggregationRule")):
        return
    if _may(authorizer, attributes, "escalate", attributes.kind.plural, attributes.namespace, attributes.name):
        return
    rules = list(role.get("rules") or ())
    if role.get("aggregationRule"):  # what it will gather is unknown: only who may do everything may write it
        rules.append({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]})
    _refuse(authorizer, attributes, attributes.namespace, rules)


def _check_binding(authorizer: Authorizer, attributes: Attributes) -> None:
    binding, old = attributes.obj, attributes.old
    if old is not None and all(binding.get(field) == old.get(field) for field in ("subjects", "roleRef")):
        return
    reference = binding.get("roleRef") or {}
    resource = "clusterroles" if reference.get("kind") == "ClusterRole" else "roles"
    if _may(authorizer, attributes, "bind", resource, attributes.namespace, reference.get("name") or ""):
        return
    rules = authorizer.policy.role_rules(reference, attributes.namespace)
    if rules is None:
        raise attributes.forbidden(f'{resource.removesuffix("s")}.{GROUP} "{reference.get("name", "")}" not found')
    _refuse(authorizer, attributes, attributes.namespace, rules)


def _refuse(authorizer: Authorizer, attributes: Attributes, namespace: str, rules: list[Obj]) -> None:
    text = authorizer.policy.escalation(rbac_user(attributes.user), namespace, rules)
    if text is not None:
        raise attributes.forbidden(text)
