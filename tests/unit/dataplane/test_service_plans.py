from __future__ import annotations

from dataplane_objects import LEAVING, bound, endpoints, node, planned, service, slice_of, world

from halab.cluster.kube.types import Obj


def test_low_ports_are_shifted_where_they_are_bound_and_where_they_are_dialled() -> None:
    plan = planned(world(service("web", {"port": 80}), slices=(slice_of("web", "127.7.1.2", "127.7.2.2"),)))
    assert bound(plan)[("127.7.128.20", 20080)] == "ip/default/web:80"
    assert endpoints(plan, "default/web:80") == [("127.7.1.2", 20080), ("127.7.2.2", 20080)]


def test_endpoints_outside_the_cluster_are_dialled_as_they_say() -> None:
    plan = planned(world(service("db"), slices=(slice_of("db", "192.0.2.1", port=80),)))
    assert endpoints(plan, "default/db:80") == [("192.0.2.1", 80)]


def test_nothing_listens_without_endpoints_or_for_headless_and_external_services() -> None:
    plan = planned(
        world(
            service("empty"),
            service("headless", ip="None"),
            service("far", type="ExternalName", externalName="example.com"),
            slices=(slice_of("empty"), slice_of("headless", "127.7.1.2")),
        )
    )
    assert set(bound(plan).values()) == {"http-80"}


def test_ports_are_matched_by_name() -> None:
    wanted = service("web", {"name": "http", "port": 80}, {"name": "admin", "port": 9000})
    pieces = (
        slice_of("web", "127.7.1.2", port=8080, port_name="http"),
        slice_of("web", "127.7.1.3", port=9001, port_name="admin"),
    )
    plan = planned(world(wanted, slices=pieces))
    assert endpoints(plan, "default/web:80") == [("127.7.1.2", 8080)]
    assert endpoints(plan, "default/web:9000") == [("127.7.1.3", 9001)]


def test_ready_endpoints_come_before_terminating_ones() -> None:
    both = planned(world(service("web"), slices=(slice_of("web", "127.7.1.2"), slice_of("web", "127.7.1.3", conditions=LEAVING))))
    assert endpoints(both, "default/web:80") == [("127.7.1.2", 20080)]
    last = planned(world(service("web"), slices=(slice_of("web", "127.7.1.3", conditions=LEAVING),)))
    assert endpoints(last, "default/web:80") == [("127.7.1.3", 20080)]


def test_node_ports_are_bound_on_every_node_or_only_where_endpoints_are() -> None:
    nodes = [node(1), node(2)]
    piece = slice_of("web", "127.7.1.2", nodeName="node-1")
    port = {"port": 80, "nodePort": 30080}
    shared = planned(world(service("web", port, type="NodePort"), slices=(piece,), nodes=nodes))
    assert {("127.7.0.10", 30080), ("127.7.0.11", 30080)} <= set(bound(shared))
    local = planned(world(service("web", port, type="NodePort", externalTrafficPolicy="Local"), slices=(piece,), nodes=nodes))
    assert ("127.7.0.10", 30080) in bound(local)
    assert ("127.7.0.11", 30080) not in bound(local)


def test_internal_traffic_can_be_kept_on_the_client_s_node() -> None:
    pieces = (slice_of("web", "127.7.1.2", nodeName="node-1"), slice_of("web", "127.7.2.2", nodeName="node-2"))
    plan = planned(world(service("web", internalTrafficPolicy="Local"), slices=pieces, nodes=[node(1), node(2)]))
    listener = next(each for each in plan.listeners if each["name"] == "ip/default/web:80")
    ranges = [chain["filter_chain_match"]["source_prefix_ranges"][0]["address_prefix"] for chain in listener["filter_chains"]]
    assert ranges == ["127.7.1.0", "127.7.2.0"]
    assert endpoints(plan, "default/web:80@node-2") == [("127.7.2.2", 20080)]


def test_clients_are_led_to_the_endpoints_that_are_hinted_to_their_node_or_zone() -> None:
    def hinted(number: int, **hints: list[str]) -> Obj:
        names = {kind: [{"name": name} for name in found] for kind, found in hints.items()}
        return slice_of("web", f"127.7.{number}.2", nodeName=f"node-{number}", hints=names)

    nodes = [node(1), node(2), node(3)]
    for each, zone in zip(nodes, ("a", "a", "b"), strict=True):
        each["metadata"]["labels"] = {"topology.kubernetes.io/zone": zone}
    pieces = (hinted(1, forZones=["a"], forNodes=["node-1"]), hinted(2, forZones=["a"], forNodes=["node-2"]))
    plan = planned(world(service("web", trafficDistribution="PreferSameNode"), slices=pieces, nodes=nodes))
    assert endpoints(plan, "default/web:80~node-1") == [("127.7.1.2", 20080)]
    listener = next(each for each in plan.listeners if each["name"] == "ip/default/web:80")
    assert [chain["name"] for chain in listener["filter_chains"]] == ["default/web:80~node-1", "default/web:80~node-2"]
    assert listener["default_filter_chain"]["name"] == "default/web:80"  # node-3 has none of its own, nor has its zone
    pieces = (hinted(1, forZones=["a"]), hinted(3, forZones=["b"]))
    plan = planned(world(service("web", trafficDistribution="PreferSameZone"), slices=pieces, nodes=nodes))
    assert endpoints(plan, "default/web:80~node-2") == [("127.7.1.2", 20080)]
    assert endpoints(plan, "default/web:80~node-3") == [("127.7.3.2", 20080)]
    pieces = (hinted(1, forZones=["a"]), hinted(3))  # not every endpoint has a hint: there is no preference
    plan = planned(world(service("web", trafficDistribution="PreferSameZone"), slices=pieces, nodes=nodes))
    assert not [each for each in plan.clusters if "~" in each["name"]]


