from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from dataplane_objects import ingress, planned, route_table, rule, service, slice_of, world

from halab.cluster.dataplane.backends import duration
from halab.cluster.dataplane.controller import DataPlane
from halab.cluster.dataplane.publish import gateway_status, route_status

SERVICES = (service("v1", ip="127.7.128.21"), service("v2", ip="127.7.128.22"))
SLICES = (slice_of("v1", "127.7.1.2"), slice_of("v2", "127.7.1.3"))


def gateway(*listeners: dict[str, Any]) -> dict[str, Any]:
    wanted = [{"name": "http", "port": 80, "protocol": "HTTP", **each} for each in listeners or ({},)]
    return {
        "metadata": {"name": "gw", "namespace": "default", "generation": 1},
        "spec": {"gatewayClassName": "halab", "listeners": wanted},
    }


def route(*rules: dict[str, Any], name: str = "r", created: str = "2026-01-01T00:00:00Z", **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": spec.pop("namespace", "default"), "creationTimestamp": created, "generation": 1},
        "spec": {"parentRefs": [{"name": "gw", "namespace": "default"}], "rules": list(rules), **spec},
    }


def to(name: str, weight: int | None = None, **extra: Any) -> dict[str, Any]:
    return {"name": name, "port": 80, **({} if weight is None else {"weight": weight}), **extra}


def plan_of(*routes: Any, gateways: Any = None, **parts: Any) -> Any:
    return planned(world(*SERVICES, slices=SLICES, gateways=gateways or [gateway()], routes=routes, **parts))


def test_weights_split_the_traffic() -> None:
    plan = plan_of(route({"backendRefs": [to("v1", 90), to("v2", 10)]}))
    clusters = route_table(plan, "*")[0]["route"]["weighted_clusters"]["clusters"]
    assert [(each["name"], each["weight"]) for each in clusters] == [("default/v1:80", 90), ("default/v2:80", 10)]


def test_precedence_is_exact_prefix_method_headers_query() -> None:
    plan = plan_of(
        route(
            {"matches": [{"path": {"type": "PathPrefix", "value": "/"}}], "backendRefs": [to("v1")]},
            {"matches": [{"path": {"type": "PathPrefix", "value": "/a"}}], "backendRefs": [to("v1")]},
            {
                "matches": [{"path": {"type": "PathPrefix", "value": "/a"}, "headers": [{"name": "x", "value": "1"}]}],
                "backendRefs": [to("v2")],
            },
            {"matches": [{"path": {"type": "PathPrefix", "value": "/a"}, "method": "POST"}], "backendRefs": [to("v2")]},
            {"matches": [{"path": {"type": "Exact", "value": "/a"}}], "backendRefs": [to("v2")]},
        )
    )
    found = [each["match"] for each in route_table(plan, "*")]
    assert found[0] == {"path": "/a"}
    assert found[1]["headers"][0]["name"] == ":method"
    assert found[2]["headers"][0]["name"] == "x"
    assert found[3] == {"path_separated_prefix": "/a"}
    assert found[4] == {"prefix": "/"}


@pytest.mark.parametrize(
    ("listener", "hosts", "expected"),
    [
        ("", [], ["*"]),
        ("", ["a.test"], ["a.test"]),
        ("*.test", ["a.test", "b.example"], ["a.test"]),
        ("a.test", ["*.test"], ["a.test"]),
        ("a.test", [], ["a.test"]),
        ("a.test", ["b.test"], []),
    ],
)
def test_hostnames_of_listener_and_route_are_intersected(listener: str, hosts: list[str], expected: list[str]) -> None:
    wanted = gateway({"hostname": listener} if listener else {})
    plan = plan_of(route({"backendRefs": [to("v1")]}, hostnames=hosts), gateways=[wanted])
    found = [each["domains"][0] for each in plan.tables["http-80"]["virtual_hosts"] if len(each["routes"]) > 1]
    assert found == expected
    accepted = plan.gateways.verdicts[("default", "r")][0].accepted[0]
    assert accepted == ("Accepted" if expected else "NoMatchingListenerHostname")


def test_backends_that_do_not_exist_answer_500_for_their_share() -> None:
    plan = plan_of(route({"backendRefs": [to("v1", 1), to("gone", 1)]}))
    clusters = route_table(plan, "*")[0]["route"]["weighted_clusters"]["clusters"]
    assert clusters[1]["name"] == "nowhere"
    assert clusters[1]["typed_per_filter_config"]["envoy.filters.http.fault"]["abort"]["http_status"] == 500
    assert plan.gateways.verdicts[("default", "r")][0].resolved[0] == "BackendNotFound"
    alone = plan_of(route({"backendRefs": [to("gone")]}))
    assert route_table(alone, "*")[0]["direct_response"]["status"] == 500


