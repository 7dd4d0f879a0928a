"""Ingress, HTTPRoutes and DNS as clients see them."""

from __future__ import annotations

import asyncio
import base64
import socket
import ssl
from typing import Any

from dnslib import DNSRecord

from halab.cluster.dataplane.gateway import GATEWAY_CLASSES, GATEWAYS, HTTP_ROUTES
from halab.cluster.kube.kinds import INGRESS_CLASSES, INGRESSES, SECRETS, SERVICES

from .conftest import Plane, eventually


def ingress(name: str, *rules: dict[str, Any], **spec: Any) -> dict[str, Any]:
    annotations = spec.pop("annotations", {})
    meta = {"name": name, "namespace": "default", "annotations": annotations}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": meta, "spec": {"rules": list(rules), **spec}}


def rule(host: str, *paths: tuple[str, str, str]) -> dict[str, Any]:
    found = [
        {"path": path, "pathType": kind, "backend": {"service": {"name": to, "port": {"number": 80}}}} for path, kind, to in paths
    ]
    return {"host": host, "http": {"paths": found}}


async def two_services(plane: Plane) -> None:
    for name, number in (("web", 2), ("api", 3)):
        await plane.service(name)
        await plane.endpoints(name, [await plane.pod(number)])


async def test_ingress_tells_requests_apart_by_host_and_path(plane: Plane) -> None:
    await two_services(plane)
    await plane.service("empty")
    rules = [
        rule(
            "shop.test",
            ("/", "Prefix", "web"),
            ("/api", "Prefix", "api"),
            ("/only", "Exact", "api"),
            ("/empty", "Prefix", "empty"),
        ),
        rule("*.wild.test", ("/", "Prefix", "api")),
    ]
    await plane.client.create(INGRESSES, ingress("shop", *rules))

    async def answer(path: str, host: str = "shop.test") -> tuple[int, str]:
        status, body, _ = await plane.ingress(path, host=host)
        return status, body.split(" ")[0]

    async def routed() -> bool:
        return await answer("/") == (200, "pod-2")

    await eventually(routed)
    assert await answer("/api/v1") == (200, "pod-3")
    assert await answer("/apis") == (200, "pod-2")
    assert await answer("/only") == (200, "pod-3")
    assert await answer("/only/more") == (200, "pod-2")
    assert (await answer("/empty"))[0] == 503
    assert await answer("/", f"shop.test:{plane.config.port(80)}") == (200, "pod-2")
    assert await answer("/", "a.wild.test") == (200, "pod-3")
    assert (await answer("/", "a.b.wild.test"))[0] == 404
    assert (await answer("/", "other.test"))[0] == 404

    async def published() -> bool:
        found = await plane.client.get(INGRESSES, "shop", "default")
        status = found.get("status", {}).get("loadBalancer", {}).get("ingress")
        return bool(status == [{"ip": plane.config.addresses.ingress}])

    await eventually(published)


async def test_a_request_through_ingress_says_where_it_came_from(plane: Plane) -> None:
    await two_services(plane)
    await plane.client.create(INGRESSES, ingress("all", rule("x.test", ("/", "Prefix", "web"))))

    async def forwarded() -> bool:
        _, body, _ = await plane.ingress(host="x.test", headers={"x-echo": "1"})
        return "x-forwarded-for: 127." in body and "x-forwarded-proto: http" in body and "x-request-id: " in body

    await eventually(forwarded)


