"""Malformed, huge, slow and very many requests: a Status or a clean close, never a 500, and memory stays bounded."""

from __future__ import annotations

import asyncio
import random
import ssl
from pathlib import Path
from typing import Any

import orjson
import pytest

from cluster.api_process import Server
from cluster.bare_cluster import free_number, make
from halab.cluster.client.client import Client
from halab.cluster.kube import kinds
from halab.cluster.kube.kinds import CONFIG_MAPS

WATCHES = 1000
SHAPES: tuple[Any, ...] = (None, 0, -1, 1.5, True, "", "x", [], [None], [[]], {}, {"": {}}, {"a": [1, {}]}, "é\u0000", 2**70)


def mutated(value: Any, chance: random.Random) -> Any:
    """``value`` with a few of its parts replaced by something else."""
    if chance.random() < 0.06:
        return chance.choice(SHAPES)
    if isinstance(value, dict):
        changed = {key: mutated(item, chance) for key, item in value.items()}
        if chance.random() < 0.1:
            changed[chance.choice(["", "x", "kind", "metadata", "spec", "\u2028"])] = chance.choice(SHAPES)
        return changed
    if isinstance(value, list):
        return [mutated(item, chance) for item in value] * chance.choice([1, 1, 1, 2])
    return value


OPERATIONS = ("add", "remove", "replace", "test", "move", "copy", "?")
POINTERS = ("", "/", "/spec", "/spec/x/y", "x", "/spec/template/spec/containers/-", "/metadata/labels/a~1b")
META = {"name": "a", "namespace": "default", "labels": {"app": "a"}, "annotations": {"k": "v"}, "finalizers": ["x.y/z"]}
POD_SPEC = {
    "containers": [
        {
            "name": "c",
            "image": "i",
            "ports": [{"containerPort": 80, "name": "http"}],
            "env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
            "resources": {"requests": {"cpu": "1"}, "limits": {"memory": "1Gi"}},
            "livenessProbe": {"httpGet": {"port": 80}},
            "volumeMounts": [{"name": "v", "mountPath": "/v"}],
            "securityContext": {"capabilities": {"add": ["KILL"]}},
        }
    ],
    "volumes": [{"name": "v", "configMap": {"name": "c", "items": [{"key": "a", "path": "b"}]}}],
    "affinity": {
        "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": []}]}}
    },
    "tolerations": [{"key": "a", "operator": "Exists"}],
    "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule"}],
}
SELECTOR = {"matchLabels": {"app": "a"}, "matchExpressions": [{"key": "b", "operator": "In", "values": ["c"]}]}
TEMPLATE = {"metadata": {"labels": {"app": "a"}}, "spec": POD_SPEC}
BODIES: list[tuple[kinds.Kind, dict[str, Any]]] = [
    (kinds.PODS, {"spec": POD_SPEC}),
    (kinds.CONFIG_MAPS, {"data": {"a": "b"}, "binaryData": {"c": "ZA=="}, "immutable": False}),
    (kinds.SERVICES, {"spec": {"type": "NodePort", "selector": {"a": "b"}, "ports": [{"port": 80, "targetPort": "http", "nodePort": 30001}]}}),
    (kinds.DEPLOYMENTS, {"spec": {"replicas": 1, "selector": SELECTOR, "template": TEMPLATE, "strategy": {"rollingUpdate": {"maxSurge": "25%"}}}}),
    (kinds.STATEFUL_SETS, {"spec": {"serviceName": "s", "selector": SELECTOR, "template": TEMPLATE, "volumeClaimTemplates": [{"metadata": {"name": "d"}}]}}),
    (kinds.CRON_JOBS, {"spec": {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": TEMPLATE}}}}),
    (kinds.HORIZONTAL_POD_AUTOSCALERS, {"spec": {"maxReplicas": 2, "scaleTargetRef": {"kind": "D", "name": "d"}, "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}]}}),
    (kinds.HORIZONTAL_POD_AUTOSCALERS_V1, {"spec": {"maxReplicas": 2, "scaleTargetRef": {"kind": "D", "name": "d"}, "targetCPUUtilizationPercentage": 5}}),
    (kinds.INGRESSES, {"spec": {"rules": [{"host": "h", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "s", "port": {"number": 80}}}}]}}]}}),
    (kinds.NETWORK_POLICIES, {"spec": {"podSelector": SELECTOR, "ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}]}}),
    (kinds.ROLES, {"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]}),
    (kinds.ROLE_BINDINGS, {"roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "a"}, "subjects": [{"kind": "User", "name": "u"}]}),
    (kinds.EVENTS, {"involvedObject": {"kind": "Pod", "namespace": "default"}, "reason": "r", "count": 1, "lastTimestamp": "2026-01-01T00:00:00Z"}),
    (kinds.EVENTS_V1, {"regarding": {"kind": "Pod", "namespace": "default"}, "reason": "r", "eventTime": "2026-01-01T00:00:00.000000Z"}),
    (kinds.RESOURCE_QUOTAS, {"spec": {"hard": {"pods": "1"}, "scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "Exists"}]}}}),
    (kinds.LIMIT_RANGES, {"spec": {"limits": [{"type": "Container", "max": {"cpu": "1"}, "default": {"cpu": "1"}}]}}),
    (kinds.POD_DISRUPTION_BUDGETS, {"spec": {"minAvailable": "50%", "selector": SELECTOR}}),
    (kinds.CUSTOM_RESOURCE_DEFINITIONS, {"spec": {"group": "g.io", "scope": "Namespaced", "names": {"plural": "as", "kind": "A"}, "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": {"type": "object"}}}}}]}}),
    (kinds.SUBJECT_ACCESS_REVIEWS, {"spec": {"user": "a", "groups": ["b"], "resourceAttributes": {"verb": "get", "resource": "pods"}}}),
    (kinds.TOKEN_REVIEWS, {"spec": {"token": "a.b.c", "audiences": ["x"]}}),
]  # fmt: skip


def ours(status: int, answer: bytes) -> bool:
    """Whether the server failed by itself. Kubernetes answers some malformed patches with a 500 too, but one without a reason."""
    return status >= 500 and b'"reason":"InternalError"' in answer


async def ask(
    client: Client, method: str, path: str, body: bytes = b"", content_type: str = "application/json"
) -> tuple[int, bytes]:
    status, _, answer = await client.request(method, path, body=body, headers={"Content-Type": content_type})
    return status, answer


@pytest.mark.parametrize("seed", range(8))
async def test_mutated_objects_never_give_500(client: Client, seed: int) -> None:
    chance = random.Random(seed)
    for kind, body in BODIES * 4:
        obj = mutated({"apiVersion": kind.api_version, "kind": kind.kind, "metadata": META, **body}, chance)
        data = orjson.dumps(obj, option=orjson.OPT_NON_STR_KEYS) if not _too_big(obj) else b'{"spec": 1e400}'
        path = kind.path("default" if kind.namespaced else None)
        query = "?dryRun=All" + chance.choice(["", "&fieldValidation=Strict", "&fieldValidation=Ignore"])
        status, answer = await ask(client, "POST", path + query, data)
        assert not ours(status, answer), (path, data, answer)
        for content_type in ("application/merge-patch+json", "application/strategic-merge-patch+json"):
            status, answer = await ask(
                client, "PATCH", kind.path("default" if kind.namespaced else None, "none") + query, data, content_type
            )
            assert not ours(status, answer), (path, data, answer)


def _too_big(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_too_big(item) for item in value.values())
    if isinstance(value, list):
        return any(_too_big(item) for item in value)
    return isinstance(value, int) and abs(value) >= 2**63


@pytest.mark.parametrize("seed", range(4))
async def test_mutated_patches_of_a_live_object_are_answered_in_kind(client: Client, seed: int) -> None:
    chance = random.Random(seed)
    name = f"live-{seed}"
    deployment = {
        "metadata": {"name": name},
        "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "a"}}, "template": TEMPLATE},
    }
    await client.create(kinds.DEPLOYMENTS, deployment, "default")
    path = kinds.DEPLOYMENTS.path("default", name)
    for _ in range(60):
        patch = mutated({"metadata": META, "spec": {"replicas": 1, "template": TEMPLATE}}, chance)
        if _too_big(patch):
            continue
        for content_type in ("application/merge-patch+json", "application/strategic-merge-patch+json"):
            status, answer = await ask(client, "PATCH", path, orjson.dumps(patch), content_type)
            assert not ours(status, answer), (patch, answer)
        operation = {"op": chance.choice(OPERATIONS), "path": chance.choice(POINTERS), "value": chance.choice(SHAPES[:-1])}
        operations = mutated([operation], chance) if seed % 2 else [operation]
        if not _too_big(operations):
            status, answer = await ask(client, "PATCH", path, orjson.dumps(operations), "application/json-patch+json")
            assert not ours(status, answer), (operations, answer)


RAW = (
    b"", b"\0", b"null", b"[]", b"{", b'"', b"1", b"\xff\xfe", b"{" * 5000, b"[" * 5000, b"k8s\0", b"k8s\0\n\xff", b"k8s\0" + b"\x12\x7f" * 50,
    b"a: [b", b"- - -", b"&a [*a]", b"? {}", b"!!python/object:os.system {}", b"\t", b'{"a":1,"a":2}', b'{"metadata":{"name":"\\ud800"}}',
)  # fmt: skip
TYPES = ("application/json", "application/yaml", "application/vnd.kubernetes.protobuf", "text/plain", ";;", "application/apply-patch+yaml",
         "application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json")  # fmt: skip


async def test_raw_bytes_as_bodies_never_give_500(client: Client) -> None:
    await client.create(CONFIG_MAPS, {"metadata": {"name": "raw", "namespace": "default"}})
    one, many = CONFIG_MAPS.path("default", "raw"), CONFIG_MAPS.path("default")
    for body in RAW:
        for content_type in TYPES:
            for method, path in (
                ("POST", many),
                ("PUT", one),
                ("PATCH", one + "?fieldManager=m"),
                ("DELETE", one + "?dryRun=All"),
            ):
                status, answer = await ask(client, method, path, body, content_type)
                assert status < 500, (method, body, content_type, answer)


PATHS = (
    "//", "/api", "/api/", "/api/v1/", "/api/v2", "/apis//", "/apis/apps", "/apis/apps/v1/namespaces", "/apis/apps/v1/namespaces/default",
    "/api/v1/namespaces//pods", "/api/v1/namespaces/default/pods/a/b/c/d", "/api/v1/%2e%2e/pods", "/api/v1/namespaces/%00/pods",
    "/api/v1/namespaces/default/pods/%ff", "/api/v1/pods?limit=x", "/api/v1/pods?limit=-1", "/api/v1/pods?continue=%00", "/api/v1/pods?watch=1&timeoutSeconds=x",
    "/api/v1/pods?resourceVersion=-1", "/api/v1/pods?resourceVersion=99999999999999999999999", "/api/v1/pods?labelSelector=%ff",
    "/api/v1/pods?fieldSelector=%5C", "/api/v1/pods?fieldSelector=a%5C", "/api/v1/watch/pods?timeoutSeconds=1", "/api/v1/watch", "/api/v1/proxy/nodes/x",
    "/api/v1/namespaces/default/pods/x/log?tailLines=-1", "/api/v1/namespaces/default/pods/x/exec", "/api/v1/namespaces/default/services/:::/proxy/",
    "/apis/metrics.k8s.io/v1beta1/pods", "/apis/metrics.k8s.io/v1beta1/nodes/none", "/openapi/v3/apis/none", "/openapi/v3/", "/metrics", "/healthz/none",
    "/api/v1/nodes/none/proxy/a", "/api/v1/componentstatuses/none", "/api/v1/bindings", "/apis/authentication.k8s.io/v1/tokenreviews",
)  # fmt: skip


async def test_strange_paths_and_parameters_never_give_500(client: Client) -> None:
    for path in PATHS:
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
            if method == "DELETE" and path.startswith("/api/v1/pods"):
                continue
            status, answer = await ask(client, method, path, b"{}" if method in ("POST", "PUT", "PATCH") else b"")
            assert status < 500, (method, path, answer)


DEEP = 900  # levels: more than Python's recursion likes, fewer than the JSON parser refuses


@pytest.mark.parametrize("depth", [DEEP, 100 * DEEP])
async def test_bodies_of_great_depth_never_give_500(client: Client, depth: int) -> None:
    any_value = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": any_value}}
    names = {"plural": "deeps", "kind": "Deep"}
    crd = {
        "metadata": {"name": "deeps.g.io"},
        "spec": {"group": "g.io", "scope": "Namespaced", "names": names, "versions": [version]},
    }
    await ask(client, "POST", kinds.CUSTOM_RESOURCE_DEFINITIONS.path(None), orjson.dumps(crd))
    for opening, closing in ((b"[", b"]"), (b'{"a":', b"}")):
        deep = opening * depth + b"1" + closing * depth
        body = b'{"apiVersion":"g.io/v1","kind":"Deep","metadata":{"name":"d","namespace":"default"},"spec":' + deep + b"}"
        for content_type in ("application/json", "application/yaml"):
            status, answer = await ask(client, "POST", "/apis/g.io/v1/namespaces/default/deeps", body, content_type)
            assert status < 500, (content_type, answer)
            body_of_map = b'{"metadata":{"name":"d"},"data":' + deep + b"}"
            status, answer = await ask(client, "POST", CONFIG_MAPS.path("default"), body_of_map, content_type)
            assert status < 500, (content_type, answer)
        for content_type in (one for one in TYPES if "patch" in one):
            status, answer = await ask(
                client, "PATCH", "/apis/g.io/v1/namespaces/default/deeps/d?fieldManager=m", body, content_type
            )
            assert status < 500 or not ours(status, answer), (content_type, answer)


async def test_a_body_over_three_megabytes_is_413(client: Client) -> None:
    body = orjson.dumps({"metadata": {"name": "big"}, "data": {"x": "y" * (3 * 1024 * 1024)}})
    status, answer = await ask(client, "POST", CONFIG_MAPS.path("default"), body)
    assert status == 413 and orjson.loads(answer)["reason"] == "RequestEntityTooLarge"


async def test_an_object_over_its_kinds_limit_is_refused(client: Client) -> None:
    body = orjson.dumps({"metadata": {"name": "big"}, "data": {"x": "y" * 1_600_000}})
    status, _ = await ask(client, "POST", CONFIG_MAPS.path("default"), body)
    assert status == 422


async def connection(server: Server) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    context = ssl.create_default_context(cafile=str(server.config.ca_file))
    return await asyncio.open_connection(server.config.addresses.api, server.port, ssl=context)


def head(server: Server, path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {server.config.tokens['admin']}\r\n\r\n".encode()


async def test_a_watch_that_is_not_read_is_dropped_and_costs_a_bounded_buffer(server: Server, client: Client) -> None:
    await client.create(kinds.NAMESPACES, {"metadata": {"name": "slow"}})
    reader, writer = await connection(server)
    writer.write(head(server, "/api/v1/namespaces/slow/configmaps?watch=1"))
    await reader.readuntil(b"\r\n\r\n")
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    before = server.resident_megabytes()
    big = {"data": {"x": "y" * 400_000}}
    for number in range(60):
        await client.create(CONFIG_MAPS, {"metadata": {"name": f"m{number % 5}-{number}", "namespace": "slow"}, **big})
        if number >= 5:
            await client.delete(CONFIG_MAPS, f"m{(number - 5) % 5}-{number - 5}", "slow")
    assert server.resident_megabytes() - before < 60
    writer.transport.resume_reading()  # type: ignore[attr-defined]
    async with asyncio.timeout(20):
        while await reader.read(1 << 20):
            pass
    writer.close()


async def test_many_watches_that_are_not_read_cost_a_bounded_memory_together(server: Server, client: Client) -> None:
    await client.create(kinds.NAMESPACES, {"metadata": {"name": "asleep"}})
    writers = []
    for _ in range(80):
        reader, writer = await connection(server)
        writer.write(head(server, "/api/v1/namespaces/asleep/configmaps?watch=1"))
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writers.append(writer)
    before = server.resident_megabytes()
    for number in range(6):
        data = {"x": "y" * 1_000_000}
        await client.create(CONFIG_MAPS, {"metadata": {"name": f"m{number}", "namespace": "asleep"}, "data": data})
    assert server.resident_megabytes() - before < 200, "each may wait for 4 MB, but not all 80 at once"
    await client.create(CONFIG_MAPS, {"metadata": {"name": "last", "namespace": "asleep"}, "data": {"x": "y"}})
    for writer in writers:
        writer.transport.abort()


async def test_a_server_with_a_thousand_open_watches_stops_when_it_is_told_to(tmp_path: Path) -> None:
    number, claim = free_number()
    server = Server(make(tmp_path / "c", number))
    server.start()
    writers = []
    try:
        for _ in range(WATCHES):
            reader, writer = await connection(server)
            writer.write(head(server, "/api/v1/configmaps?watch=1"))
            await reader.readuntil(b"\r\n\r\n")
            writers.append(writer)
        server.stop()  # waits for the process, and fails if it stays
        assert server.process is not None and server.process.returncode == 0
    finally:
        server.kill()
        claim.close()
        for writer in writers:
            writer.transport.abort()


async def test_a_thousand_watches_each_see_an_event_and_cost_little(server: Server, client: Client) -> None:
    await client.create(kinds.NAMESPACES, {"metadata": {"name": "many"}})
    before = server.resident_megabytes()
    streams = []
    for _ in range(WATCHES):
        reader, writer = await connection(server)
        writer.write(head(server, "/api/v1/namespaces/many/secrets?watch=1"))
        await reader.readuntil(b"\r\n\r\n")
        streams.append((reader, writer))
    assert (server.resident_megabytes() - before) / WATCHES < 0.04
    await client.create(kinds.SECRETS, {"metadata": {"name": "s", "namespace": "many"}})
    async with asyncio.timeout(30):
        for reader, _ in streams:
            assert b'"ADDED"' in await reader.readuntil(b"}\n")
    for _, writer in streams:
        writer.close()
