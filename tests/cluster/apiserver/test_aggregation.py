"""An API server of somebody else's behind an APIService: found in discovery, reached through the cluster's, told when it is gone."""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from cluster.api_process import Server
from cluster.certificates import certificate
from halab.cluster.client.client import Client
from halab.cluster.kube.kinds import API_SERVICES, CONFIG_MAPS, ENDPOINT_SLICES, SERVICES

Obj = dict[str, Any]
GROUP, VERSION, NAME = "wardle.example.com", "v1alpha1", "v1alpha1.wardle.example.com"
VERBS = ["create", "delete", "get", "list"]
RESOURCES = {
    "kind": "APIResourceList",
    "apiVersion": "v1",
    "groupVersion": f"{GROUP}/{VERSION}",
    "resources": [{"name": "flunders", "singularName": "flunder", "namespaced": True, "kind": "Flunder", "verbs": VERBS}],
}


class Wardle:
    """A server of one kind, which says who asked it."""

    def __init__(self, path: Any, bundle: str, authority: str) -> None:
        self.bundle = bundle
        self.seen: list[tuple[str, str, dict[str, str], Any]] = []
        self.who: list[str] = []
        wardle = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                subject = dict(part[0] for part in (self.connection.getpeercert() or {}).get("subject", ()))
                wardle.who.append(subject.get("commonName", ""))
                wardle.seen.append((self.command, self.path, dict(self.headers), json.loads(body) if body else None))
                answer: Obj = {"kind": "Flunder", "apiVersion": f"{GROUP}/{VERSION}", "metadata": {"name": "a"}}
                if self.path == f"/apis/{GROUP}/{VERSION}":
                    answer = RESOURCES
                elif self.path == f"/openapi/v3/apis/{GROUP}/{VERSION}":
                    answer = {"openapi": "3.0.0", "info": {"title": "wardle", "version": "1"}, "paths": {}}
                text = json.dumps(answer).encode()
                self.send_response(201 if self.command == "POST" else 200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_POST = do_GET

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        context.load_verify_locations(cadata=authority)
        context.verify_mode = ssl.CERT_REQUIRED
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    @property
    def port(self) -> int:
        return int(self.server.server_address[1])

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def wardle(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wardle]:
    path, bundle = certificate(tmp_path_factory.mktemp("wardle"), "wardle.default.svc")
    made = Wardle(path, bundle, server.config.proxy_authority.read_text())
    yield made
    made.close()


async def available(client: Client, status: str, reason: str) -> Obj:
    async with asyncio.timeout(20):
        async for _, obj in client.watch(API_SERVICES, None, field_selector=f"metadata.name={NAME}"):
            for each in obj.get("status", {}).get("conditions") or ():
                if (each["type"], each["status"], each["reason"]) == ("Available", status, reason):
                    return dict(each)
    raise AssertionError("the watch ended")


async def get(client: Client, path: str, accept: str = "application/json") -> Any:
    code, _, body = await client.request("GET", path, headers={"Accept": accept})
    return json.loads(body) if code == 200 else code


async def test_another_server_serves_a_group(server: Server, client: Client, wardle: Wardle) -> None:
    service = {"namespace": "default", "name": "wardle", "port": 7443}
    spec = {"group": GROUP, "version": VERSION, "service": service, "groupPriorityMinimum": 2000, "versionPriority": 200}
    await client.create(API_SERVICES, {"metadata": {"name": NAME}, "spec": {**spec, "caBundle": wardle.bundle}})
    told = await available(client, "False", "ServiceNotFound")
    assert told["message"] == 'service/wardle in "default" is not present'
    flunders = f"/apis/{GROUP}/{VERSION}/namespaces/default/flunders"
    code, _, body = await client.request("GET", flunders)
    assert (code, body.decode()) == (503, "service unavailable\n")

    ports = [{"port": 7443, "protocol": "TCP"}]
    await client.create(SERVICES, {"metadata": {"name": "wardle", "namespace": "default"}, "spec": {"ports": ports}})
    labels = {"kubernetes.io/service-name": "wardle"}
    slice_ = {
        "metadata": {"name": "wardle", "namespace": "default", "labels": labels},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["127.0.0.1"], "conditions": {"ready": True}}],
        "ports": [{"name": "", "port": wardle.port, "protocol": "TCP"}],
    }
    await client.create(ENDPOINT_SLICES, slice_)
    assert (await available(client, "True", "Passed"))["message"] == "all checks passed"

    code, _, body = await client.request("POST", flunders + "?dryRun=All", body=b'{"a":1}', headers={"X-Remote-User": "root"})
    assert (code, json.loads(body)["kind"]) == (201, "Flunder")
    method, path, headers, sent = wardle.seen[-1]
    assert (method, path, sent) == ("POST", flunders + "?dryRun=All", {"a": 1})
    lower = {name.lower(): value for name, value in headers.items()}
    assert (lower["x-remote-user"], "authorization" in lower) == ("kubernetes-admin", False)
    assert set(wardle.who) == {"front-proxy-client"}

    assert GROUP in [each["name"] for each in (await get(client, "/apis"))["groups"]]
    assert (await get(client, f"/apis/{GROUP}"))["preferredVersion"]["version"] == VERSION
    assert await get(client, f"/apis/{GROUP}/{VERSION}") == RESOURCES
    found = await get(client, "/apis", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList")
    served = next(each for each in found["items"] if each["metadata"]["name"] == GROUP)
    assert [each["resource"] for each in served["versions"][0]["resources"]] == ["flunders"]
    place = (await get(client, "/openapi/v3"))["paths"][f"apis/{GROUP}/{VERSION}"]["serverRelativeURL"]
    assert (await get(client, place))["info"]["title"] == "wardle"
    trusted = await client.get(CONFIG_MAPS, "extension-apiserver-authentication", "kube-system")
    assert trusted["data"]["requestheader-client-ca-file"] == server.config.proxy_authority.read_text()

    await client.delete(ENDPOINT_SLICES, "wardle", "default")
    await available(client, "False", "EndpointsNotFound")
    await client.delete(API_SERVICES, NAME)
    assert await get(client, flunders) == 404
