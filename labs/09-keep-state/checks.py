"""Checks of lab 09: pods that keep their name and their disk. What was acknowledged is read back; who else moved is looked at as well."""

import json
from concurrent.futures import ThreadPoolExecutor

from halab.backends.access import Obj
from halab.course.requests import fetch
from halab.course.results import Failed, Passed, Result
from halab.course.scene import Scene, describe_pods, is_ready, serves
from halab.course.vocabulary import not_ready

NAME, WANTED, PORT = "counter", 3, 80
ASK = "import sys, urllib.request as u; print(u.urlopen(f'http://{sys.argv[1]}/', timeout=3).headers['X-Served-By'])"
WRITES = 3


def each_has_a_name(scene: Scene) -> Result:
    problem = _three_run(scene)
    if problem is not None:
        return problem
    names = [f"{NAME}-{number}" for number in range(WANTED)]
    with ThreadPoolExecutor(WANTED) as pool:
        found = list(pool.map(lambda name: _ask_inside(scene, name), names))
    for name, (answered, error) in zip(names, found, strict=True):
        if answered != name:
            return Failed(
                f"asked from a pod, {name}.{NAME} " + (f"was answered by {answered}" if answered else error), _why_nameless(scene)
            )
    return Passed(f"each answers under its own name: {', '.join(f'{name}.{NAME}' for name in names)}")


def comes_back_with_its_data(scene: Scene) -> Result:
    problem = _three_run(scene)
    if problem is not None:
        return problem
    victim, others = f"{NAME}-1", [f"{NAME}-0", f"{NAME}-2"]
    before = {name: _count(scene, name) for name in others}
    counted = 0
    for _ in range(WRITES):
        counted = _count(scene, victim, "POST")
        if counted < 1:
            return Failed(
                f"{victim} does not take a count (POST /count)", f"kubectl logs {victim}; may the program write to /data?"
            )
    moved = [name for name in others if _count(scene, name) != before[name]]
    if moved:
        return Failed(
            f"{WRITES} were counted at {victim}, and {' and '.join(moved)} moved too: they write to the same disk",
            "what makes a claim for each pod, instead of one for all?",
        )
    old = scene.api.get("pods", victim)["metadata"]["uid"]
    scene.api.delete("pods", victim, grace=0)
    scene.api.wait("pods", lambda pods: any(_is(p, victim) and p["metadata"]["uid"] != old and serves(p) for p in pods), 45)
    new = scene.get("pods", victim)
    if new is None or new["metadata"]["uid"] == old or not is_ready(new):
        return Failed(
            f"{victim} was killed and is not back: {describe_pods(scene.pods(f'app={NAME}'))}", f"kubectl describe pod {victim}"
        )
    now = _count(scene, victim)
    if now != counted:
        return Failed(
            f"{victim} had counted to {counted}, was killed, and now says {now}: acknowledged data is lost", _why_lost(scene)
        )
    return Passed(f"{victim} was killed; a new pod has its name and its count, {counted}")


def scaled_down_is_not_lost(scene: Scene) -> Result:
    problem = _three_run(scene)
    if problem is not None:
        return problem
    last = f"{NAME}-{WANTED - 1}"
    counted = _count(scene, last, "POST")
    if counted < 1:
        return Failed(f"{last} does not take a count (POST /count)", f"kubectl logs {last}; may the program write to /data?")
    _scale(scene, WANTED - 1)
    gone = scene.api.wait("pods", lambda pods: not any(_is(p, last) for p in pods), 30)
    if any(_is(pod, last) for pod in gone):
        _scale(scene, WANTED)
        return Failed(f"scaled to {WANTED - 1}, but {last} is still there after 30 s", "kubectl describe statefulset counter")
    if _deletes_claims(scene):
        scene.api.wait("persistentvolumeclaims", lambda claims: not any(c["metadata"]["name"].endswith(last) for c in claims), 15)
    _scale(scene, WANTED)
    ready = scene.wait_for_ready("statefulsets", NAME, WANTED, timeout=45)
    if len(ready) != WANTED:
        return Failed(f"scaled to {WANTED} again: {describe_pods(ready)}", "kubectl get pods,pvc")
    now = _count(scene, last)
    if now != counted:
        return Failed(f"{last} had counted to {counted}, was scaled away and back, and now says {now}", _why_lost(scene))
    return Passed(f"{last} was away, came back, and still says {counted}")


