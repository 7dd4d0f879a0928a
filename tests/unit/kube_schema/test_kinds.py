"""The table of kinds, and that each has a shape."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from halab.cluster.kube import kinds, schema
from halab.cluster.kube.kinds import BUILTIN, DEPLOYMENTS, EVENTS, EVENTS_V1, NAMESPACES, PODS

ROOT = Path(__file__).resolve().parents[3]


def test_paths_are_those_of_the_api() -> None:
    assert PODS.path() == "/api/v1/pods"
    assert PODS.path("a", "b", "log") == "/api/v1/namespaces/a/pods/b/log"
    assert DEPLOYMENTS.path("a") == "/apis/apps/v1/namespaces/a/deployments"
    assert NAMESPACES.path("ignored", "a") == "/api/v1/namespaces/a"


def test_every_kind_is_found_by_resource_and_by_kind() -> None:
    for kind in BUILTIN:
        assert kinds.by_resource(kind.group, kind.version, kind.plural) is kind
        assert kinds.by_gvk(kind.group, kind.version, kind.kind) is kind
        assert kinds.by_api_version(kind.api_version, kind.kind) is kind


def test_the_two_groups_of_events_share_their_storage() -> None:
    assert EVENTS_V1.storage == EVENTS.storage == "events"
    assert EVENTS_V1 != EVENTS


def test_verbs_and_subresources_are_sorted_as_discovery_lists_them() -> None:
    for kind in BUILTIN:
        assert list(kind.verbs) == sorted(kind.verbs)
        assert [s.name for s in kind.subresources] == sorted(s.name for s in kind.subresources)


def test_every_stored_kind_has_a_shape_with_metadata() -> None:
    for kind in BUILTIN:
        if kind.stored:
            node = schema.node_for(kind)
            assert node.at("metadata", "labels", "[]") is not None, kind
            assert kind.has_status == (node.at("status") is not None) or kind.plural in ("endpointslices",), kind


def test_the_shapes_agree_with_the_installed_openapi_definitions() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "kube_definitions.py", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_shape_knows_how_lists_merge() -> None:
    containers = schema.node_for(PODS).at("spec", "containers")
    assert containers is not None
    assert (containers.merge_key, containers.patch_strategy, containers.list_map_keys) == ("name", "merge", ("name",))
    ports = containers.at("[]", "ports")
    assert ports is not None and ports.list_map_keys == ("containerPort", "protocol")


def test_descriptions_come_from_the_openapi_definitions() -> None:
    assert schema.describe("io.k8s.api.core.v1.Pod").startswith("Pod is a collection of containers")
    assert "immutable" in schema.describe("io.k8s.api.core.v1.ConfigMap", "immutable").lower()
    assert schema.describe("no.such.Thing") == ""
