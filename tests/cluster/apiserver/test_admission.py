"""Admission that clusters bring along: policies in CEL and webhooks, asked of a real server."""

from __future__ import annotations

import base64
import json
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from cluster.certificates import certificate
from halab.cluster.client.client import Client
from halab.cluster.kube import kinds
from halab.cluster.kube.kinds import Kind
from halab.cluster.kube.status import ApiError

Obj = dict[str, Any]


@dataclass
class Hook:
    """A webhook server: what it was asked, and what it answers."""

    url: str
    bundle: str
    asked: list[Obj] = field(default_factory=list)

    def answer(self, path: str, request: Obj) -> Obj:
        self.asked.append(request)
        response: Obj = {"uid": request["uid"], "allowed": True}
        if path.startswith("/mutate") and request["object"]:
            patch = [{"op": "add", "path": "/data", "value": {"by": "hook"}}]
            response |= {
                "patchType": "JSONPatch",
                "patch": base64.b64encode(json.dumps(patch).encode()).decode(),
                "warnings": ["changed"],
            }
        elif path.startswith("/validate") and request["name"].startswith("bad"):
            response |= {"allowed": False, "status": {"code": 403, "reason": "Forbidden", "message": "bad names are bad"}}
        return response


@pytest.fixture(scope="module")
def hook(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hook]:
    path, bundle = certificate(tmp_path_factory.mktemp("hook"), "127.0.0.1")
    made = Hook("", bundle)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["content-length"])))["request"]
            review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": made.answer(self.path, request)}
            body = json.dumps(review).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    made.url = f"https://127.0.0.1:{server.server_address[1]}"
    yield made
    server.shutdown()
    server.server_close()
    thread.join()


def configuration(name: str, where: str, hook: Hook, path: str, **more: Any) -> Obj:
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["configmaps"]}
    webhook = {
        "name": f"{name}.hooks.io",
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "clientConfig": {"url": f"{hook.url}{path}", "caBundle": hook.bundle},
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": where}},
        "rules": [rule],
        **more,
    }
    return {"metadata": {"name": name}, "webhooks": [webhook]}


def config_map(name: str, **labels: str) -> Obj:
    return {"metadata": {"name": name, "labels": labels}}


async def test_webhooks_change_and_refuse_what_is_written(client: Client, hook: Hook) -> None:
    where = "hooked"
    await client.create(kinds.NAMESPACES, {"metadata": {"name": where}})
    await client.create(kinds.MUTATING_WEBHOOKS, configuration("changes", where, hook, "/mutate"))
    await client.create(kinds.VALIDATING_WEBHOOKS, configuration("refuses", where, hook, "/validate"))
    made = await client.create(kinds.CONFIG_MAPS, config_map("good"), where)
    assert made["data"] == {"by": "hook"}
    first, second = hook.asked
    assert (first["operation"], first["object"].get("data"), second["object"]["data"]) == ("CREATE", None, {"by": "hook"})
    assert second["kind"] == {"group": "", "version": "v1", "kind": "ConfigMap"} and second["namespace"] == where
    with pytest.raises(ApiError) as refused:
        await client.create(kinds.CONFIG_MAPS, config_map("bad"), where)
    assert (refused.value.code, refused.value.reason) == (403, "Forbidden")
    assert refused.value.message == 'admission webhook "refuses.hooks.io" denied the request: bad names are bad'
    await client.delete(kinds.CONFIG_MAPS, "good", where)
    assert (hook.asked[-1]["operation"], hook.asked[-1]["object"], hook.asked[-1]["oldObject"]["data"]) == (
        "DELETE",
        None,
        {"by": "hook"},
    )


