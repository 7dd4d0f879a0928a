"""Who may do what."""

from __future__ import annotations

from typing import Any

import pytest

from halab.cluster.kube import rbac_bootstrap
from halab.cluster.kube.rbac import Attributes, Policy, User, denial
from halab.cluster.kube.types import Obj

ANN = User("ann", ("ops", "system:authenticated"))
READER = {
    "metadata": {"name": "reader", "namespace": "shop"},
    "rules": [
        {"apiGroups": [""], "resources": ["pods", "pods/log"], "verbs": ["get", "list"]},
        {"apiGroups": ["apps"], "resources": ["deployments"], "resourceNames": ["web"], "verbs": ["patch"]},
        {"apiGroups": ["apps"], "resources": ["*/scale"], "verbs": ["update"]},
    ],
}


def binding(role: str, of: str = "Role", namespace: str = "shop", **subject: Any) -> Obj:
    metadata = {"name": "bind", **({"namespace": namespace} if namespace else {})}
    return {
        "metadata": metadata,
        "roleRef": {"kind": of, "name": role},
        "subjects": [subject or {"kind": "User", "name": "ann"}],
    }


POLICY = Policy(
    rbac_bootstrap.cluster_roles(),
    [READER],
    rbac_bootstrap.cluster_role_bindings(),
    [binding("reader"), binding("view", "ClusterRole", kind="ServiceAccount", name="bot")],
)


@pytest.mark.parametrize(
    ("attributes", "allowed"),
    [
        (Attributes("list", resource="pods", namespace="shop"), True),
        (Attributes("get", resource="pods", subresource="log", namespace="shop"), True),
        (Attributes("get", resource="pods", subresource="exec", namespace="shop"), False),
        (Attributes("delete", resource="pods", namespace="shop"), False),
        (Attributes("list", resource="pods", namespace="default"), False),
        (Attributes("list", resource="pods"), False),
        (Attributes("patch", "apps", "deployments", namespace="shop", name="web"), True),
        (Attributes("patch", "apps", "deployments", namespace="shop", name="api"), False),
        (Attributes("update", "apps", "statefulsets", "scale", "shop", "db"), True),
        (Attributes("get", path="/healthz"), True),
        (Attributes("get", path="/apis/apps"), True),
        (Attributes("get", path="/metrics"), False),
        (Attributes("create", "authorization.k8s.io", "selfsubjectaccessreviews"), True),
    ],
)
def test_a_role_grants_what_it_names_where_it_is_bound(attributes: Attributes, allowed: bool) -> None:
    assert POLICY.authorize(ANN, attributes).allowed is allowed


def test_reasons_name_the_binding() -> None:
    decision = POLICY.authorize(ANN, Attributes("list", resource="pods", namespace="shop"))
    assert decision.reason == 'RBAC: allowed by RoleBinding "bind/shop" of Role "reader" to User "ann"'


def test_a_service_account_without_a_namespace_is_the_binding_s() -> None:
    bot = User("system:serviceaccount:shop:bot")
    assert POLICY.authorize(bot, Attributes("list", "apps", "deployments", namespace="shop")).allowed
    assert not POLICY.authorize(bot, Attributes("list", resource="secrets", namespace="shop")).allowed


def test_superusers_may_do_anything() -> None:
    assert Policy().authorize(User("root", ("system:masters",)), Attributes("delete", resource="nodes")).allowed


def test_an_unknown_role_is_named_in_the_refusal() -> None:
    decision = Policy((), (), (), [binding("ghost")]).authorize(ANN, Attributes("get", resource="pods", namespace="shop"))
    assert decision == type(decision)(
        False, 'RBAC: role.rbac.authorization.k8s.io "ghost" not found', 'role.rbac.authorization.k8s.io "ghost" not found'
    )


def test_aggregated_roles_gather_what_is_labelled_for_them() -> None:
    label = {"rbac.authorization.k8s.io/aggregate-to-view": "true"}
    extra = {
        "metadata": {"name": "widgets", "labels": label},
        "rules": [{"apiGroups": ["e"], "resources": ["widgets"], "verbs": ["get"]}],
    }
    policy = Policy([*rbac_bootstrap.cluster_roles(), extra], (), (), [binding("admin", "ClusterRole")])
    assert policy.authorize(ANN, Attributes("get", "e", "widgets", namespace="shop")).allowed
    assert policy.authorize(ANN, Attributes("delete", resource="pods", namespace="shop")).allowed


def test_nobody_grants_more_than_he_holds() -> None:
    wanted = [{"apiGroups": [""], "resources": ["pods", "secrets"], "verbs": ["get"]}]
    assert POLICY.escalation(ANN, "shop", wanted) == (
        'user "ann" (groups=["ops" "system:authenticated"]) is attempting to grant RBAC permissions not currently held:\n'
        '{APIGroups:[""], Resources:["secrets"], Verbs:["get"]}'
    )
    assert POLICY.escalation(ANN, "shop", [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]) is None


def test_a_refusal_says_who_what_and_where() -> None:
    assert denial(ANN, Attributes("list", resource="nodes")) == (
        'User "ann" cannot list resource "nodes" in API group "" at the cluster scope'
    )
    assert denial(ANN, Attributes("get", path="/x")) == 'User "ann" cannot get path "/x"'
