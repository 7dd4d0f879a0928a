"""Checks of lab 03: requests spread over the ready pods, an unready pod gets none, every node's port answers.

Which pod answered is counted in the pods' own logs, by a path that nobody else asks for: true on every kind of cluster.
"""

import uuid
from collections.abc import Iterable

from halab.backends.access import Obj
from halab.course.requests import fetch, statuses
from halab.course.results import Failed, Passed, Result
from halab.course.scene import Scene, describe_pods, is_ready

SERVICE, DEPLOYMENT, PORT, NODE_PORT = "nginx-service", "nginx-deployment", 80, 30080
REQUESTS = 300
ROUNDS = 3  # a node's proxy hears of a change a moment after the API has it: the last requests before that are no mistake


def spread_over_all(scene: Scene) -> Result:
    problem = _service_is_usable(scene)
    if problem is not None:
        return problem
    pods = scene.pods_of("deployments", DEPLOYMENT)
    ready = [pod for pod in pods if is_ready(pod)]
    if len(ready) < 2:
        return Failed(f"{describe_pods(pods)}: too few to share the work", "kubectl get pods; the scene has three replicas")
    failed, counts = _send(scene, ready)
    if failed is not None:
        return failed
    idle = [name for name, count in counts.items() if count == 0]
    if idle:
        return Failed(
            f"of {REQUESTS} requests none reached {', '.join(idle)}",
            "do the Service's selector and the pod's labels agree? kubectl get endpointslices shows whom it leads to",
        )
    return Passed(f"{REQUESTS} requests: " + ", ".join(f"{name} {count}" for name, count in sorted(counts.items())))


def unready_gets_none(scene: Scene) -> Result:
    problem = _service_is_usable(scene)
    if problem is not None:
        return problem
    pods = scene.pods_of("deployments", DEPLOYMENT)
    ready = [pod for pod in pods if is_ready(pod)]
    if len(ready) < 2:
        return Failed(f"{describe_pods(pods)}: at least two must be ready before one is taken out", "")
    victim = ready[0]["metadata"]["name"]
    scene.kubectl("exec", victim, "--", "touch", "/tmp/drain")
    try:
        seen = scene.api.wait("pods", lambda now: any(p["metadata"]["name"] == victim and not is_ready(p) for p in now), 20)
        if any(p["metadata"]["name"] == victim and is_ready(p) for p in seen):
            return Failed(
                f"{victim} was told to be unready, but is still Ready after 20 s",
                "does the container still have its readiness probe?",
            )
        scene.api.wait("endpointslices", lambda slices: victim not in _ready_targets(slices), 10)
        for _ in range(ROUNDS):
            failed, counts = _send(scene, [*ready])
            if failed is not None:
                return failed
            if not counts[victim]:
                break
        else:
            return Failed(
                f"{victim} is not ready, but got {counts[victim]} of {REQUESTS} requests",
                "does the Service set publishNotReadyAddresses?",
            )
        others = sum(count for name, count in counts.items() if name != victim)
        return Passed(f"{victim} was not ready and got none of {REQUESTS} requests; the others answered {others}")
    finally:
        scene.kubectl("exec", victim, "--", "rm", "-f", "/tmp/drain")


def node_port_answers(scene: Scene) -> Result:
    services = [s for s in scene.list("services") if any(p.get("nodePort") == NODE_PORT for p in s["spec"].get("ports", []))]
    if not services:
        kinds = ", ".join(f"{s['metadata']['name']} is {s['spec'].get('type')}" for s in scene.list("services"))
        return Failed(
            f"no Service of this lab has the node port {NODE_PORT}" + (f" ({kinds})" if kinds else ""),
            "which type of Service opens a port on every node?",
        )
    silent = []
    nodes = [node["metadata"]["name"] for node in scene.list("nodes")]
    for node in nodes:
        answer = fetch(scene.reach.node_port(node, NODE_PORT))
        if not answer.ok:
            silent.append(f"{node}: {answer}")
    if silent:
        return Failed(
            f"port {NODE_PORT} does not answer on {'; '.join(silent)}",
            f"kubectl describe service {services[0]['metadata']['name']}: are there endpoints?",
        )
    return Passed(f"port {NODE_PORT} answers on {', '.join(nodes)}")


def _service_is_usable(scene: Scene) -> Failed | None:
    service = scene.get("services", SERVICE)
    if service is None:
        return Failed(f"there is no Service called {SERVICE} in this lab's namespace", "kubectl get services lists what is there")
    ports = [port["port"] for port in service["spec"].get("ports", [])]
    if PORT not in ports:
        return Failed(
            f"{SERVICE} listens on {ports}, not on {PORT}", "port is what users dial; targetPort is where the pods listen"
        )
    if service["spec"].get("clusterIP") == "None":
        return Failed(
            f"{SERVICE} is headless: it has no address of its own",
            "a headless Service gives the pods' addresses by DNS; users here dial one address",
        )
    targets = _ready_targets(scene.list("endpointslices", f"kubernetes.io/service-name={SERVICE}"))
    if not targets:
        selector = ",".join(f"{k}={v}" for k, v in (service["spec"].get("selector") or {}).items())
        return Failed(
            f"{SERVICE} leads to no ready pod; its selector is {selector or 'empty'}",
            "compare the selector with kubectl get pods --show-labels",
        )
    return None


def _ready_targets(slices: Iterable[Obj]) -> set[str]:
    return {
        str(endpoint.get("targetRef", {}).get("name"))
        for item in slices
        for endpoint in item.get("endpoints") or []
        if endpoint.get("conditions", {}).get("ready", True)
    }


def _send(scene: Scene, pods: list[Obj]) -> tuple[Failed | None, dict[str, int]]:
    """Send the requests with a path of their own; who answered is what the pods' logs say."""
    mark = f"/?check={uuid.uuid4().hex}"
    answers = scene.ask_service(SERVICE, PORT, mark, REQUESTS)
    bad = [answer for answer in answers if not answer.ok]
    if bad:
        return Failed(
            f"{len(bad)} of {REQUESTS} requests to {SERVICE} failed: {statuses(bad)}",
            "does targetPort name the port on which the pods listen?",
        ), {}
    names = [pod["metadata"]["name"] for pod in pods]
    return None, {name: scene.api.log(name, tail=5 * REQUESTS).count(mark) for name in names}
