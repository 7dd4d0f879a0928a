"""Objects in, picture out; and the sentence that says what changed."""

from typing import Any

import pytest

from halab.timeline import picture as tv
from halab.timeline import words

Obj = dict[str, Any]


def view(nodes: list[Obj], pods: list[Obj], services: list[Obj], slices: list[Obj], ingresses: list[Obj]) -> tv.Picture:
    kinds = {"nodes": nodes, "pods": pods, "services": services, "endpointslices": slices, "ingresses": ingresses}
    return tv.Painter().paint(kinds)


def node(name: str, ready: bool = True, **spec: Any) -> Obj:
    return {"metadata": {"name": name}, "spec": spec, "status": {"conditions": [{"type": "Ready", "status": str(ready)}]}}


def pod(
    name: str, where: str = "node-1", *, ready: bool = True, phase: str = "Running", container: Obj | None = None, **meta: Any
) -> Obj:
    status: Obj = {"phase": phase, "conditions": [{"type": "Ready", "status": str(ready)}], "podIP": "127.1.1.2"}
    if container is not None:
        status["containerStatuses"] = [container]
    return {
        "metadata": {"name": name, "uid": name, **meta},
        "spec": {"nodeName": where, "containers": [{"image": "nginx"}]},
        "status": status,
    }


def service(name: str = "web", **spec: Any) -> Obj:
    return {
        "metadata": {"name": name},
        "spec": {"clusterIP": "127.1.128.5", "type": "ClusterIP", "ports": [{"port": 80}], **spec},
    }


def slice_of(name: str, **ready: bool) -> Obj:
    endpoints = [{"targetRef": {"name": p.replace("_", "-")}, "conditions": {"ready": r}} for p, r in ready.items()]
    return {"metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}}, "endpoints": endpoints}


def ingress(host: str, path: str, to: str, tls: bool = False) -> Obj:
    spec: Obj = {"rules": [{"host": host, "http": {"paths": [{"path": path, "backend": {"service": {"name": to}}}]}}]}
    if tls:
        spec["tls"] = [{"hosts": [host], "secretName": "s"}]
    return {"metadata": {"name": "door"}, "spec": spec}


@pytest.mark.parametrize(
    ("made", "state", "word"),
    [
        (pod("a"), "ready", "Running"),
        (pod("a", ready=False), "running", "Running, not ready"),
        (pod("a", where="", phase="Pending", ready=False), "waiting", "Pending"),
        (pod("a", phase="Pending", ready=False), "starting", "ContainerCreating"),
        (pod("a", deletionTimestamp="2026-11-01T00:00:00Z"), "ending", "Terminating"),
        (pod("a", phase="Succeeded", ready=False), "done", "Completed"),
        (pod("a", phase="Failed", ready=False), "failing", "Error"),
        (pod("a", ready=False, container={"state": {"waiting": {"reason": "CrashLoopBackOff"}}}), "failing", "CrashLoopBackOff"),
        (
            pod("a", phase="Pending", ready=False, container={"state": {"waiting": {"reason": "ImagePullBackOff"}}}),
            "failing",
            "ImagePullBackOff",
        ),
        (
            pod("a", phase="Pending", ready=False, container={"state": {"waiting": {"reason": "ContainerCreating"}}}),
            "starting",
            "ContainerCreating",
        ),
        (
            pod("a", ready=False, container={"state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}),
            "failing",
            "OOMKilled",
        ),
    ],
)
def test_a_pod_s_state_and_word(made: Obj, state: str, word: str) -> None:
    assert tv.pod_state(made) == (state, word) and state in tv.STATES


def test_the_picture_in_words() -> None:
    state = view(
        [node("node-1"), node("node-2", ready=False, unschedulable=True)],
        [pod("web-b"), pod("web-a"), pod("new", where="", phase="Pending", ready=False)],
        [service()],
        [slice_of("web", web_a=True, web_b=False)],
        [ingress("nginx.example.com", "/", "web", tls=True)],
    )
    assert words.text(state).splitlines() == [
        "https://nginx.example.com/ -> service web",
        "service web (ClusterIP) -> 1 of 2 pods ready",
        "node node-1 (Ready)",
        "  pod web-a: Running",
        "  pod web-b: Running",
        "node node-2 (NotReady, cordoned)",
        "no node yet: pod new: Pending",
    ]


def test_a_headless_service_has_no_address() -> None:
    assert tv.service_view(service(clusterIP="None"), [])["type"] == "headless"


def test_changes_are_said_in_a_sentence() -> None:
    old = view([node("node-1")], [pod("a"), pod("b")], [], [], [])
    new = view([node("node-1", ready=False)], [pod("a", ready=False), pod("c")], [], [], [])
    assert (
        words.changes(old, new)
        == "pod c is new on node-1: Running; pod b is gone; pod a is Running, not ready; node node-1 is NotReady"
    )


def test_nothing_that_matters_is_nothing_said() -> None:
    state = view([node("node-1")], [pod("a")], [], [], [])
    assert words.changes(state, state) == ""


def test_many_changes_are_cut_short() -> None:
    new = view([node("node-1")], [pod(f"p{i}") for i in range(9)], [], [], [])
    assert words.changes(view([node("node-1")], [], [], [], []), new).endswith("and 5 more changes")


def test_a_change_is_the_keys_that_differ_and_can_be_played() -> None:
    old = view([node("node-1")], [pod("a"), pod("b")], [service()], [slice_of("web", a=True)], [])
    new = view([node("node-1")], [pod("a", ready=False), pod("c")], [service()], [slice_of("web", a=False)], [])
    change = tv.difference(old, new)
    assert set(change["set"]) == {"pod/a", "pod/c", "service/web"} and change["gone"] == ["pod/b"]
    assert tv.apply(old, change) == new and "pod/b" in old
    assert words.changed(old, change, new) == words.changes(old, new)


def test_what_did_not_change_is_not_painted_again() -> None:
    painter = tv.Painter()
    made = pod("a", resourceVersion="7")
    first = painter.paint({"pods": [made]})["pod/a"]
    assert painter.paint({"pods": [made]})["pod/a"] is first
    assert painter.paint({"pods": [pod("a", resourceVersion="8", ready=False)]})["pod/a"]["state"] == "running"


def test_an_http_route_shares_by_weight() -> None:
    rule = {"matches": [{"path": {"value": "/"}}], "backendRefs": [{"name": "v1", "weight": 9}, {"name": "v2", "weight": 1}]}
    [found] = tv.http_route_views({"metadata": {"name": "r"}, "spec": {"hostnames": ["shop.example.com"], "rules": [rule]}})
    assert [b["share"] for b in found["backends"]] == [0.9, 0.1] and found["by"] == "HTTPRoute r"


def test_a_rollout_in_words() -> None:
    deployment = {
        "metadata": {"name": "web"},
        "spec": {"replicas": 3},
        "status": {"replicas": 4, "updatedReplicas": 1, "availableReplicas": 3},
    }
    assert tv.deployment_view(deployment)["word"] == "rolling out"
    deployment["status"]["conditions"] = [{"type": "Progressing", "reason": "ProgressDeadlineExceeded"}]
    assert tv.deployment_view(deployment)["word"].startswith("stuck")
