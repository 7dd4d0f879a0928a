"""What clients rely on, asked of a real server: versions, deletion, accounts, custom resources, tunnels, other encodings."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import orjson
import pytest

from cluster.api_process import Server
from halab.aio import http
from halab.cluster.client.client import Client
from halab.cluster.kube import kinds
from halab.cluster.kube.kinds import CONFIG_MAPS, NAMESPACES, NODES, PODS, SERVICE_ACCOUNTS, SERVICES, Kind
from halab.cluster.kube.status import ApiError

Obj = dict[str, Any]
POD: Obj = {"spec": {"containers": [{"name": "c", "image": "i"}]}}


async def namespace(client: Client, name: str) -> str:
    await client.create(NAMESPACES, {"metadata": {"name": name}})
    await client.create(SERVICE_ACCOUNTS, {"metadata": {"name": "default", "namespace": name}})
    return name


async def until(client: Client, kind: Kind, name: str, where: str | None, condition: str) -> Obj:
    async with asyncio.timeout(10):
        async for _, obj in client.watch(kind, where, field_selector=f"metadata.name={name}"):
            if any(c["type"] == condition and c["status"] == "True" for c in obj.get("status", {}).get("conditions") or ()):
                return obj
    raise AssertionError("the watch ended")


async def test_concurrent_patches_of_one_object_are_all_kept(client: Client) -> None:
    where = await namespace(client, "patches")
    await client.create(CONFIG_MAPS, {"metadata": {"name": "m", "namespace": where}})
    await asyncio.gather(*(client.patch(CONFIG_MAPS, "m", where, {"data": {f"k{n}": "v"}}) for n in range(50)))
    assert len((await client.get(CONFIG_MAPS, "m", where))["data"]) == 50


async def test_services_created_at_once_get_different_addresses_and_ports(client: Client) -> None:
    where = await namespace(client, "addresses")
    body = {"spec": {"type": "NodePort", "ports": [{"port": 80}]}}
    made = await asyncio.gather(*(client.create(SERVICES, {"metadata": {"name": f"s{n}"}, **body}, where) for n in range(30)))
    assert len({service["spec"]["clusterIP"] for service in made}) == 30
    assert len({service["spec"]["ports"][0]["nodePort"] for service in made}) == 30


async def test_a_custom_definition_goes_only_after_its_held_objects(client: Client) -> None:
    where = await namespace(client, "boats")
    schema = {
        "type": "object",
        "properties": {"spec": {"type": "object", "properties": {"deck": {"type": "integer", "default": 2}}}},
    }
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    spec = {"group": "sea.io", "scope": "Namespaced", "names": {"plural": "boats", "kind": "Boat"}, "versions": [version]}
    await client.create(kinds.CUSTOM_RESOURCE_DEFINITIONS, {"metadata": {"name": "boats.sea.io"}, "spec": spec})
    await until(client, kinds.CUSTOM_RESOURCE_DEFINITIONS, "boats.sea.io", None, "Established")
    boat = Kind("sea.io", "v1", "Boat", "boats", "boat", True, custom=True)
    made = await client.create(boat, {"metadata": {"name": "a", "finalizers": ["x.io/y"]}, "spec": {}}, where)
    assert made["spec"] == {"deck": 2}
    await client.delete(kinds.CUSTOM_RESOURCE_DEFINITIONS, "boats.sea.io")
    assert (await client.get(boat, "a", where))["metadata"]["deletionTimestamp"]
    await client.patch(boat, "a", where, {"metadata": {"finalizers": None}})
    async with asyncio.timeout(10):
        while True:
            try:
                await client.get(kinds.CUSTOM_RESOURCE_DEFINITIONS, "boats.sea.io")
                await asyncio.sleep(0.02)
            except ApiError as error:
                assert error.reason == "NotFound"
                break
    status, _, _ = await client.request("GET", boat.path(where))
    assert status == 404


async def test_a_token_dies_with_the_pod_it_is_bound_to(server: Server, client: Client) -> None:
    where = await namespace(client, "tokens")
    pod = await client.create(PODS, {"metadata": {"name": "p"}, **POD}, where)
    reference = {"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": pod["metadata"]["uid"]}
    asked = {"spec": {"expirationSeconds": 600, "boundObjectRef": reference}}
    answer = await client.create(SERVICE_ACCOUNTS, asked, where, name="default", subresource="token")
    own = Client(server.url, answer["status"]["token"], server.config.ca_file)
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    info = (await own.create(kinds.SELF_SUBJECT_REVIEWS, review))["status"]["userInfo"]
    assert info["username"] == "system:serviceaccount:tokens:default"
    assert info["extra"]["authentication.kubernetes.io/pod-name"] == ["p"]
    await client.delete(PODS, "p", where)
    with pytest.raises(ApiError, match="Unauthorized"):
        await own.create(kinds.SELF_SUBJECT_REVIEWS, review)
    own.close()


async def test_nobody_grants_permissions_that_they_do_not_hold(client: Client) -> None:
    where = await namespace(client, "grants")
    role = {"rules": [{"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles"], "verbs": ["create"]}]}
    await client.create(kinds.ROLES, {"metadata": {"name": "author"}, **role}, where)
    binding = {
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "author"},
        "subjects": [{"kind": "User", "name": "ann"}],
    }
    await client.create(kinds.ROLE_BINDINGS, {"metadata": {"name": "author"}, **binding}, where)
    wish = {"metadata": {"name": "wish"}, "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]}
    headers = {"Impersonate-User": "ann", "Content-Type": "application/json"}
    status, _, body = await client.request("POST", kinds.ROLES.path(where), body=orjson.dumps(wish), headers=headers)
    assert status == 403 and "permissions not currently held" in orjson.loads(body)["message"]
    wish["rules"] = role["rules"]
    status, _, _ = await client.request("POST", kinds.ROLES.path(where), body=orjson.dumps(wish), headers=headers)
    assert status == 201


def field(number: int, value: bytes) -> bytes:
    return bytes([number << 3 | 2, len(value)]) + value


async def test_a_protobuf_body_is_read(client: Client) -> None:
    meta = field(1, b"from-protobuf") + field(11, field(1, b"app") + field(2, b"web"))
    config_map = field(1, meta) + field(2, field(1, b"a") + field(2, b"b")) + field(3, field(1, b"raw") + field(2, b"\x00\x01"))
    body = b"k8s\0" + field(1, field(1, b"v1") + field(2, b"ConfigMap")) + field(2, config_map)
    headers = {"Content-Type": "application/vnd.kubernetes.protobuf"}
    status, _, answer = await client.request("POST", CONFIG_MAPS.path("default"), body=body, headers=headers)
    made = orjson.loads(answer)
    assert status == 201 and made["data"] == {"a": "b"} and made["binaryData"] == {"raw": "AAE="}
    assert made["metadata"]["labels"] == {"app": "web"}


@pytest.mark.parametrize("node", ["node-1", "a-stranger"])
async def test_an_upgraded_request_reaches_the_node_byte_for_byte(server: Server, client: Client, node: str) -> None:
    """A stand-in for a node agent answers the upgrade and echoes; it sees the server's own token, never the client's, and a node that
    is not of this cluster sees none."""
    seen: list[http.Scope] = []

    async def agent(scope: http.Scope, receive: http.Receive, send: http.Send) -> None:
        seen.append(scope)
        taken: http.Upgraded = await scope["extensions"]["halab.upgrade"]()
        taken.writer.write(b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: SPDY/3.1\r\n\r\n" + taken.head)
        while data := await taken.reader.read(1000):
            taken.writer.write(data[::-1])

    where = await namespace(client, f"tunnels-{node}")
    config = server.config
    address, port = config.addresses.node(0), 20250
    node_status = {
        "addresses": [{"type": "InternalIP", "address": address}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
    }
    await client.create(NODES, {"metadata": {"name": node}, "status": node_status})
    await client.create(PODS, {"metadata": {"name": "p"}, "spec": POD["spec"] | {"nodeName": node}}, where)
    ready = asyncio.Event()
    task = asyncio.create_task(http.serve(agent, address, port, config.certificate, config.key, on_ready=ready.set))
    await ready.wait()
    context = ssl.create_default_context(cafile=str(config.ca_file))
    reader, writer = await asyncio.open_connection(config.addresses.api, server.port, ssl=context)
    path = f"{PODS.path(where, 'p', 'exec')}?command=sh&command=-c&stdin=true&stdout=1"
    writer.write(
        f"POST {path} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {config.tokens['admin']}\r\nconnection: Upgrade\r\n"
        f"upgrade: SPDY/3.1\r\nx-stream-protocol-version: v4.channel.k8s.io\r\n\r\n".encode()
    )
    async with asyncio.timeout(10):
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
        writer.write(b"\x00abc\xff")
        assert await reader.readexactly(5) == b"\xffcba\x00"
    writer.close()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    headers = dict(seen[0]["headers"])
    assert seen[0]["path"] == f"/exec/{where}/p/c" and seen[0]["query_string"] == b"input=1&output=1&command=sh&command=-c"
    token = f"Bearer {config.tokens['system:apiserver']}".encode()
    assert headers.get(b"authorization") == (token if node in config.nodes else None)
    assert headers[b"x-stream-protocol-version"] == b"v4.channel.k8s.io"
