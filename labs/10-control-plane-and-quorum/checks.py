"""Checks of lab 10: users are served without the API server; etcd with two of three members, not with one, and it loses nothing it acknowledged."""

import base64
import json
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import cast

from halab.backends.base import Backend
from halab.course.requests import Answer, fetch, statuses
from halab.course.results import Failed, Passed, Result
from halab.course.scene import Scene, describe_pods, is_ready
from halab.course.vocabulary import learner_lacks, until
from halab.errors import ImageError

WEB, REQUESTS, PAUSE = "web", 200, 0.02
PORTS = {"etcd-1": 2379, "etcd-2": 22379, "etcd-3": 32379}
ELECTION = 10.0  # seconds; an election takes one or two, a busy machine needs more
PATIENCE = 3.0  # seconds after which a write that has no answer counts as not acknowledged
WRITES, NOBODY = 5, "nobody"
AGAIN = 8.0  # seconds in which the other API server must answer
LEASE = 25.0  # a Lease runs out after 15 s; a leader that ends in good order hands it on at once


def served_without_the_api(scene: Scene) -> Result:
    if (lacks := learner_lacks(scene, ("deployments", "services"), WEB, "web.yaml")) is not None:
        return lacks
    pods = scene.pods_of("deployments", WEB)
    if not pods or not all(is_ready(pod) for pod in pods):
        return Failed(f"{describe_pods(pods)}: all should be ready before the API server goes", "kubectl get pods")
    address, api = scene.reach.service(scene.namespace, WEB, 80), (scene.environment["LAB_ADDRESS"], 6443)
    answers = []
    with _no_second(scene), scene.fault("apiserver-down", duration=30):
        if not until(lambda: not fetch(api, "/readyz", tls=True, timeout=1).status, 10):
            return Failed("the API server still answers: nothing was shown", "try again")
        for _ in range(REQUESTS):
            answers.append(fetch(address, timeout=3))
            time.sleep(PAUSE)  # spread over some seconds, so that the probes have their say
        away = not fetch(api, "/readyz", tls=True, timeout=1).status
    until(lambda: fetch(api, "/readyz", tls=True, timeout=1).status != 0, 20)
    bad = [answer for answer in answers if not answer.ok]
    if bad:
        return Failed(
            f"{len(bad)} of {REQUESTS} requests failed while the API server was down: {statuses(bad)}",
            "the kubelet goes on probing and restarting without the API server: what does the liveness probe ask?",
        )
    if not away:
        return Failed("the API server came back too early: nothing was shown", "try again")
    return Passed(f"the API server was down; {REQUESTS} of {REQUESTS} requests to {WEB} were answered")


def two_of_each(scene: Scene) -> Result:
    if (lacks := learner_lacks(scene, ("deployments", "services"), WEB, "web.yaml")) is not None:
        return lacks
    pods = scene.wait_for_ready("deployments", WEB, scene.api.get("deployments", WEB)["spec"].get("replicas", 1), 20)
    if not pods:
        return Failed("no pod of web is ready", "kubectl get pods")
    known, leader = {pod["metadata"]["uid"] for pod in pods}, _manager(scene)
    with _first_of_each_down(scene):
        if not until(lambda: _answers(scene), AGAIN):
            return Failed(
                "the API server was stopped, and no other answers",
                "halab status --json lists the components; see halab component --help",
            )
        victim = pods[0]["metadata"]["name"]
        done = scene.kubectl("delete", "pod", victim, "--wait=false")
        if done.returncode:
            return Failed(f"the API answers, but does not delete a pod: {done.stderr.strip()}", "try again")
        began = time.monotonic()
        until(lambda: any(pod["metadata"]["uid"] not in known for pod in scene.pods(f"app={WEB}")), LEASE)
        replaced = any(pod["metadata"]["uid"] not in known for pod in scene.pods(f"app={WEB}"))
        took, new = time.monotonic() - began, _manager(scene)
    if not replaced:
        return Failed(
            f"the API answers, but {victim} is not replaced after {LEASE:.0f} s",
            "who is to replace it? Are there two controller managers?",
        )
    return Passed(
        f"one API server was stopped, the other answered; {victim} was replaced after {took:.1f} s; leader: {leader}, then {new}"
    )