async def test_tls_shows_the_certificate_of_the_host_and_plain_http_is_redirected(plane: Plane) -> None:
    await two_services(plane)
    pair = {
        "tls.crt": base64.b64encode(plane.config.certificate.read_bytes()).decode(),
        "tls.key": base64.b64encode(plane.config.key.read_bytes()).decode(),
    }
    for name, data in (("good", pair), ("bad", {**pair, "tls.key": pair["tls.crt"]})):
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": "default"}}
        await plane.client.create(SECRETS, {**secret, "type": "kubernetes.io/tls", "data": data})
    for name in ("good", "bad"):
        tls = [{"hosts": [f"{name}.test"], "secretName": name}]
        await plane.client.create(INGRESSES, ingress(name, rule(f"{name}.test", ("/", "Prefix", "web")), tls=tls))

    def over_tls(host: str) -> bytes:
        context = ssl.create_default_context(cafile=str(plane.config.ca_file))
        context.check_hostname = False
        with (
            socket.create_connection((plane.config.addresses.ingress, plane.config.port(443)), 5) as raw,
            context.wrap_socket(raw, server_hostname=host) as secure,
        ):
            secure.sendall(f"GET /x HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            return b"".join(iter(lambda: secure.recv(65536), b""))

    async def served(host: str) -> bool:
        return b"pod-2 /x" in await asyncio.to_thread(over_tls, host)

    await eventually(lambda: served("good.test"))
    await eventually(lambda: served("bad.test"))  # with the cluster's own certificate
    status, _, headers = await plane.ingress("/x", host="good.test")
    assert (status, headers["location"]) == (308, f"https://good.test:{plane.config.port(443)}/x")


async def test_http_routes_split_traffic_by_weight_and_match_headers(plane: Plane) -> None:
    await two_services(plane)
    gateway = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "Gateway",
        "metadata": {"name": "gw", "namespace": "default"},
        "spec": {"gatewayClassName": "halab", "listeners": [{"name": "http", "port": 80, "protocol": "HTTP"}]},
    }
    route = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "r", "namespace": "default"},
        "spec": {
            "parentRefs": [{"name": "gw"}],
            "hostnames": ["canary.test"],
            "rules": [
                {
                    "matches": [{"headers": [{"name": "x-canary", "value": "yes"}]}],
                    "backendRefs": [{"name": "api", "port": 80}],
                },
                {"backendRefs": [{"name": "web", "port": 80, "weight": 70}, {"name": "api", "port": 80, "weight": 30}]},
            ],
        },
    }
    await plane.client.create(GATEWAYS, gateway)
    await plane.client.create(HTTP_ROUTES, route)

    async def routed() -> bool:
        return (await plane.ingress(host="canary.test"))[0] == 200

    await eventually(routed)
    seen = [(await plane.ingress(host="canary.test"))[1].split()[0] for _ in range(200)]
    assert 100 <= seen.count("pod-2") <= 180
    marked = {(await plane.ingress(host="canary.test", headers={"x-canary": "yes"}))[1].split()[0] for _ in range(10)}
    assert marked == {"pod-3"}
    only = {"spec": {"rules": [{"backendRefs": [{"name": "api", "port": 80}]}]}}
    await plane.client.patch(HTTP_ROUTES, "r", "default", only)

    async def moved() -> bool:
        return all([(await plane.ingress(host="canary.test"))[1].startswith("pod-3") for _ in range(5)])

    await eventually(moved)

    async def accepted() -> bool:
        found = await plane.client.get(HTTP_ROUTES, "r", "default")
        parents = found.get("status", {}).get("parents") or []
        conditions = {each["type"]: each["status"] for parent in parents for each in parent["conditions"]}
        there = await plane.client.get(GATEWAYS, "gw", "default")
        return conditions == {"Accepted": "True", "ResolvedRefs": "True"} and bool(there.get("status", {}).get("addresses"))

    await eventually(accepted)


async def test_routes_that_change_leave_other_connections_alone(plane: Plane) -> None:
    await two_services(plane)
    await plane.client.create(INGRESSES, ingress("one", rule("one.test", ("/", "Prefix", "web"))))

    async def routed() -> bool:
        return (await plane.ingress(host="one.test"))[0] == 200

    await eventually(routed)
    reader, writer = await asyncio.open_connection(plane.config.addresses.ingress, plane.config.port(80))
    await plane.client.create(INGRESSES, ingress("two", rule("two.test", ("/", "Prefix", "api"))))

    async def second() -> bool:
        return (await plane.ingress(host="two.test"))[0] == 200

    await eventually(second)
    writer.write(b"GET /still HTTP/1.1\r\nHost: one.test\r\n\r\n")
    assert b"pod-2 /still" in await reader.readuntil(b"/still\n")
    writer.close()


async def test_the_classes_and_the_dns_service_are_there(plane: Plane) -> None:
    async def there() -> bool:
        classes, _ = await plane.client.list(INGRESS_CLASSES)
        gateways, _ = await plane.client.list(GATEWAY_CLASSES)
        services, _ = await plane.client.list(SERVICES, "kube-system")
        names = {each["metadata"]["name"] for each in [*classes, *gateways, *services]}
        return names >= {"halab", "nginx", "kube-dns"}

    await eventually(there)


async def test_dns_follows_services_over_udp_and_tcp(plane: Plane) -> None:
    service = await plane.service("web")
    await plane.service("db", clusterIP="None")
    await plane.endpoints("db", [plane.pod_address(2), plane.pod_address(3)])
    server, port = plane.config.addresses.dns, plane.config.port(53)

    def ask(name: str, *, tcp: bool = False) -> list[str]:
        answer = DNSRecord.parse(DNSRecord.question(name).send(server, port, tcp=tcp, timeout=2))
        return sorted(str(each.rdata) for each in answer.rr)

    async def answered() -> bool:
        return await asyncio.to_thread(ask, "db.default.svc.cluster.local") == [plane.pod_address(2), plane.pod_address(3)]

    await eventually(answered)
    assert await asyncio.to_thread(ask, "web.default.svc.cluster.local", tcp=True) == [service["spec"]["clusterIP"]]
    assert await asyncio.to_thread(ask, "kube-dns.kube-system.svc.cluster.local") == [server]


async def test_an_endpoint_that_keeps_failing_is_left_out_for_a_while(plane: Plane) -> None:
    good, bad = await plane.pod(2), plane.pod_address(3)

    async def fail(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(fail, bad, plane.config.port(80))
    async with server:
        await plane.service("web", annotations={"halab.dev/traffic": '{"ejectAfter": 3, "ejectSeconds": 60}'})
        await plane.endpoints("web", [good, bad])
        await plane.client.create(INGRESSES, ingress("web", rule("x.test", ("/", "Prefix", "web"))))

        async def status() -> int:
            return (await plane.ingress(host="x.test"))[0]

        async def routed() -> bool:
            return await status() in (200, 500)

        await eventually(routed)
        seen = [await status() for _ in range(30)]
        assert 1 <= seen.count(500) <= 4
        assert seen[-15:] == [200] * 15
