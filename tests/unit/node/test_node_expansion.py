"""``$(VAR)`` as kubelet expands it; the downward API; the environment of a container."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from halab.cluster.node.environment import ConfigError, build, service_variables
from halab.cluster.node.expansion import expand
from halab.cluster.node.fields import field_value, quoted, resource_value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("$(A)", "one"),
        ("a$(A)b$(A)", "aonebone"),
        ("$(NONE)", "$(NONE)"),
        ("$$(A)", "$(A)"),
        ("$$$(A) $$$$", "$one $$"),
        ("$A", "$A"),
        ("$(A", "$(A"),
        ("end$", "end$"),
        ("$()", "$()"),
    ],
)
def test_references_expand_and_unknown_ones_stay(text: str, expected: str) -> None:
    assert expand(text, {"A": "one"}) == expected


def pod(**spec: Any) -> dict[str, Any]:
    meta = {"name": "p", "namespace": "ns", "uid": "u-1", "labels": {"b": "2", "a": 'x"y'}, "annotations": {"k/l": "v"}}
    return {"metadata": meta, "spec": {"nodeName": "node-1", "serviceAccountName": "default", **spec}}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("metadata.name", "p"),
        ("metadata.namespace", "ns"),
        ("metadata.uid", "u-1"),
        ("metadata.labels['b']", "2"),
        ("metadata.annotations['k/l']", "v"),
        ("metadata.labels['none']", ""),
        ("metadata.labels", 'a="x\\"y"\nb="2"'),
        ("spec.nodeName", "node-1"),
        ("status.podIP", "127.1.1.2"),
        ("status.hostIP", "127.1.0.10"),
    ],
)
def test_fields_of_a_pod(path: str, expected: str) -> None:
    assert field_value(pod(), path, address="127.1.1.2", host_address="127.1.0.10") == expected


def test_an_unknown_field_is_an_error() -> None:
    with pytest.raises(ValueError, match="unsupported fieldPath"):
        field_value(pod(), "spec.nope", address="", host_address="")


def test_labels_are_quoted_as_go_quotes() -> None:
    assert quoted('a\n"\\é\x01') == '"a\\n\\"\\\\é\\x01"'


@pytest.mark.parametrize(
    ("resource", "divisor", "expected"),
    [
        ("limits.cpu", "", "2"),
        ("limits.cpu", "1m", "1500"),
        ("requests.cpu", "1m", "250"),
        ("limits.memory", "1Mi", "64"),
        ("limits.memory", "0", "67108864"),
        ("limits.ephemeral-storage", "1Gi", "10"),  # not set: the node's
        ("requests.memory", "", "0"),
    ],
)
def test_resources_are_rounded_up(resource: str, divisor: str, expected: str) -> None:
    container = {"resources": {"limits": {"cpu": "1500m", "memory": "64Mi"}, "requests": {"cpu": "250m"}}}
    assert resource_value(container, resource, divisor, {"ephemeral-storage": "10Gi"}) == expected


SERVICES: list[dict[str, Any]] = [
    {
        "metadata": {"name": "my-db", "namespace": "ns"},
        "spec": {"clusterIP": "10.0.0.1", "ports": [{"name": "sql", "port": 5432}, {"name": "web", "port": 80}]},
    },
    {"metadata": {"name": "headless", "namespace": "ns"}, "spec": {"clusterIP": "None", "ports": [{"port": 1}]}},
    {"metadata": {"name": "other", "namespace": "elsewhere"}, "spec": {"clusterIP": "10.0.0.2", "ports": [{"port": 1}]}},
    {
        "metadata": {"name": "kubernetes", "namespace": "default"},
        "spec": {"clusterIP": "10.0.0.9", "ports": [{"name": "https", "port": 443, "protocol": "TCP"}]},
    },
]


def test_services_become_variables_in_both_styles() -> None:
    found = service_variables(SERVICES, "ns", links=True)
    assert found["MY_DB_SERVICE_HOST"] == "10.0.0.1"
    assert found["MY_DB_SERVICE_PORT"] == "5432"
    assert found["MY_DB_SERVICE_PORT_WEB"] == "80"
    assert found["MY_DB_PORT"] == "tcp://10.0.0.1:5432"
    assert found["MY_DB_PORT_80_TCP_ADDR"] == "10.0.0.1"
    assert found["KUBERNETES_SERVICE_PORT_HTTPS"] == "443"
    assert not any(name.startswith(("HEADLESS", "OTHER")) for name in found)


def test_without_service_links_only_the_api_servers_address_is_left() -> None:
    assert {name.split("_")[0] for name in service_variables(SERVICES, "ns", links=False)} == {"KUBERNETES"}


class Maps:
    def __init__(self, maps: dict[str, dict[str, str]], secrets: dict[str, dict[str, str]]) -> None:
        self.maps, self.secrets = maps, secrets

    async def config_map(self, _namespace: str, name: str) -> dict[str, Any] | None:
        return {"data": self.maps[name]} if name in self.maps else None

    async def secret(self, _namespace: str, name: str) -> dict[str, Any] | None:
        if name not in self.secrets:
            return None
        return {"data": {key: base64.b64encode(value.encode()).decode() for key, value in self.secrets[name].items()}}


async def environment(container: dict[str, Any], maps: Maps | None = None) -> dict[str, str]:
    lookup = maps or Maps({"c": {"k": "map", "odd": "1"}}, {"s": {"k": "hidden"}})
    return await build(pod(), container, lookup, SERVICES, address="127.1.1.2", host_address="127.1.0.10", allocatable={})


async def test_env_overrides_env_from_and_sees_what_came_before() -> None:
    found = await environment(
        {
            "envFrom": [{"prefix": "X_", "configMapRef": {"name": "c"}}, {"secretRef": {"name": "s"}}],
            "env": [
                {"name": "X_k", "value": "own"},
                {"name": "B", "value": "$(X_k)-$(k)-$(LATER)-$(MY_DB_SERVICE_PORT)"},
                {"name": "LATER", "value": "l"},
                {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                {"name": "GONE", "valueFrom": {"secretKeyRef": {"name": "s", "key": "none", "optional": True}}},
            ],
        }
    )
    assert found["X_k"] == "own"
    assert found["X_odd"] == "1"
    assert found["B"] == "own-hidden-$(LATER)-5432"
    assert found["IP"] == "127.1.1.2"
    assert "GONE" not in found


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ({"configMapKeyRef": {"name": "c", "key": "none"}}, "couldn't find key none in ConfigMap ns/c"),
        ({"configMapKeyRef": {"name": "none", "key": "k"}}, 'configmap "none" not found'),
        ({"secretKeyRef": {"name": "s", "key": "none"}}, "couldn't find key none in Secret ns/s"),
        ({"secretKeyRef": {"name": "none", "key": "k"}}, 'secret "none" not found'),
    ],
)
async def test_what_is_missing_is_named_in_kubelets_words(source: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        await environment({"env": [{"name": "A", "valueFrom": source}]})
    assert str(caught.value) == text