def three_members(scene: Scene) -> Result:
    states = {name: _call(scene, name, "/v3/maintenance/status", {}) for name in PORTS}
    silent = {name: answer for name, answer in states.items() if not answer.ok}
    if silent:
        name, answer = next(iter(silent.items()))
        return Failed(f"{name} at {_place(scene, name)}: {answer}", f"halab image ps -a; halab image logs {name}")
    leaders = {name: json.loads(answer.body).get("leader", "0") for name, answer in states.items()}
    if set(leaders.values()) == {"0"}:
        return Failed("three members answer, but none leads", "an election takes a moment; then: halab image logs etcd-1")
    if len(set(leaders.values())) > 1 or "0" in leaders.values():
        clusters = {json.loads(answer.body)["header"]["cluster_id"] for answer in states.values()}
        what = f"they are {len(clusters)} clusters of their own" if len(clusters) > 1 else "they do not agree on a leader"
        return Failed(
            f"three members answer, but {what}", "who belongs to the cluster is said by --initial-cluster, the same list to each"
        )
    members = json.loads(_call(scene, "etcd-1", "/v3/cluster/member/list", {}).body)["members"]
    if len(members) != len(PORTS):
        return Failed(f"the cluster has {len(members)} members", "etcdctl member list")
    return Passed(f"{', '.join(PORTS)} are one cluster; {_leader(scene)} leads")


def one_may_fail(scene: Scene) -> Result:
    before = _settled(scene)
    if isinstance(before, Failed):
        return before
    written: dict[str, str] = {}
    for name in PORTS:
        written |= _write(scene, name, WRITES)
    until(lambda: _leader(scene) != NOBODY, ELECTION)  # a busy machine may have had another election meanwhile
    leader = _leader(scene)
    if leader == NOBODY:
        return Failed(f"no member leads for {ELECTION:.0f} s", "halab image logs etcd-1")
    others = [name for name in PORTS if name != leader]
    began = time.monotonic()
    with _stopped(scene, [leader]):
        if not until(lambda: bool(_write(scene, others[0], 1)), ELECTION):
            return Failed(
                f"{leader} was stopped, and the two others acknowledge nothing for {ELECTION:.0f} s", "etcdctl endpoint status"
            )
        took = time.monotonic() - began
        for name in others:
            written |= _write(scene, name, WRITES)
    problem = _all_there(scene, written)
    if problem is not None:
        return problem
    return Passed(
        f"{leader}, the leader, was stopped; writing went on after {took:.1f} s; all {len(written)} values are at all three members"
    )


def two_may_not(scene: Scene) -> Result:
    before = _settled(scene)
    if isinstance(before, Failed):
        return before
    written = _write(scene, "etcd-1", WRITES)
    survivor, *gone = PORTS
    with _stopped(scene, gone):
        if _write(scene, survivor, 1):
            return Failed(f"{survivor} alone acknowledged a write", "of how many members is the cluster? etcdctl member list")
        key = next(iter(written))
        if _read(scene, survivor, key) is not None:
            return Failed(f"{survivor} alone answered a consistent read", "")
        stale = _read(scene, survivor, key, stale=True)
    problem = _all_there(scene, written)
    if problem is not None:
        return problem
    if not until(lambda: bool(_write(scene, survivor, 1)), ELECTION):
        return Failed("all three run again, but nothing is acknowledged", "halab image logs etcd-1")
    remembered = "still read (perhaps stale)" if stale == written[key] else "not read"
    return Passed(
        f"{survivor} alone acknowledged nothing; old values were {remembered}; with three again all {len(written)} are there"
    )


