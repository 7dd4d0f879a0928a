"""Documents and refusals of the API server, word for word (Kubernetes 1.34)."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from halab.cluster.apiserver import api_services, documents, goyaml, health, reads
from halab.cluster.apiserver.allocation import Allocator
from halab.cluster.apiserver.render import Format, Renderer
from halab.cluster.apiserver.request import Request
from halab.cluster.apiserver.writes import check_name
from halab.cluster.kube import exact, kinds
from halab.cluster.kube.parse import parse_json
from halab.cluster.kube.status import ApiError
from halab.cluster.kube.table import table
from halab.cluster.kube.validation.workloads import status_update
from halab.settings import Addresses


def test_a_verbose_health_report_names_what_is_left_out_and_what_it_does_not_know() -> None:
    lines = health.report("readyz", ["etcd", "foo"]).splitlines()
    assert lines[:3] == ["[+]ping ok", "[+]log ok", "[+]etcd excluded: ok"]
    assert lines[-3:] == [
        "[+]shutdown ok",
        'warn: some health checks cannot be excluded: no matches for "foo"',
        "readyz check passed",
    ]
    assert "shutdown" not in health.checks("livez")


def test_yaml_is_sorted_and_quotes_what_would_be_read_as_something_else() -> None:
    text = goyaml.dump({"b": "true", "a": ["1", "x: y", None, 2], "t": "2026-01-01T00:00:00Z", "n": "y", "l": "one\ntwo\n"})
    assert text.decode() == (
        'a:\n- "1"\n- \'x: y\'\n- null\n- 2\nb: "true"\nl: |\n  one\n  two\n"n": "y"\nt: "2026-01-01T00:00:00Z"\n'
    )


@pytest.mark.parametrize(
    ("token", "detail"),
    [
        ("=", ": illegal base64 data at input byte 0"),
        ("foo", ": invalid character '~' looking for beginning of value"),
        ({"v": "v2", "rv": 1, "start": "a"}, ": server does not recognize this encoded version v2"),
        ({"v": "meta.k8s.io/v1", "start": "a"}, ": incorrect encoded start resourceVersion (version meta.k8s.io/v1)"),
        ({"v": "meta.k8s.io/v1", "rv": 5}, ": encoded start key empty (version meta.k8s.io/v1)"),
    ],
)
def test_a_continue_token_that_cannot_be_read_is_refused(token: Any, detail: str) -> None:
    text = token if isinstance(token, str) else base64.urlsafe_b64encode(json.dumps(token).encode()).decode().rstrip("=")
    with pytest.raises(ApiError) as refused:
        reads.decode_continue(text)
    assert refused.value.message == f"invalid continue token: continue key is not valid{detail}"


def test_metadata_of_a_list_and_of_an_object_are_different_requests() -> None:
    one = Renderer(kinds.DEPLOYMENTS, Format("metadata", many=True), table)  # type: ignore[arg-type]
    with pytest.raises(ApiError) as refused:
        one.one(b'{"metadata":{}}')
    assert refused.value.code == 406
    assert refused.value.message == (
        "you requested PartialObjectMetadataList, but the requested object is not a list (*apps.Deployment)"
    )
    with pytest.raises(ApiError) as refused:
        Renderer(kinds.NAMESPACES, Format("metadata"), table).many([], {})  # type: ignore[arg-type]
    assert (
        refused.value.message == "you requested PartialObjectMetadata, but the requested object is a list (*core.NamespaceList)"
    )


def test_keys_that_are_there_twice_are_named_with_their_paths() -> None:
    document = parse_json(b'{"spec":{"replicas":1,"replicas":2,"c":[{"a":1,"a":2}]}}')
    assert exact.repeated(document) == ['duplicate field "spec.replicas"', 'duplicate field "spec.c[0].a"']


class _NoServices:
    def list(self, storage: str) -> list[Any]:
        return []


@pytest.mark.parametrize(
    ("spec", "fault"),
    [
        ({"ipFamilies": ["IPv6"]}, 'spec.ipFamilies[0]: Invalid value: "IPv6": not configured on this cluster'),
        (
            {"ipFamilyPolicy": "RequireDualStack"},
            'spec.ipFamilyPolicy: Invalid value: "RequireDualStack": this cluster is not configured for dual-stack services',
        ),
        (
            {"ipFamilies": ["IPv4", "IPv6"]},
            "spec.ipFamilyPolicy: Invalid value: \"SingleStack\": must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families "
            "are specified",
        ),
        (
            {"clusterIP": "fd00::1"},
            'spec.clusterIPs[0]: Invalid value: ["fd00::1"]: IPv6 is not configured on this cluster',
        ),
        (
            {"clusterIP": "None", "clusterIPs": ["10.0.0.1"]},
            'spec.clusterIPs: Invalid value: ["10.0.0.1"]: first value must match `clusterIP`',
        ),
    ],
)
def test_address_families_that_the_cluster_lacks_are_refused_before_anything_else(spec: dict[str, Any], fault: str) -> None:
    service = {"metadata": {"name": "s"}, "spec": {"type": "ClusterIP", "selector": {"a": "b"}, **spec}}
    with pytest.raises(ApiError) as refused:
        Allocator(Addresses(7)).create(_NoServices(), service)  # type: ignore[arg-type]
    assert refused.value.message == f'Service "s" is invalid: {fault}'


def test_an_object_without_a_name_is_not_the_one_of_the_url() -> None:
    request = Request({"method": "PUT", "path": "/", "headers": [], "query_string": b""}, None, None)  # type: ignore[arg-type]
    request.name = "a"
    with pytest.raises(ApiError) as refused:
        check_name(request, {"metadata": {}})
    assert refused.value.message == "the name of the object (a based on URL) was undeterminable: name must be provided"
    with pytest.raises(ApiError, match="does not match the name on the URL"):
        check_name(request, {"metadata": {"name": "b"}})


def test_counts_of_a_status_are_those_of_its_kind() -> None:
    new = {"kind": "Deployment", "metadata": {"name": "d", "resourceVersion": "1"}, "status": {"replicas": -1}}
    errors: list[Any] = []
    status_update(errors, new, {**new, "status": {}})
    assert [str(error) for error in errors] == [
        "status.replicas: Invalid value: -1: must be greater than or equal to 0",
        "status.updatedReplicas: Invalid value: 0: cannot be greater than status.replicas",
        "status.readyReplicas: Invalid value: 0: cannot be greater than status.replicas",
        "status.availableReplicas: Invalid value: 0: cannot be greater than status.replicas",
    ]


def test_every_group_that_is_served_has_an_api_service_that_is_available() -> None:
    names = [api_services.name_of(*place) for place in api_services.builtin()]
    assert {"v1.", "v1.apps", "v2.autoscaling", "v1beta1.metrics.k8s.io"} <= set(names)
    assert "v1.apiregistration.k8s.io" not in names
    own, custom = api_services.local("", "v1"), api_services.local("x.io", "v1")
    assert own["spec"] == {"version": "v1", "groupPriorityMinimum": 18000, "versionPriority": 1}
    assert custom["metadata"]["labels"] == {"kube-aggregator.kubernetes.io/automanaged": "true"}
    assert custom["status"]["conditions"][0]["reason"] == "Local"
    order = [
        api_services.local(group, "v1")["spec"]["groupPriorityMinimum"]
        for group, _ in kinds.GROUPS
        if group != "apiregistration.k8s.io"
    ]
    assert order == sorted(order, reverse=True)


async def test_who_has_a_document_already_is_told_so() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    def request(**headers: bytes) -> Request:
        given = [(name.replace("_", "-").encode(), value) for name, value in headers.items()]
        return Request({"method": "GET", "path": "/", "headers": given, "query_string": b""}, None, send)  # type: ignore[arg-type]

    await documents._tagged(request(), b"{}", b"application/json", "AB")
    await documents._tagged(request(if_none_match=b'"AB"'), b"{}", b"application/json", "AB")
    assert [message["status"] for message in sent if "status" in message] == [200, 304]
    assert all((b"etag", b'"AB"') in message["headers"] for message in sent if "status" in message)
    assert sent[-1]["body"] == b""