def _three_run(scene: Scene) -> Failed | None:
    if scene.get("statefulsets", NAME) is None:
        other = " (a Deployment of that name is: its pods have no names that last)" if scene.get("deployments", NAME) else ""
        return Failed(
            f"there is no StatefulSet called {NAME}{other}", "kubectl apply -f statefulset.yaml; did it report an error?"
        )
    pods = scene.pods_of("statefulsets", NAME)
    ready = sorted(pod["metadata"]["name"] for pod in pods if is_ready(pod))
    if len(ready) < WANTED:
        return not_ready(
            pods,
            WANTED,
            "a StatefulSet starts its pods one after the other: look at the first that is not ready, and at kubectl get pvc",
        )
    return None


def _ask_inside(scene: Scene, name: str) -> tuple[str, str]:
    """Who answers under a pod's own DNS name, asked from a pod; else why nobody does."""
    done = scene.kubectl("exec", f"{NAME}-0", "--", "python3", "-c", ASK, f"{name}.{NAME}", timeout=20)
    if done.returncode == 0:
        return done.stdout.strip(), ""
    lines = [line for line in done.stderr.strip().splitlines() if "Error" in line or "error" in line]
    return "", f"has no answer ({lines[0] if lines else done.stderr.strip()[-200:]})"


def _why_nameless(scene: Scene) -> str:
    named = scene.api.get("statefulsets", NAME)["spec"].get("serviceName", "")
    if named != NAME:
        return f"the StatefulSet's serviceName is {named or 'empty'}; which Service is to carry the pods' names?"
    service = scene.get("services", NAME)
    if service is None:
        return f"there is no Service called {NAME}"
    if service["spec"].get("clusterIP") != "None":
        return f"the Service {NAME} has an address of its own; only a headless Service gives every pod a name"
    return "compare the Service's selector with kubectl get pods --show-labels"


def _why_lost(scene: Scene) -> str:
    spec = scene.api.get("statefulsets", NAME)["spec"]
    if _deletes_claims(scene):
        return "kubectl get pvc: is the claim as old as you think? See persistentVolumeClaimRetentionPolicy"
    claims = {claim["metadata"]["name"] for claim in spec.get("volumeClaimTemplates") or []}
    if not claims:
        return "how long does the volume at /data live? kubectl get pvc shows the disks that outlive pods"
    mounts = {m["name"]: m["mountPath"] for c in spec["template"]["spec"]["containers"] for m in c.get("volumeMounts") or []}
    places = ", ".join(mounts[name] for name in sorted(claims) if name in mounts) or "nowhere"
    return f"the program writes to /data; the claim is mounted at {places}"


def _deletes_claims(scene: Scene) -> bool:
    policy = scene.api.get("statefulsets", NAME)["spec"].get("persistentVolumeClaimRetentionPolicy") or {}
    return policy.get("whenScaled") == "Delete"


def _scale(scene: Scene, replicas: int) -> None:
    scene.api.patch("statefulsets", NAME, {"spec": {"replicas": replicas}})


def _count(scene: Scene, pod: str, method: str = "GET") -> int:
    """The pod's count, asked at its own address; -1 when it does not say."""
    answer = fetch(scene.reach.pod(scene.namespace, pod, PORT), "/count", method=method)
    return int(json.loads(answer.body)["count"]) if answer.ok else -1


def _is(pod: Obj, name: str) -> bool:
    return bool(pod["metadata"]["name"] == name)