@contextmanager
def _first_of_each_down(scene: Scene) -> Iterator[None]:
    try:
        with scene.fault("apiserver-down", duration=60), scene.fault("controllers-down", duration=60):
            yield
    finally:
        until(lambda: _answers(scene), 20)  # whoever comes next finds the API where it was


def _answers(scene: Scene) -> bool:
    return scene.kubectl("get", "--raw", "/readyz", "--request-timeout=2s").returncode == 0


@contextmanager
def _no_second(scene: Scene) -> Iterator[None]:
    """Where the learner has a second API server already, it is stopped as well, for a while."""
    said = subprocess.run(
        ["halab", "status", "--json"], env=scene.environment, capture_output=True, text=True, timeout=30, check=False
    )
    listed = json.loads(said.stdout).get("components", []) if said.stdout.startswith("{") else []
    second = any(one["name"] == "apiserver-2" and one["state"] != "stopped" for one in listed)
    controls = cast("Backend", scene.reach).controls()
    if second:
        controls.component("apiserver-2", "stop")
    try:
        yield
    finally:
        if second:
            controls.component("apiserver-2", "start")


def _manager(scene: Scene) -> str:
    """Who holds the Lease of the controller managers."""
    held = scene.api.find("leases", "kube-controller-manager", "kube-system") or {}
    return str(held.get("spec", {}).get("holderIdentity") or "nobody")


def _place(scene: Scene, name: str) -> str:
    return f"{scene.environment['LAB_ADDRESS']}:{PORTS[name]}"


def _call(scene: Scene, name: str, path: str, body: dict[str, object]) -> Answer:
    """etcd's API in JSON (https://etcd.io/docs/latest/dev-guide/api_grpc_gateway/)."""
    address = (scene.environment["LAB_ADDRESS"], PORTS[name])
    return fetch(address, path, method="POST", body=json.dumps(body).encode(), timeout=PATIENCE)


def _settled(scene: Scene) -> Result:
    """``three_members``, with time for an election: members that have just started have no leader yet."""
    if any(_call(scene, name, "/v3/maintenance/status", {}).ok for name in PORTS):
        until(lambda: isinstance(three_members(scene), Passed), ELECTION)
    return three_members(scene)


def _leader(scene: Scene) -> str:
    for name in PORTS:
        answer = _call(scene, name, "/v3/maintenance/status", {})
        if answer.ok and (state := json.loads(answer.body))["leader"] == state["header"]["member_id"]:
            return name
    return NOBODY


def _code(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _write(scene: Scene, name: str, count: int) -> dict[str, str]:
    """Write ``count`` values through one member; those that were acknowledged."""
    done = {}
    for _ in range(count):
        key, value = f"check/{uuid.uuid4().hex}", uuid.uuid4().hex
        if _call(scene, name, "/v3/kv/put", {"key": _code(key), "value": _code(value)}).ok:
            done[key] = value
    return done


def _read(scene: Scene, name: str, key: str, *, stale: bool = False) -> str | None:
    """A value as one member gives it; with ``stale`` from its own copy, without asking the others."""
    answer = _call(scene, name, "/v3/kv/range", {"key": _code(key), "serializable": stale})
    found = json.loads(answer.body).get("kvs") if answer.ok else None
    return base64.b64decode(found[0]["value"]).decode() if found else None


def _all_there(scene: Scene, written: dict[str, str]) -> Failed | None:
    """Every acknowledged value is in every member's own copy, soon."""
    for name in PORTS:
        for key, value in written.items():
            if not until(lambda name=name, key=key, value=value: _read(scene, name, key, stale=True) == value, ELECTION):  # type: ignore[misc]
                return Failed(f"{name} does not have a value that was acknowledged", f"halab image logs {name}")
    return None


@contextmanager
def _stopped(scene: Scene, names: list[str]) -> Iterator[None]:
    try:
        for name in names:
            scene.images.stop(name, 3.0)
        yield
    finally:
        for name in names:
            with suppress(ImageError):
                scene.images.start(name)
