"""Checks of lab 05: hangs, unready pods, slow starts and stops, as users and restart counts show them."""

import threading
import time

from halab.backends.access import Obj
from halab.course.requests import Answer
from halab.course.results import Failed, Passed, Result
from halab.course.scene import Scene, describe_pods, is_ready, restarts_of, serves, trouble_of
from halab.course.vocabulary import await_pod, not_ready, scene_lacks

WEB, SLOW, PORT, WANTED = "web", "slow", 80, 3
HEALED_WITHIN = 14.0  # seconds from the hang to the restarted, ready pod
MOST_FAILED = 0.15  # of the users' requests while one of three pods hangs
LEAVES_WITHIN = 6.0  # seconds from unready to out of the Service
STAYS_OUT = 4.0  # seconds in which an unready pod must not be restarted: longer than a prompt liveness probe takes
LAST_REQUEST = "/work?ms=1&wait=4000"  # under way while its pod is told to stop


def a_hang_is_healed(scene: Scene) -> Result:
    pods = _ready_web(scene)
    if isinstance(pods, Failed):
        return pods
    victim = _least_restarted(pods)
    name = victim["metadata"]["name"]
    with scene.traffic(WEB, PORT) as users:
        users.wait(1)
        _switch(scene, name, "hang", broken=True)
        began = time.monotonic()
        healed = await_pod(scene, name, lambda pod: serves(pod) and restarts_of(pod) > restarts_of(victim), HEALED_WITHIN)
        took = time.monotonic() - began
        users.wait(1)
        if not healed:
            _switch(scene, name, "hang", broken=False)
            now = scene.get("pods", name) or victim
            return Failed(
                f"{name} hangs, and {HEALED_WITHIN:.0f} s later it has been restarted {restarts_of(now) - restarts_of(victim)} times "
                f"and is {'' if is_ready(now) else 'not '}ready",
                "who asks the program whether it is alive, how often, and how many failures does it take? kubectl describe pod shows the probes",
            )
        seen = users.stop()
    if 1 - seen.success_rate > MOST_FAILED:
        return Failed(
            f"{name} hung and was restarted after {took:.1f} s, but meanwhile {seen.sent - seen.ok} of {seen.sent} requests failed",
            "a pod that does not answer should leave the Service before it is restarted: which probe decides that?",
        )
    return Passed(
        f"{name} hung and was back after {took:.1f} s; {seen.ok} of {seen.sent} requests answered meanwhile ({seen.success_rate:.0%})"
    )


def unready_is_left_alone(scene: Scene) -> Result:
    pods = _ready_web(scene)
    if isinstance(pods, Failed):
        return pods
    victim = _least_restarted(pods)
    name = victim["metadata"]["name"]
    answer = scene.tell_pod(victim, PORT, "/break/readyz")
    if not answer.ok:
        return Failed(f"{name} answers {answer} to POST /break/readyz", "does it still run the course's application?")
    try:
        if not await_pod(scene, name, lambda pod: not is_ready(pod), LEAVES_WITHIN):
            return Failed(
                f"{name} answers 503 at /readyz, but is still Ready {LEAVES_WITHIN:.0f} s later",
                "which probe asks /readyz? Without one, a pod counts as ready as soon as it runs",
            )
        scene.api.wait("endpointslices", lambda slices: name not in _ready_targets(slices), LEAVES_WITHIN)
        with scene.traffic(WEB, PORT) as users:
            restarted = await_pod(scene, name, lambda pod: restarts_of(pod) > restarts_of(victim), STAYS_OUT)
            seen = users.stop()
        if restarted:
            return Failed(
                f"only /readyz of {name} was broken, but it was restarted",
                "which path does the liveness probe ask? A restart heals nothing when a pod merely is not ready for requests",
            )
    finally:
        scene.tell_pod(victim, PORT, "/mend/readyz")
    if seen.by.get(name):
        return Failed(f"{name} is not ready, but answered {seen.by[name]} of {seen.sent} requests", "")
    if seen.ok < seen.sent:
        return Failed(f"{name} is not ready, and {seen.sent - seen.ok} of {seen.sent} requests failed: {seen.failures}", "")
    if not await_pod(scene, name, is_ready, LEAVES_WITHIN):
        return Failed(f"/readyz of {name} answers 200 again, but the pod is not Ready {LEAVES_WITHIN:.0f} s later", "")
    return Passed(f"{name} was not ready: no restart, none of {seen.sent} requests, nothing lost; now it is back")