@pytest.mark.parametrize(
    ("subresource", "query", "about", "options"),
    [
        ("attach", "?stdout=1&container=c", "PodAttachOptions", {"stdout": True, "container": "c"}),
        ("exec", "?stdin=true&command=ls&command=-l", "PodExecOptions", {"stdin": True, "command": ["ls", "-l"]}),
        ("portforward", "?ports=80", "PodPortForwardOptions", {"ports": [80]}),
        ("proxy/a/b", "", "PodProxyOptions", {"path": "/a/b"}),
    ],
)
async def test_webhooks_are_asked_before_a_connection(
    client: Client, hook: Hook, subresource: str, query: str, about: str, options: Obj
) -> None:
    name = subresource.partition("/")[0]
    where = f"connected-{name}"
    await client.create(kinds.NAMESPACES, {"metadata": {"name": where}})
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CONNECT"], "resources": [f"pods/{name}"]}
    await client.create(kinds.VALIDATING_WEBHOOKS, configuration(where, where, hook, "/validate", rules=[rule]))
    path = kinds.PODS.path(where, "bad", subresource)
    code, _, answer = await client.request("GET", path + query)
    assert code == 403
    assert json.loads(answer)["message"] == f'admission webhook "{where}.hooks.io" denied the request: bad names are bad'
    asked = hook.asked[-1]
    assert (asked["operation"], asked["subResource"], asked["name"]) == ("CONNECT", name, "bad")
    assert asked["kind"] == {"group": "", "version": "v1", "kind": about}
    assert asked["object"] == {"kind": about, "apiVersion": "v1", **options} and asked["options"] is None


