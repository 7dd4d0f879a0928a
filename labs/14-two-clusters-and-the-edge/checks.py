"""Checks of lab 14: a whole cluster is stopped under traffic, and a node is cut off from its API server."""

import re
from collections import Counter

from halab.backends import beside
from halab.backends.access import Api, Obj
from halab.course.front import front
from halab.course.requests import Address, Answer, fetch, wait_until_answered
from halab.course.results import Failed, Passed, Result
from halab.course.scene import Scene, describe_pods, restarts_of, serves
from halab.course.vocabulary import await_node, trouble_among, until
from halab.traffic.availability import summarize
from halab.traffic.meter import Meter

WEST, HOST, RATE = "west", "shop.example", 20.0
FEW = 20
ALLOWED = 0.05  # of the requests may fail while the front finds out that a cluster is gone
RETURN_TIMEOUT = 20.0
DETECT = 3  # seconds of silence until the node counts as lost
STAYS = 5.0  # seconds after that in which the kiosk must not be given up


def west_serves(scene: Scene) -> Result:
    west = beside.running(WEST)
    if west is None:
        return Failed(f"there is no running cluster called {WEST}", f"halab up --name {WEST}")
    api = Api(west.kubeconfig())
    if api.find("deployments", "shop") is None:
        return Failed(f"there is no Deployment called shop in {WEST}", "to which cluster does kubectl talk? See --kubeconfig")
    pods = api.list("pods", "app=shop")
    if not any(serves(pod) for pod in pods):
        return Failed(f"{WEST}: {describe_pods(pods)}. {trouble_among(pods)}", "what does the shop take from its surroundings?")
    answer = fetch(west.ingress(), host=HOST)
    if not answer.ok:
        return Failed(
            f"the Ingress of {WEST} answers {answer} for {HOST}", f"kubectl --kubeconfig ... describe ingress in {WEST}"
        )
    if _place(answer) != WEST:
        return Failed(f"the shop in {WEST} says that it is {_place(answer)}", "from which ConfigMap does it take its name?")
    return Passed(f"{HOST} is served by {WEST}, too")


def front_fails_over(scene: Scene) -> Result:
    ready = west_serves(scene)
    if isinstance(ready, Failed):
        return ready
    if not fetch(scene.reach.ingress(), host=HOST).ok:
        return Failed("the shop at home does not answer: there is nothing to fall back to", "kubectl get pods,ingress")
    west = beside.running(WEST)
    assert west is not None
    with front(scene.files / "front.yml", {"west": west.ingress(), "home": scene.reach.ingress()}) as door:
        if isinstance(door, Failed):
            return door
        first = [fetch(door) for _ in range(FEW)]
        places = Counter(_place(answer) for answer in first)
        if places[WEST] < FEW:
            where = f"{places['home']} of {FEW} users were served by home while {WEST} was well"
            return Failed(
                where if places["home"] else f"only {places[WEST]} of {FEW} users were served: {Counter(map(str, first))}",
                _why_not_first(scene, west.ingress()),
            )
        with Meter(f"http://{door[0]}:{door[1]}", rate=RATE) as users:
            users.wait(0.5)
            try:
                beside.stop(WEST)
                users.wait(3)
                served = _place(fetch(door))
            finally:
                beside.start(WEST)
            seen = summarize(list(users.requests))
            if served != "home" or seen.success_rate < 1 - ALLOWED:
                return Failed(
                    f"{WEST} was stopped: {seen.sentence()}; in the end users were served by {served or 'nobody'}",
                    "how does the front learn that a cluster is gone, and what does it do with the requests in between?",
                )
            returned = until(lambda: _place(fetch(door)) == WEST, RETURN_TIMEOUT)
            whole = users.stop()
    if not returned:
        return Failed(f"{WEST} is back, and users are still served by home", "does the health check look at it again?")
    return Passed(f"{WEST} was stopped and came back: {whole.sentence()}")


def edge_keeps_serving(scene: Scene) -> Result:
    ready = scene.wait_for_ready("deployments", "kiosk", 1, 10)
    if len(ready) != 1:
        return Failed(
            f"kiosk: {describe_pods(scene.pods('app=kiosk'))}; one should be ready", "kubectl describe pod -l app=kiosk"
        )
    pod = ready[0]
    name, uid, node, crashes = pod["metadata"]["name"], pod["metadata"]["uid"], pod["spec"]["nodeName"], restarts_of(pod)
    kiosk = scene.reach.pod_beside_the_api(scene.namespace, name, 80)
    with scene.fault("node-cut-off", node, duration=80, detect=DETECT):
        await_node(scene, node, False, 25)
        local = fetch(kiosk)
        fetch(kiosk, "/break/crash", method="POST")
        again = wait_until_answered(kiosk, 10)
        gone = scene.api.wait("pods", lambda pods: not _kept(pods, uid), STAYS, selector="app=kiosk")
        given_up = not _kept(gone, uid)
    await_node(scene, node, True, 20)
    if not local.ok or not again.ok:
        return Failed(
            f"while {node} was cut off, the kiosk answered {local}, and after a crash {again}", "kubectl get pods -o wide"
        )
    if given_up:
        scene.wait_for_ready("deployments", "kiosk", 1, 20)
        return Failed(
            f"{node} was cut off, and {name} was given up though it went on serving: it is ended as soon as the node is heard of",
            "how long does a pod tolerate the taint node.kubernetes.io/unreachable? Not naming a time means for ever",
        )
    back = scene.api.wait("pods", lambda pods: any(p["metadata"]["uid"] == uid and restarts_of(p) > crashes for p in pods), 20)
    same = next((p for p in back if p["metadata"]["uid"] == uid), None)
    if same is None or not fetch(kiosk).ok:
        return Failed(f"{node} is back, but {name} is not: {describe_pods(scene.pods('app=kiosk'))}", "kubectl get events")
    return Passed(
        f"cut off, {name} answered, and again after a crash; the node is back, the pod is the same, restarts {crashes} -> {restarts_of(same)}"
    )


def _why_not_first(scene: Scene, west: Address) -> str:
    """What speaks against west, as the front sees it."""
    for path in re.findall(r"http_health_check:.*?path: *([^,}\s]+)", (scene.files / "front.yml").read_text(), re.DOTALL):
        answer = fetch(west, path, host=HOST)
        if not answer.ok:
            return f"the health check asks {path}, which answers {answer}; a front that finds every place ill asks them all"
    return "which of the two places has the lower priority number? Without one, both have 0"


def _kept(pods: list[Obj], uid: str) -> bool:
    return any(pod["metadata"]["uid"] == uid and "deletionTimestamp" not in pod["metadata"] for pod in pods)


def _place(answer: Answer) -> str:
    return answer.headers.get("x-version", "") if answer.ok else ""
