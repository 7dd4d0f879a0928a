"""Checks of lab 00: the nodes are Ready, and the learner's own pod answers."""

from halab.course.results import Failed, Passed, Result
from halab.course.scene import Scene, is_ready, state_of, trouble_of


def nodes_ready(scene: Scene) -> Result:
    nodes = scene.list("nodes")
    waiting = [node["metadata"]["name"] for node in nodes if not is_ready(node)]
    if not nodes or waiting:
        return Failed(
            f"{len(waiting)} of {len(nodes)} nodes are not Ready: {', '.join(waiting)}",
            "kubectl describe node NAME tells what a node says of itself",
        )
    return Passed(f"{len(nodes)} nodes are Ready")


def own_pod_answers(scene: Scene) -> Result:
    pod = scene.get("pods", "hello")
    if pod is None:
        others = ", ".join(p["metadata"]["name"] for p in scene.pods())
        return Failed(
            "there is no pod called hello in this lab's namespace" + (f"; there is: {others}" if others else ""),
            "kubectl run makes a pod; its first word after run is the pod's name",
        )
    if not is_ready(pod):
        return Failed(
            f"the pod hello is {state_of(pod)}" + (f" ({trouble_of(pod)})" if trouble_of(pod) else ""),
            "kubectl describe pod hello ends with its events; read the last ones",
        )
    answer = scene.ask_pod(pod, 80)
    if not answer.ok:
        return Failed(
            f"the pod hello runs, but a request to its port 80 gives: {answer}",
            "does its image hold a web server that listens on port 80? kubectl logs hello shows what it printed",
        )
    return Passed(f"hello answered {answer.status} in {answer.seconds * 1000:.0f} ms")
