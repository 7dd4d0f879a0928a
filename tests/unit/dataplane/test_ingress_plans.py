from __future__ import annotations

from typing import Any

from dataplane_objects import ingress, planned, route_table, rule, service, slice_of, world

SERVICES = (service("web", ip="127.7.128.21"), service("api", ip="127.7.128.22"))
SLICES = (slice_of("web", "127.7.1.2"), slice_of("api", "127.7.1.3"))


def routes(*ingresses: Any, host: str = "*", frontend: str = "http-80", **parts: Any) -> list[Any]:
    return route_table(planned(world(*SERVICES, slices=SLICES, ingresses=ingresses, **parts)), host, frontend)


def matches(found: list[Any]) -> list[tuple[str, str]]:
    """(match, cluster) of each route."""
    return [
        (next(value for key, value in each["match"].items() if key != "headers"), each.get("route", {}).get("cluster", ""))
        for each in found
    ]


def test_exact_paths_go_first_then_the_longest() -> None:
    found = routes(
        ingress(
            "i",
            rule("", ("/", "Prefix", "web"), ("/api/v1", "Prefix", "api"), ("/api", "Exact", "web"), ("/api/", "Prefix", "api")),
        )
    )
    assert matches(found) == [
        ("/api", "default/web:80"),
        ("/api/v1", "default/api:80"),
        ("/api", "default/api:80"),
        ("/", "default/web:80"),
    ]
    assert [next(iter(each["match"])) for each in found] == ["path", "path_separated_prefix", "path_separated_prefix", "prefix"]


def test_the_older_ingress_has_a_path_that_two_claim() -> None:
    new = ingress("a", rule("x.test", ("/", "Prefix", "api")), created="2026-02-02T00:00:00Z")
    old = ingress("b", rule("x.test", ("/", "Prefix", "web")), created="2026-01-01T00:00:00Z")
    assert matches(routes(new, old, host="x.test"))[0] == ("/", "default/web:80")


def test_a_wildcard_host_stands_for_one_label() -> None:
    found = routes(ingress("i", rule("*.test", ("/", "Prefix", "web"))), host="*.test")
    regex = found[0]["match"]["headers"][0]["string_match"]["safe_regex"]["regex"]
    import re

    assert re.fullmatch(regex, "a.test") and re.fullmatch(regex, "a.test:8080")
    assert not re.fullmatch(regex, "a.b.test")


def test_the_default_backend_takes_what_no_rule_does() -> None:
    default = {"service": {"name": "api", "port": {"number": 80}}}
    assert matches(routes(ingress("i", defaultBackend=default))) == [("/", "default/api:80")]
    with_rules = ingress("i", rule("x.test", ("/a", "Prefix", "web")), defaultBackend=default)
    assert matches(routes(with_rules, host="x.test")) == [("/a", "default/web:80"), ("/", "default/api:80")]


def test_a_missing_service_is_answered_503() -> None:
    found = routes(ingress("i", rule("", ("/", "Prefix", "gone"))))
    assert found[0]["direct_response"]["status"] == 503


def test_a_path_that_nobody_wants_is_answered_404() -> None:
    plan = planned(world())
    last = plan.tables["http-80"]["virtual_hosts"][0]["routes"][-1]
    assert last["direct_response"]["status"] == 404


def test_hosts_with_tls_are_redirected_to_the_port_that_is_really_bound() -> None:
    tls = [{"hosts": ["x.test"], "secretName": "s"}]
    secured = ingress("i", rule("x.test", ("/", "Prefix", "web")), rule("y.test", ("/", "Prefix", "web")), tls=tls)
    parts = {"certificate": lambda namespace, name: ("CHAIN", "KEY") if name == "s" else None}
    assert routes(secured, host="x.test", **parts)[0]["redirect"] == {
        "https_redirect": True,
        "response_code": "PERMANENT_REDIRECT",
        "port_redirect": 20443,
    }
    assert matches(routes(secured, host="y.test", **parts)) == [("/", "default/web:80")]
    assert matches(routes(secured, host="x.test", frontend="https-443", **parts)) == [("/", "default/web:80")]
    plan = planned(world(*SERVICES, slices=SLICES, ingresses=[secured], **parts))
    listener = next(each for each in plan.listeners if each["name"] == "https-443")
    assert [chain["filter_chain_match"]["server_names"] for chain in listener["filter_chains"]] == [["x.test"]]
    assert "default_filter_chain" in listener


def test_two_ingresses_with_a_certificate_for_one_host_make_one_filter_chain() -> None:
    tls = [{"hosts": ["x.test"], "secretName": "s"}]
    twice = [ingress(name, rule("x.test", ("/" + name, "Prefix", "web")), tls=tls) for name in ("a", "b")]
    plan = planned(world(*SERVICES, ingresses=twice, certificate=lambda namespace, name: ("CHAIN", "KEY")))
    listener = next(each for each in plan.listeners if each["name"] == "https-443")
    assert len(listener["filter_chains"]) == 1


def test_a_redirect_to_https_can_be_switched_off() -> None:
    tls = [{"hosts": ["x.test"], "secretName": "s"}]
    off = {"nginx.ingress.kubernetes.io/ssl-redirect": "false"}
    found = routes(ingress("i", rule("x.test", ("/", "Prefix", "web")), tls=tls, annotations=off), host="x.test")
    assert matches(found) == [("/", "default/web:80")]


def test_rewrite_target_replaces_the_path_by_its_groups() -> None:
    rewriting = {"nginx.ingress.kubernetes.io/rewrite-target": "/$2"}
    found = routes(ingress("i", rule("", ("/app(/|$)(.*)", "ImplementationSpecific", "web")), annotations=rewriting))
    assert found[0]["route"]["regex_rewrite"] == {"pattern": {"regex": "^/app(/|$)(.*).*"}, "substitution": r"/\2"}


def test_an_ingress_of_another_class_is_not_served() -> None:
    other = ingress("i", rule("", ("/", "Prefix", "web")), ingressClassName="traefik")
    plan = planned(world(*SERVICES, slices=SLICES, ingresses=[other]))
    assert plan.ingresses == []
    assert route_table(plan, "*") == []


def test_cookie_affinity_chooses_by_a_cookie_in_a_cluster_of_its_own() -> None:
    sticky = {"nginx.ingress.kubernetes.io/affinity": "cookie"}
    plan = planned(
        world(*SERVICES, slices=SLICES, ingresses=[ingress("i", rule("", ("/", "Prefix", "web")), annotations=sticky)])
    )
    route = route_table(plan, "*")[0]["route"]
    assert route["cluster"] == "default/web:80#"
    assert route["hash_policy"][0]["cookie"]["name"] == "INGRESSCOOKIE"
    policies = {each["name"]: each["lb_policy"] for each in plan.clusters if each["name"].startswith("default/web")}
    assert policies == {"default/web:80": "ROUND_ROBIN", "default/web:80#": "MAGLEV"}


def test_a_fault_on_a_service_holds_behind_ingress_too() -> None:
    broken = service("web", ip="127.7.128.21", annotations={"halab.dev/fault": '{"delay": 0.25, "delayPercent": 50}'})
    plan = planned(world(broken, slices=SLICES, ingresses=[ingress("i", rule("", ("/", "Prefix", "web")))]))
    config = route_table(plan, "*")[0]["typed_per_filter_config"]["envoy.filters.http.fault"]
    assert config["delay"] == {"fixed_delay": "0.25s", "percentage": {"numerator": 500000, "denominator": "MILLION"}}