def test_client_ip_affinity_hashes_the_source_address() -> None:
    plan = planned(world(service("web", sessionAffinity="ClientIP"), slices=(slice_of("web", "127.7.1.2"),)))
    cluster = next(each for each in plan.clusters if each["name"] == "default/web:80")
    assert cluster["lb_policy"] == "MAGLEV"
    listener = next(each for each in plan.listeners if each["name"] == "ip/default/web:80")
    assert listener["filter_chains"][0]["filters"][0]["typed_config"]["hash_policy"] == [{"source_ip": {}}]


def test_udp_ports_have_datagram_listeners() -> None:
    piece = slice_of("time", "127.7.1.2", port=1123)
    piece["ports"][0]["protocol"] = "UDP"
    plan = planned(world(service("time", {"port": 123, "protocol": "UDP"}), slices=(piece,)))
    listener = next(each for each in plan.listeners if each["name"] == "ip/default/time:123/UDP")
    assert listener["address"]["socket_address"] == {"address": "127.7.128.20", "port_value": 20123, "protocol": "UDP"}


def test_a_service_that_loses_connections_sends_their_share_nowhere() -> None:
    broken = service("web", annotations={"halab.dev/fault": '{"drop": 30}'})
    plan = planned(world(broken, slices=(slice_of("web", "127.7.1.2"),)))
    listener = next(each for each in plan.listeners if each["name"] == "ip/default/web:80")
    shares = listener["filter_chains"][0]["filters"][0]["typed_config"]["weighted_clusters"]["clusters"]
    assert shares == [{"name": "default/web:80", "weight": 7000}, {"name": "nowhere", "weight": 3000}]


def test_a_fault_that_cannot_be_read_is_none() -> None:
    for text in ("x", "[]", '{"delay": "soon"}', '{"abort": 7}', "{}"):
        plan = planned(world(service("web", annotations={"halab.dev/fault": text}), slices=(slice_of("web", "127.7.1.2"),)))
        listener = next(each for each in plan.listeners if each["name"] == "ip/default/web:80")
        assert listener["filter_chains"][0]["filters"][0]["typed_config"]["cluster"] == "default/web:80"


def test_the_same_world_in_another_order_gives_the_same_plan() -> None:
    services = [service("a", ip="127.7.128.21"), service("b", ip="127.7.128.22")]
    pieces = (slice_of("a", "127.7.1.2", "127.7.1.3"), slice_of("b", "127.7.1.4"))
    turned = (slice_of("b", "127.7.1.4"), slice_of("a", "127.7.1.3", "127.7.1.2"))
    first, second = planned(world(*services, slices=pieces)), planned(world(*reversed(services), slices=turned))
    assert (first.clusters, first.listeners) == (second.clusters, second.listeners)


def test_a_lost_node_listens_no_more() -> None:
    lost = node(2)
    lost["status"]["conditions"] = [{"type": "Ready", "status": "Unknown"}]
    wanted = service("web", {"port": 80, "nodePort": 30080}, type="NodePort")
    plan = planned(world(wanted, slices=(slice_of("web", "127.7.1.2"),), nodes=[node(1), lost]))
    assert ("127.7.0.10", 30080) in bound(plan)
    assert ("127.7.0.11", 30080) not in bound(plan)


def test_a_service_may_eject_endpoints_that_fail_and_bound_what_is_open() -> None:
    careful = service("web", annotations={"halab.dev/traffic": '{"ejectAfter": 3, "ejectSeconds": 5, "maxRequests": 10}'})
    plan = planned(world(careful, slices=(slice_of("web", "127.7.1.2"),)))
    cluster = next(each for each in plan.clusters if each["name"] == "default/web:80")
    assert cluster["outlier_detection"]["consecutive_5xx"] == 3
    assert cluster["outlier_detection"]["base_ejection_time"] == "5s"
    assert cluster["circuit_breakers"]["thresholds"][0]["max_requests"] == 10
    plain = planned(world(service("web", annotations={"halab.dev/traffic": "no"}), slices=(slice_of("web", "127.7.1.2"),)))
    assert "outlier_detection" not in next(each for each in plain.clusters if each["name"] == "default/web:80")
