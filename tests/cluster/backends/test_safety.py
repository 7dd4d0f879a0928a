"""What halab never does on somebody's cluster, tried with a learner's rights and with an administrator's."""

from __future__ import annotations

import pytest

from halab.backends import rights
from halab.backends.existing import Existing
from halab.cluster.kube.status import ApiError
from halab.errors import ClusterError, HalabError, UsageError
from halab.faults import api as faults
from halab.session import LabSession, open_lab

from .conftest import Somebodys

pytestmark = pytest.mark.needs("kubectl", "nginx")


@pytest.fixture
def lab(alice: Existing) -> LabSession:
    session = open_lab("02", cluster=alice.name, quiet=True)
    session.reset(quiet=True)
    return session


def test_a_reset_lists_first_and_leaves_what_is_not_the_lab_s(somebodys: Somebodys, lab: LabSession) -> None:
    lab.solve()
    somebodys.kubectl("-n", "alice", "create", "configmap", "of-helm", "--from-literal=a=b")
    somebodys.kubectl("-n", "alice", "label", "configmap", "of-helm", "app.kubernetes.io/managed-by=Helm")
    somebodys.kubectl("-n", "alice", "create", "secret", "generic", "asked-for", "--from-literal=a=b")
    somebodys.kubectl("-n", "alice", "label", "secret", "asked-for", "halab.io/keep=")
    doomed = lab.doomed()
    assert "deployments/nginx-deployment" in doomed and not [name for name in doomed if "of-helm" in name or "asked-for" in name]
    assert "deployments/nginx-deployment" not in " ".join(name for name in doomed if name.startswith("serviceaccounts"))
    lab.reset(quiet=True)
    left = somebodys.kubectl("-n", "alice", "get", "deployments,configmaps,secrets,serviceaccounts,rolebindings", "-o", "name")
    for name in ("configmap/of-helm", "secret/asked-for", "serviceaccount/alice", "halab-learner"):
        assert name in left
    assert "deployment.apps/nginx-deployment" not in left
    somebodys.kubectl("-n", "alice", "delete", "configmap/of-helm", "secret/asked-for")


def test_a_fault_is_shown_before_it_is_injected_and_stays_in_the_namespace(somebodys: Somebodys, lab: LabSession) -> None:
    lab.solve()
    backend = lab.backend
    names = [one.name for one in faults.catalogue(backend) if not one.lacks]
    assert names, "some failures need the namespace alone"
    wide = [one for one in faults.catalogue(backend) if one.cluster_wide]
    assert wide and all("a cluster of your own" in " ".join(one.lacks) for one in wide)
    for name in ("node-lost", "apiserver-down", "node-drained"):
        with pytest.raises(HalabError, match="this cluster \\(existing\\) does not offer that"):
            faults.preview(backend, name, "node-1" if name.startswith("node") else "", namespace="alice")
    with pytest.raises(UsageError, match="namespace kube-system is not yours"):
        faults.preview(backend, "service-misrouted" if "service-misrouted" in names else names[0], "x", namespace="kube-system")
    before = somebodys.kubectl("-n", "alice", "get", "all", "-o", "name")
    hitting = next(one for one in faults.catalogue(backend) if not one.lacks and one.target.startswith("deployment"))
    seen = faults.preview(backend, hitting.name, "deployment/nginx-deployment", namespace="alice")
    assert seen.hits and "nginx-deployment" in " ".join(seen.hits)
    with pytest.raises(UsageError, match="others use this cluster: confirm with --yes"):
        faults.inject(backend, hitting.name, "deployment/nginx-deployment", namespace="alice")
    assert somebodys.kubectl("-n", "alice", "get", "all", "-o", "name") == before and not faults.active(backend)


def test_a_notebook_prints_what_is_hit(lab: LabSession, capsys: pytest.CaptureFixture[str]) -> None:
    lab.solve()
    hitting = next(one for one in faults.catalogue(lab.backend) if not one.lacks and one.target.startswith("deployment"))
    with lab.fault(hitting.name, "deployment/nginx-deployment", duration=5):
        assert "hits: " in capsys.readouterr().out
    assert not faults.active(lab.backend)


def test_the_learner_s_rights_end_at_the_namespace(somebodys: Somebodys, alice: Existing) -> None:
    api = alice.api()
    for act in (
        lambda: api.list("pods", namespace="kube-system"),
        lambda: api.list("secrets", namespace="default"),
        lambda: api.patch("nodes", "node-1", {"spec": {"unschedulable": True}}),
        lambda: api.delete("namespaces", "alice"),
        lambda: api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "mine-too"}}),
        lambda: api.patch("namespaces", "alice", {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "privileged"}}}),
    ):
        with pytest.raises(ApiError) as caught:
            act()
        assert caught.value.code == 403


def test_labs_that_need_more_than_a_namespace_say_so(alice: Existing) -> None:
    for name, words in (("08", "a cluster of your own"), ("11", "this machine's registries"), ("13", "patch namespaces")):
        with pytest.raises(UsageError, match=words):
            open_lab(name, cluster=alice.name, quiet=True)


def test_a_namespace_of_the_same_name_that_somebody_made_anew_is_not_removed(somebodys: Somebodys) -> None:
    cluster = Existing("again", {"kubeconfig": str(somebodys.admin), "namespace": "again"})
    cluster.up(lambda _text: None)
    somebodys.kubectl("delete", "namespace", "again", "--wait=true")
    somebodys.kubectl("create", "namespace", "again")
    assert Existing("again").down(purge=True)
    somebodys.kubectl("get", "namespace", "again")


def test_one_right_that_is_missing_is_named_with_its_verb_and_the_role_s_file(somebodys: Somebodys) -> None:
    text = rights.manifests("carol", "alice").replace("name: alice\n    namespace: carol", "name: alice\n    namespace: alice")
    text = text.replace("resources: [statefulsets]", "").replace("[deployments, statefulsets, ", "[deployments, ")
    somebodys.kubectl("apply", "-f", "-", text=text)
    with pytest.raises(ClusterError) as caught:
        Existing("carol", {"kubeconfig": str(somebodys.learner), "namespace": "carol"}).up(lambda _text: None)
    assert caught.value.fact == "you may not: create, delete, deletecollection, get, list, patch, update, watch statefulsets.apps"
    assert str(rights.FILE) in caught.value.remedy


def test_a_namespace_that_a_lab_made_strict_is_as_before_for_the_next_lab(somebodys: Somebodys) -> None:
    somebodys.kubectl("create", "namespace", "dora")
    somebodys.kubectl("label", "namespace", "dora", "pod-security.kubernetes.io/warn=baseline")
    options = {"kubeconfig": str(somebodys.admin), "namespace": "dora", "load": "none", "has": ("networkpolicy",)}
    Existing("dora", options).up(lambda _text: None)
    lab = open_lab("02", cluster="dora", quiet=True)
    for label in ("enforce=restricted", "warn=restricted"):
        somebodys.kubectl("label", "namespace", "dora", "--overwrite", f"pod-security.kubernetes.io/{label}")
    lab.reset(quiet=True)
    labels = somebodys.kubectl("get", "namespace", "dora", "-o", "jsonpath={.metadata.labels}")
    assert "restricted" not in labels and '"pod-security.kubernetes.io/warn":"baseline"' in labels
    assert Existing("dora").down(purge=True)
    somebodys.kubectl("get", "namespace", "dora")
