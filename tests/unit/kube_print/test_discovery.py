"""Discovery documents."""

from __future__ import annotations

from halab.cluster.kube import discovery
from halab.cluster.kube.kinds import BUILTIN


def test_versions_are_listed_with_the_preferred_one_first() -> None:
    names = ["v1alpha1", "v1", "v2beta1", "v10", "v2", "foo", "v1beta2"]
    assert sorted(names, key=discovery.version_order) == ["v10", "v2", "v1", "v2beta1", "v1beta2", "v1alpha1", "foo"]
    group = discovery.group(BUILTIN, "autoscaling")
    assert group is not None
    assert group["preferredVersion"] == {"groupVersion": "autoscaling/v2", "version": "v2"}
    assert discovery.group(BUILTIN, "nothing") is None


def test_subresources_are_entries_of_their_own_in_the_old_form() -> None:
    listed = discovery.resource_list(BUILTIN, "apps", "v1")
    assert listed is not None
    scale = next(r for r in listed["resources"] if r["name"] == "deployments/scale")
    assert scale == {
        "name": "deployments/scale",
        "singularName": "",
        "namespaced": True,
        "group": "autoscaling",
        "version": "v1",
        "kind": "Scale",
        "verbs": ["get", "patch", "update"],
    }


def test_the_storage_hash_is_kubernetes_own() -> None:
    listed = discovery.resource_list(BUILTIN, "apps", "v1")
    assert listed is not None
    deployments = next(r for r in listed["resources"] if r["name"] == "deployments")
    assert deployments["storageVersionHash"] == "8aSe+NMegvE="


def test_the_aggregated_document_has_one_entry_a_group() -> None:
    core = discovery.aggregated(BUILTIN, core=True)
    assert [item["metadata"] for item in core["items"]] == [{}]
    names = [item["metadata"]["name"] for item in discovery.aggregated(BUILTIN, core=False)["items"]]
    assert "apps" in names and "" not in names