def test_filters_change_headers_path_and_place() -> None:
    plan = plan_of(
        route(
            {
                "matches": [{"path": {"type": "PathPrefix", "value": "/old"}}],
                "filters": [
                    {
                        "type": "RequestHeaderModifier",
                        "requestHeaderModifier": {"set": [{"name": "x", "value": "50%"}], "remove": ["y"]},
                    },
                    {"type": "ResponseHeaderModifier", "responseHeaderModifier": {"add": [{"name": "z", "value": "1"}]}},
                    {"type": "URLRewrite", "urlRewrite": {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/new"}}},
                    {"type": "RequestMirror", "requestMirror": {"backendRef": to("v2")}},
                ],
                "backendRefs": [to("v1")],
            },
            {
                "matches": [{"path": {"type": "Exact", "value": "/gone"}}],
                "filters": [{"type": "RequestRedirect", "requestRedirect": {"scheme": "https", "statusCode": 301}}],
            },
        )
    )
    redirect, found = route_table(plan, "*")
    assert redirect["redirect"] == {"response_code": "MOVED_PERMANENTLY", "scheme_redirect": "https", "port_redirect": 20443}
    assert found["request_headers_to_add"][0]["header"] == {"key": "x", "value": "50%%"}
    assert found["request_headers_to_remove"] == ["y"]
    assert found["response_headers_to_add"][0]["append_action"] == "APPEND_IF_EXISTS_OR_ADD"
    assert found["route"]["regex_rewrite"] == {"pattern": {"regex": "^/old"}, "substitution": "/new"}
    assert found["route"]["request_mirror_policies"] == [{"cluster": "default/v2:80"}]


def test_time_outs_and_retries_are_envoy_s() -> None:
    timeouts = {"request": "2s", "backendRequest": "500ms"}
    plan = plan_of(
        route({"timeouts": timeouts, "retry": {"attempts": 3, "codes": [503], "backoff": "100ms"}, "backendRefs": [to("v1")]})
    )
    found = route_table(plan, "*")[0]["route"]
    assert found["timeout"] == "2s"
    assert found["retry_policy"]["num_retries"] == 3
    assert found["retry_policy"]["per_try_timeout"] == "0.5s"
    assert found["retry_policy"]["retriable_status_codes"] == [503]
    assert duration("1h30m") == 5400.0


def test_routes_of_other_namespaces_need_the_listener_s_permission() -> None:
    stranger = route({"backendRefs": [to("v1")]}, namespace="other")
    assert plan_of(stranger).gateways.verdicts[("other", "r")][0].accepted[0] == "NotAllowedByListeners"
    chosen = gateway({"allowedRoutes": {"namespaces": {"from": "Selector", "selector": {"matchLabels": {"team": "x"}}}}})
    allowed = plan_of(stranger, gateways=[chosen], namespace_labels=lambda name: {"team": "x"})
    assert allowed.gateways.verdicts[("other", "r")][0].accepted[0] == "Accepted"


def test_ingress_and_gateway_share_a_port_and_a_host() -> None:
    plan = plan_of(
        route({"matches": [{"path": {"type": "PathPrefix", "value": "/g"}}], "backendRefs": [to("v2")]}, hostnames=["x.test"]),
        ingresses=[ingress("i", rule("x.test", ("/", "Prefix", "v1"), ("/g", "Exact", "v1")))],
    )
    assert [each["route"]["cluster"] for each in route_table(plan, "x.test")] == [
        "default/v1:80",
        "default/v2:80",
        "default/v1:80",
    ]


def test_statuses_tell_what_is_served_and_what_is_not() -> None:
    wanted = gateway({}, {"name": "tcp", "port": 9000, "protocol": "TCP"})
    attached = route({"backendRefs": [to("v1")]})
    plan = plan_of(attached, gateways=[wanted])
    status = gateway_status(wanted, plan.gateways.listeners[("default", "gw")], "127.7.0.2")
    assert status["addresses"] == [{"type": "IPAddress", "value": "127.7.0.2"}]
    by_name = {each["name"]: each for each in status["listeners"]}
    assert by_name["http"]["attachedRoutes"] == 1
    reasons = {each["type"]: each["reason"] for each in by_name["tcp"]["conditions"]}
    assert reasons["Accepted"] == "UnsupportedProtocol"
    written = route_status(attached, plan.gateways.verdicts[("default", "r")])
    again = route_status({**attached, "status": written}, plan.gateways.verdicts[("default", "r")])
    assert written == again
    assert {each["type"]: each["status"] for each in written["parents"][0]["conditions"]} == {
        "Accepted": "True",
        "ResolvedRefs": "True",
    }


def test_an_api_server_that_is_not_there_yet_is_asked_again() -> None:
    answers = iter([ConnectionRefusedError("not yet"), (503, {}, b""), (200, {}, b"")])

    async def request(*_: object) -> object:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    plane = cast("DataPlane", SimpleNamespace(client=SimpleNamespace(request=request)))
    assert asyncio.run(DataPlane._has_gateways(plane))
    assert next(answers, None) is None