@pytest.mark.parametrize(("kind", "subresource"), [(kinds.BINDINGS, "binding"), (kinds.EVICTIONS, "eviction")])
async def test_webhooks_are_asked_about_bindings_and_evictions(client: Client, hook: Hook, kind: Kind, subresource: str) -> None:
    where = f"asked-{subresource}"
    await client.create(kinds.NAMESPACES, {"metadata": {"name": where}})
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": [f"pods/{subresource}"]}
    await client.create(kinds.VALIDATING_WEBHOOKS, configuration(where, where, hook, "/validate", rules=[rule]))
    body = {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": {"name": "bad"}, "target": {"name": "node"}}
    path = kinds.PODS.path(where, "bad", subresource)
    headers = {"Content-Type": "application/json"}
    code, _, answer = await client.request("POST", path, body=json.dumps(body).encode(), headers=headers)
    assert (code, json.loads(answer)["reason"]) == (403, "Forbidden")
    asked = hook.asked[-1]
    assert asked["kind"]["kind"] == asked["object"]["kind"] == kind.kind
    assert (asked["resource"]["resource"], asked["subResource"], asked["name"]) == ("pods", subresource, "bad")


async def test_a_rule_for_another_version_is_asked_in_that_version(client: Client, hook: Hook) -> None:
    where = "equivalent"
    await client.create(kinds.NAMESPACES, {"metadata": {"name": where}})
    rule = {
        "apiGroups": ["autoscaling"],
        "apiVersions": ["v2"],
        "operations": ["CREATE"],
        "resources": ["horizontalpodautoscalers"],
    }
    await client.create(kinds.VALIDATING_WEBHOOKS, configuration(where, where, hook, "/validate", rules=[rule]))
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    spec = {"scaleTargetRef": target, "maxReplicas": 3, "targetCPUUtilizationPercentage": 50}
    await client.create(kinds.HORIZONTAL_POD_AUTOSCALERS_V1, {"metadata": {"name": "good", "namespace": where}, "spec": spec})
    asked = hook.asked[-1]
    assert (asked["kind"]["version"], asked["requestKind"]["version"], asked["resource"]["version"]) == ("v2", "v1", "v2")
    assert asked["object"]["apiVersion"] == "autoscaling/v2"
    assert asked["object"]["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"] == 50


async def test_a_webhook_that_is_not_there_fails_or_is_ignored(client: Client, hook: Hook) -> None:
    where = "hooked-down"
    await client.create(kinds.NAMESPACES, {"metadata": {"name": where}})
    nobody = Hook("https://127.0.0.1:1", hook.bundle)
    strict = {"objectSelector": {"matchLabels": {"must": "be"}}}
    await client.create(kinds.VALIDATING_WEBHOOKS, configuration("strict", where, nobody, "/", **strict))
    lenient = {"objectSelector": {"matchLabels": {"may": "be"}}, "failurePolicy": "Ignore"}
    await client.create(kinds.VALIDATING_WEBHOOKS, configuration("lenient", where, nobody, "/", **lenient))
    await client.create(kinds.CONFIG_MAPS, config_map("ignored", may="be"), where)
    with pytest.raises(ApiError) as refused:
        await client.create(kinds.CONFIG_MAPS, config_map("failed", must="be"), where)
    assert refused.value.message == (
        'Internal error occurred: failed calling webhook "strict.hooks.io": failed to call webhook: Post "https://127.0.0.1:1/?timeout=10s": '
        "dial tcp 127.0.0.1:1: connect: connection refused"
    )
    condition = {"matchConditions": [{"name": "not-mine", "expression": "object.metadata.name != 'mine'"}]}
    configured = configuration("strict", where, nobody, "/", **strict, **condition)
    await client.patch(kinds.VALIDATING_WEBHOOKS, "strict", None, {"webhooks": configured["webhooks"]})
    await client.create(kinds.CONFIG_MAPS, config_map("mine", must="be"), where)


async def test_a_bound_policy_denies_or_warns(client: Client) -> None:
    where = "ruled"
    await client.create(kinds.NAMESPACES, {"metadata": {"name": where}})
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["configmaps"]}
    spec = {
        "matchConstraints": {"resourceRules": [rule]},
        "matchConditions": [{"name": "in-namespace", "expression": f"request.namespace == '{where}'"}],
        "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
        "variables": [{"name": "count", "expression": "has(object.data) ? size(object.data) : 0"}],
        "validations": [
            {
                "expression": "variables.count <= int(params.data.most)",
                "messageExpression": "'at most ' + params.data.most + ', not ' + string(variables.count)",
                "reason": "Forbidden",
            },
            {"expression": "!has(object.metadata.labels) || object.metadata.labels.all(k, k != 'no')", "message": "label no"},
        ],
    }
    await client.create(kinds.CONFIG_MAPS, {"metadata": {"name": "limits"}, "data": {"most": "1"}}, "default")
    await client.create(kinds.VALIDATING_ADMISSION_POLICIES, {"metadata": {"name": "few"}, "spec": spec})
    reference = {"name": "limits", "namespace": "default", "parameterNotFoundAction": "Deny"}
    bound = {"policyName": "few", "validationActions": ["Deny"], "paramRef": reference}
    await client.create(kinds.VALIDATING_ADMISSION_POLICY_BINDINGS, {"metadata": {"name": "few-bound"}, "spec": bound})
    await client.create(kinds.CONFIG_MAPS, config_map("a"), where)
    with pytest.raises(ApiError) as refused:
        await client.create(kinds.CONFIG_MAPS, {"metadata": {"name": "b"}, "data": {"x": "1", "y": "2"}}, where)
    message = "ValidatingAdmissionPolicy 'few' with binding 'few-bound' denied request: at most 1, not 2"
    assert refused.value.message == f'configmaps "b" is forbidden: {message}'
    assert (refused.value.code, refused.value.reason, refused.value.causes) == (403, "Forbidden", [{"message": message}])
    with pytest.raises(ApiError) as refused:
        await client.create(kinds.CONFIG_MAPS, config_map("c", no="yes"), where)
    assert (refused.value.code, refused.value.reason) == (422, "Invalid")
    await client.delete(kinds.CONFIG_MAPS, "limits", "default")
    with pytest.raises(ApiError, match="no params found for policy binding with `Deny` parameterNotFoundAction"):
        await client.create(kinds.CONFIG_MAPS, config_map("d"), where)
    allowed = {"spec": {"validationActions": ["Warn"], "paramRef": {**reference, "parameterNotFoundAction": "Allow"}}}
    await client.patch(kinds.VALIDATING_ADMISSION_POLICY_BINDINGS, "few-bound", None, allowed)
    await client.create(kinds.CONFIG_MAPS, config_map("d"), where)