def slow_start_is_awaited(scene: Scene) -> Result:
    if scene.get("deployments", SLOW) is None:
        return Failed(f"there is no Deployment called {SLOW} in this lab's namespace", "the scene has one; try: halab reset")
    pods = scene.pods_of("deployments", SLOW)
    if len(pods) != 1:
        return Failed(f"{SLOW} has {describe_pods(pods)}", "wait until the rollout is over: kubectl rollout status")
    pod = pods[0]
    name = pod["metadata"]["name"]
    killed = restarts_of(pod)
    if killed or not _answers(scene, pod):
        trouble = f"; {trouble_of(pod)}" if trouble_of(pod) else ""
        return Failed(
            f"{name} has been restarted {killed} times and {'answers' if _answers(scene, pod) else 'does not answer yet'}{trouble}",
            "it needs 5 s until it listens; which probe is impatient? kubectl describe pod tells why it was killed",
        )
    scene.tell_pod(pod, PORT, "/break/healthz")
    if not await_pod(scene, name, lambda now: restarts_of(now) > 0, HEALED_WITHIN):
        scene.tell_pod(pod, PORT, "/mend/healthz")
        return Failed(
            f"{name} started in peace, but it answers 503 at /healthz for {HEALED_WITHIN:.0f} s and nobody restarts it",
            "patience while it starts and vigilance afterwards are the work of two different probes",
        )
    return Passed(f"{name} started without a restart; once its /healthz was broken, it was restarted")


def the_last_request_is_answered(scene: Scene) -> Result:
    pods = _ready_web(scene)
    if isinstance(pods, Failed):
        return pods
    name = pods[0]["metadata"]["name"]
    answers: list[Answer] = []
    asking = threading.Thread(target=lambda: answers.append(scene.ask_pod(pods[0], PORT, LAST_REQUEST)))
    asking.start()
    asking.join(0.7)
    scene.ask_pod(pods[0], PORT)  # it takes them in turn: once this one is answered, the long one is under way
    scene.api.delete("pods", name)
    asking.join(10)
    if not answers or not answers[0].ok:
        became = str(answers[0]) if answers else "no answer within 10 s"
        return Failed(
            f"{name} was deleted while it worked on a request of 4 s; the user got: {became}",
            "does the program finish its work on SIGTERM, or just die? And how many seconds does Kubernetes give it?",
        )
    scene.wait_for_ready("deployments", WEB, WANTED)
    return Passed(f"{name} was deleted and still answered the request under way ({answers[0].seconds:.1f} s)")


def _ready_web(scene: Scene) -> list[Obj] | Failed:
    if (lacks := scene_lacks(scene, WEB)) is not None:
        return lacks
    status = scene.api.get("deployments", WEB).get("status", {})
    pods = scene.pods_of("deployments", WEB)
    ready = [pod for pod in pods if is_ready(pod)]
    if len(pods) == len(ready) == WANTED and status.get("updatedReplicas") == status.get("replicas") == WANTED:
        return ready
    ready = scene.wait_for_ready("deployments", WEB, WANTED, timeout=10)
    return ready if len(ready) == WANTED else not_ready(scene.pods_of("deployments", WEB), WANTED)


def _least_restarted(pods: list[Obj]) -> Obj:
    """The pod whose next restart is delayed least by the restart back-off."""
    return min(pods, key=lambda pod: (restarts_of(pod), pod["metadata"]["name"]))


def _switch(scene: Scene, pod: str, switch: str, *, broken: bool) -> None:
    """By file: a program that hangs does not take requests."""
    scene.kubectl("exec", pod, "--", *(("touch",) if broken else ("rm", "-f")), f"/tmp/broken-{switch}")


def _answers(scene: Scene, pod: Obj) -> bool:
    return is_ready(pod) and scene.ask_pod(pod, PORT).ok


def _ready_targets(slices: list[Obj]) -> set[str]:
    return {
        str(endpoint.get("targetRef", {}).get("name"))
        for item in slices
        for endpoint in item.get("endpoints") or []
        if endpoint.get("conditions", {}).get("ready", True)
    }
