"""Owners: who adopts whom, and what goes when an owner is gone."""

from __future__ import annotations

from controller_objects import made, owned, pod

from halab.cluster.controllers.actions import Patch
from halab.cluster.controllers.garbage import collected_kinds, custom_kind
from halab.cluster.controllers.garbage_graph import Graph, Node, State, Verdict, judge, node_of
from halab.cluster.controllers.namespace import conditions
from halab.cluster.controllers.owners import claim
from halab.cluster.kube.kinds import CONFIG_MAPS, EVENTS, EVENTS_V1, PODS, REPLICA_SETS
from halab.cluster.kube.types import Obj


def rs(name: str = "web") -> Obj:
    return made("ReplicaSet", name, "apps/v1", spec={})


def matches(obj: Obj) -> bool:
    return bool(obj["metadata"]["labels"].get("app") == "web")


def test_orphans_that_match_are_adopted_and_strays_released() -> None:
    owner = rs()
    stray = owned(pod("stray", labels={"app": "free"}), owner)
    foreign = owned(pod("foreign"), rs("other"))
    mine, actions = claim(owner, REPLICA_SETS, PODS, [pod("orphan"), stray, foreign, owned(pod("own"), owner)], matches)
    assert [each["metadata"]["name"] for each in mine] == ["orphan", "own"]
    adopt, release = actions
    assert isinstance(adopt, Patch) and isinstance(release, Patch)
    assert adopt.patch["metadata"]["ownerReferences"][0]["uid"] == "uid-web"
    assert release.patch["metadata"]["ownerReferences"] == [{"$patch": "delete", "uid": "uid-web"}]


def test_an_owner_that_goes_adopts_nobody() -> None:
    owner = rs()
    owner["metadata"]["deletionTimestamp"] = "2024-01-01T00:00:00Z"
    assert claim(owner, REPLICA_SETS, PODS, [pod("orphan")], matches) == ([], [])


def graph_of(*objects: Obj) -> Graph:
    graph = Graph()
    for each in objects:
        graph.put(node_of(CONFIG_MAPS, each))
    return graph


def verdict(graph: Graph, obj: Obj, absent: tuple[str, ...] = ()) -> Verdict:
    node = graph.nodes[obj["metadata"]["uid"]]

    def state(reference: Obj) -> State:
        found = graph.owner_state(node, reference)
        return State.ABSENT if found is State.UNKNOWN and reference["uid"] in absent else found

    return judge(graph, node, state)


def test_what_no_owner_holds_goes_and_what_one_holds_stays() -> None:
    owner, child = rs("owner"), owned(pod("child"), rs("owner"))
    assert verdict(graph_of(owner, child), child) == Verdict()
    assert verdict(graph_of(child), child, absent=("uid-owner",)) == Verdict(delete="Background")


def test_a_second_owner_keeps_an_object_which_forgets_the_first() -> None:
    child = owned(pod("child"), rs("gone"))
    child["metadata"]["ownerReferences"].append({"apiVersion": "v1", "kind": "ReplicaSet", "name": "here", "uid": "uid-here"})
    assert verdict(graph_of(rs("here"), child), child, absent=("uid-gone",)) == Verdict(drop=("uid-gone",))


def test_dependents_of_an_owner_that_waits_go_before_it() -> None:
    owner = rs("owner")
    owner["metadata"] |= {"deletionTimestamp": "2024-01-01T00:00:00Z", "finalizers": ["foregroundDeletion"]}
    child = owned(pod("child"), owner)
    grandchild = owned(pod("grandchild"), child)
    graph = graph_of(owner, child, grandchild)
    assert verdict(graph, child) == Verdict(delete="Foreground")
    assert [node.name for node in graph.blocking(graph.nodes["uid-owner"])] == ["child"]
    graph.remove("uid-child")
    assert graph.blocking(graph.nodes["uid-owner"]) == []


def test_an_owner_of_another_namespace_is_none() -> None:
    owner, child = rs("owner"), owned(pod("child"), rs("owner"))
    owner["metadata"]["namespace"] = "elsewhere"
    graph = graph_of(owner, child)
    assert graph.owner_state(graph.nodes["uid-child"], child["metadata"]["ownerReferences"][0]) is State.UNKNOWN


def test_events_are_not_followed_and_each_storage_is_once() -> None:
    kinds = collected_kinds()
    assert EVENTS not in kinds and EVENTS_V1 not in kinds
    assert len({kind.storage for kind in kinds}) == len(kinds)


def test_custom_kinds_are_followed_while_they_are_served() -> None:
    names = {"kind": "Widget", "plural": "widgets", "singular": "widget"}
    spec = {"group": "x.io", "scope": "Namespaced", "names": names, "versions": [{"name": "v1", "served": True, "storage": True}]}
    assert custom_kind({"spec": spec}) is None
    established = {"conditions": [{"type": "Established", "status": "True"}]}
    kind = custom_kind({"spec": spec, "status": established})
    assert kind is not None and kind.path("ns", "a") == "/apis/x.io/v1/namespaces/ns/widgets/a"


def test_a_namespace_says_what_keeps_it() -> None:
    from collections import Counter

    found = {each["type"]: each for each in conditions({}, {PODS: 2}, Counter({"a.io/b": 1}), [], 0.0)}
    assert found["NamespaceContentRemaining"]["message"] == "Some resources are remaining: pods. has 2 resource instances"
    message = "Some content in the namespace has finalizers remaining: a.io/b in 1 resource instances"
    assert found["NamespaceFinalizersRemaining"]["message"] == message
    assert found["NamespaceDeletionContentFailure"]["status"] == "False"


def test_replacing_a_node_forgets_its_former_owners() -> None:
    graph = graph_of(owned(pod("child"), rs("a")))
    graph.put(Node(PODS, "ns", "child", "uid-child", "2", (), False, ()))
    assert list(graph.dependents("uid-a")) == []
