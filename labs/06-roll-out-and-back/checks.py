"""Checks of lab 06: versions change under load; the probe's record and the versions in the answers are the verdict."""

import time

from halab.backends.access import Obj
from halab.course.results import Failed, Passed, Result
from halab.course.scene import Scene, is_ready, serves
from halab.course.vocabulary import not_ready, scene_lacks

NAME, CONTAINER, PORT, WANTED = "web", "app", 80, 3
GOOD, OTHER, BAD = "halab-app:2.0", "halab-app:1.0", "halab-app:3.0"
WORK = "/work?ms=1&wait=200"  # requests that take a while, so that some are always under way
RATE = 20.0
ROLLOUT = 30.0  # seconds that one change of version may take
REPORTED_WITHIN = 15.0  # seconds until a rollout that does not progress says so


def version_2_serves(scene: Scene) -> Result:
    pods = scene.pods_of("deployments", NAME)
    ready = [pod for pod in pods if is_ready(pod)]
    if len(ready) < WANTED:
        return not_ready(pods, WANTED)
    versions = _versions(scene)
    if versions != {"2.0"}:
        return Failed(
            f"{NAME} answers in version {' and '.join(sorted(versions)) or 'nothing at all'}, not 2.0",
            "kubectl rollout status deployment/web tells how far the change is; which image does the template name?",
        )
    return Passed("every answer says version 2.0")


def no_request_is_lost(scene: Scene) -> Result:
    problem = _settled(scene)
    if problem is not None:
        return problem
    before = _image(scene)
    after = OTHER if before == GOOD else GOOD
    former = _versions(scene)
    with scene.traffic(NAME, PORT, WORK, rate=RATE) as users:
        users.wait(0.5)
        _set_image(scene, after)
        there = _wait_for_rollout(scene)
        changed = _versions(scene)
        undone = scene.kubectl("rollout", "undo", f"deployment/{NAME}")
        back = there and _wait_for_rollout(scene)
        users.wait(0.5)
        seen = users.stop()
    if not there or not back:
        return Failed(f"the change from {before} to {after} and back is not over after {ROLLOUT:.0f} s each", undone.stderr)
    if seen.ok < seen.sent:
        return Failed(
            f"{seen.sent - seen.ok} of {seen.sent} requests failed while {before} became {after} and was undone: "
            + ", ".join(f"{count} x {why}" for why, count in seen.failures.items()),
            "three questions: are there ever fewer than three ready pods? Does a new pod get requests before it listens? "
            "Does an old one stop while requests are under way or still on their way to it?",
        )
    if changed == former or _versions(scene) != former:
        return Failed(f"{NAME} answered in version {former}, then {changed}, and after the undoing {_versions(scene)}", "")
    return Passed(f"{before} became {after} and was undone: {seen.sent} requests, none failed")


def a_bad_version_is_stopped(scene: Scene) -> Result:
    problem = _settled(scene)
    if problem is not None:
        return problem
    good = {pod["metadata"]["name"] for pod in scene.pods_of("deployments", NAME)}
    with scene.traffic(NAME, PORT, rate=RATE) as users:
        _set_image(scene, BAD)
        began = time.monotonic()
        seen_deployments = scene.api.wait("deployments", lambda found: any(map(_over, found)), REPORTED_WITHIN)
        took = time.monotonic() - began
        scene.kubectl("rollout", "undo", f"deployment/{NAME}")
        _wait_for_rollout(scene)
        seen = users.stop()
    reported = any(map(_gave_up, seen_deployments))
    strangers = sum(count for pod, count in seen.by.items() if pod not in good and _was_bad(scene, pod))
    if strangers or any(map(_complete, seen_deployments)):
        return Failed(
            "the rollout of version 3.0, whose /readyz answers 503, went through, and users were served by it",
            "what makes a new pod count as ready? Nobody asked it",
        )
    if seen.ok < seen.sent:
        return Failed(
            f"while version 3.0 was rolled out and taken back, {seen.sent - seen.ok} of {seen.sent} requests failed: {seen.failures}",
            "how many good pods may be missing while the new ones are not ready?",
        )
    if not reported:
        return Failed(
            f"version 3.0 never gets ready, no user noticed, but after {REPORTED_WITHIN:.0f} s the Deployment still says that it is progressing",
            "how long may a rollout make no progress before it counts as failed? The default is ten minutes",
        )
    return Passed(f"version 3.0 reached no user; the Deployment gave up after {took:.0f} s; {seen.sent} requests, none failed")


def _settled(scene: Scene) -> Failed | None:
    if (lacks := scene_lacks(scene, NAME)) is not None:
        return lacks
    if not _wait_for_rollout(scene, 15.0) or len(scene.ready_pods(f"app={NAME}")) != WANTED:
        late = not_ready(scene.pods_of("deployments", NAME), WANTED)
        return Failed(
            f"{NAME} is not at rest: {late.why}",
            "kubectl rollout status deployment/web; a rollout that is stuck can be undone, a paused one resumed",
        )
    if _image(scene) == BAD:
        return Failed(f"{NAME} runs the bad version 3.0", "kubectl rollout undo leads back")
    return None


def _image(scene: Scene) -> str:
    return str(scene.api.get("deployments", NAME)["spec"]["template"]["spec"]["containers"][0]["image"])


def _set_image(scene: Scene, image: str) -> None:
    name = scene.api.get("deployments", NAME)["spec"]["template"]["spec"]["containers"][0]["name"]
    change = {"spec": {"template": {"spec": {"containers": [{"name": name, "image": image}]}}}}
    scene.api.patch("deployments", NAME, change, type="strategic")


def _versions(scene: Scene) -> set[str]:
    """The versions that users' answers name."""
    return {answer.headers.get("x-version", "?") for answer in scene.ask_service(NAME, PORT, count=24) if answer.ok}


def _was_bad(scene: Scene, pod: str) -> bool:
    """Whether a pod belonged to the bad version's ReplicaSet (a pod's name begins with its ReplicaSet's)."""
    sets = scene.list("replicasets")
    return any(
        pod.startswith(f"{item['metadata']['name']}-") and item["spec"]["template"]["spec"]["containers"][0]["image"] == BAD
        for item in sets
    )


def _wait_for_rollout(scene: Scene, timeout: float = ROLLOUT) -> bool:
    """Watch until the newest template is all there is, ready and available; whether it came to that."""
    deadline = time.monotonic() + timeout

    def done(found: list[Obj]) -> bool:
        return any(map(_complete, found))

    if not done(scene.api.wait("deployments", done, timeout)):
        return False
    pods = scene.api.wait(
        "pods", lambda found: all(map(serves, found)), max(0.1, deadline - time.monotonic()), selector=f"app={NAME}"
    )
    return all(map(serves, pods))


def _complete(deployment: Obj) -> bool:
    status, wanted = deployment.get("status", {}), deployment["spec"].get("replicas", 1)
    current = deployment["metadata"]["name"] == NAME and status.get("observedGeneration") == deployment["metadata"]["generation"]
    return bool(current and status.get("updatedReplicas") == status.get("replicas") == status.get("availableReplicas") == wanted)


def _gave_up(deployment: Obj) -> bool:
    conditions = deployment.get("status", {}).get("conditions") or []
    return deployment["metadata"]["name"] == NAME and any(c.get("reason") == "ProgressDeadlineExceeded" for c in conditions)


def _over(deployment: Obj) -> bool:
    return _gave_up(deployment) or _complete(deployment)
