"""Envoy itself reads a plan with everything in it: a misspelt field would cost every route of a file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson

from halab.cluster.dataplane.envoy.bootstrap import bootstrap
from halab.cluster.dataplane.plan import build
from halab.cluster.dataplane.proxy import program

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "unit" / "dataplane"))

from dataplane_objects import CONFIG, ingress, node, rule, service, slice_of, world


def everything() -> Any:
    """A world that uses each feature at least once."""
    fault = {"halab.dev/fault": '{"delay": 0.1, "abort": 503, "abortPercent": 10, "drop": 5}'}
    udp = slice_of("udp", "127.7.1.9", port=5353)
    udp["ports"][0]["protocol"] = "UDP"
    services = [
        service("web", {"port": 80, "nodePort": 30080}, ip="127.7.128.21", type="NodePort"),
        service(
            "local",
            {"port": 80, "nodePort": 30081},
            ip="127.7.128.22",
            externalTrafficPolicy="Local",
            internalTrafficPolicy="Local",
        ),
        service("sticky", ip="127.7.128.23", sessionAffinity="ClientIP"),
        service("broken", ip="127.7.128.24", annotations=fault),
        service("lossy", ip="127.7.128.25", annotations={"halab.dev/fault": '{"drop": 100}'}),
        service("grpc", {"port": 80, "appProtocol": "kubernetes.io/h2c"}, ip="127.7.128.26"),
        service("udp", {"port": 53, "protocol": "UDP"}, ip="127.7.128.27", sessionAffinity="ClientIP"),
        service("far", ip="127.7.128.28", annotations={"halab.dev/traffic": '{"ejectAfter": 3, "maxConnections": 5}'}),
    ]
    names = ("web", "local", "sticky", "broken", "lossy", "grpc")
    pieces = [slice_of(name, "127.7.1.2", "127.7.2.2", nodeName="node-1") for name in names] + [udp, slice_of("far", "192.0.2.1")]
    nginx = "nginx.ingress.kubernetes.io/"
    cookie = {f"{nginx}affinity": "cookie"}
    rewrite = {f"{nginx}rewrite-target": "/$2"}
    ingresses = [
        ingress(
            "a",
            rule("", ("/", "Prefix", "web"), ("/x", "Exact", "gone")),
            defaultBackend={"service": {"name": "web", "port": {"number": 80}}},
        ),
        ingress("b", rule("*.wild.test", ("/", "Prefix", "sticky"), ("/b", "Prefix", "broken")), annotations=cookie),
        ingress("c", rule("re.test", ("/app(/|$)(.*)", "ImplementationSpecific", "web")), annotations=rewrite),
        ingress("d", rule("tls.test", ("/", "Prefix", "web")), tls=[{"hosts": ["tls.test"], "secretName": "s"}]),
    ]
    gateway = {
        "metadata": {"name": "gw", "namespace": "default"},
        "spec": {
            "gatewayClassName": "halab",
            "listeners": [
                {"name": "a", "port": 80, "protocol": "HTTP"},
                {"name": "b", "port": 8080, "protocol": "HTTP", "hostname": "*.gw.test"},
            ],
        },
    }
    modify = {"set": [{"name": "a", "value": "50%"}], "add": [{"name": "b", "value": "c"}], "remove": ["d"]}
    filters: list[dict[str, Any]] = [
        {"type": "RequestHeaderModifier", "requestHeaderModifier": modify},
        {"type": "ResponseHeaderModifier", "responseHeaderModifier": modify},
        {"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "grpc", "port": 80}}},
    ]
    prefix = {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/n"}
    full = {"type": "ReplaceFullPath", "replaceFullPath": "/f"}
    weighted = [
        {"name": "web", "port": 80, "weight": 9},
        {"name": "broken", "port": 80, "weight": 1},
        {"name": "no", "port": 80, "weight": 1},
    ]
    rules: list[dict[str, Any]] = [
        {"filters": filters, "backendRefs": weighted},
        {
            "matches": [
                {"path": {"type": "RegularExpression", "value": "/r[0-9]+"}},
                {"path": {"type": "Exact", "value": "/e"}, "method": "GET"},
                {
                    "headers": [{"name": "h", "value": "v.*", "type": "RegularExpression"}],
                    "queryParams": [{"name": "q", "value": "1"}],
                },
            ],
            "filters": [{"type": "URLRewrite", "urlRewrite": {"hostname": "new.test", "path": full}}],
            "timeouts": {"request": "10s", "backendRequest": "2s"},
            "retry": {"attempts": 2, "codes": [500, 503], "backoff": "50ms"},
            "backendRefs": [{"name": "web", "port": 80, "filters": filters[:1]}],
        },
        {
            "matches": [{"path": {"type": "PathPrefix", "value": "/o"}}],
            "filters": [{"type": "URLRewrite", "urlRewrite": {"path": prefix}}],
            "timeouts": {"backendRequest": "2s"},
            "backendRefs": [{"name": "web", "port": 80}],
        },
        {
            "matches": [{"path": {"type": "PathPrefix", "value": "/p"}}],
            "filters": [
                {
                    "type": "RequestRedirect",
                    "requestRedirect": {"scheme": "https", "hostname": "x.test", "path": prefix, "statusCode": 301},
                }
            ],
        },
        {
            "matches": [{"path": {"type": "PathPrefix", "value": "/q"}}],
            "filters": [{"type": "RequestRedirect", "requestRedirect": {"path": full, "port": 8080}}],
        },
    ]
    route = {"metadata": {"name": "r", "namespace": "default"}, "spec": {"parentRefs": [{"name": "gw"}], "rules": rules}}
    return world(
        *services, slices=tuple(pieces), nodes=[node(1), node(2)], ingresses=ingresses, gateways=[gateway], routes=[route]
    )


def test_envoy_accepts_a_plan_with_everything_in_it(tmp_path: Path, certificates: tuple[str, str]) -> None:
    what = everything()
    what.certificate = lambda namespace, name: certificates
    plan = build(CONFIG, what, tmp_path, certificates, tmp_path / "access.log")
    config = bootstrap(tmp_path, "test")
    del config["dynamic_resources"]
    listeners = orjson.loads(orjson.dumps(plan.listeners))
    for listener in listeners:
        chains = [
            *listener.get("filter_chains", ()),
            *([listener["default_filter_chain"]] if "default_filter_chain" in listener else []),
        ]
        for chain in chains:
            http = chain["filters"][0]["typed_config"]
            if "rds" in http:
                found = plan.tables[http.pop("rds")["route_config_name"]]
                http["route_config"] = {key: value for key, value in found.items() if key != "@type"}
    bare = [
        [{key: value for key, value in each.items() if key != "@type"} for each in part] for part in (plan.clusters, listeners)
    ]
    config["static_resources"] = {"clusters": bare[0], "listeners": bare[1]}
    file = tmp_path / "everything.json"
    file.write_bytes(orjson.dumps(config))
    run = subprocess.run(
        [str(program()), "--mode", "validate", "-c", str(file), "-l", "warning", "--concurrency", "1"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr + run.stdout
    assert "deprecated" not in run.stderr.lower(), run.stderr
