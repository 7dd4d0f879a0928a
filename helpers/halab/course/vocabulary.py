"""What several labs' checks wait for and say, in the same words. ``scene`` is what a check can do; this is what checks have in common.

Everything here is about what is seen; what a lab's hint points to stays in the lab. A ``Failed`` is false, so what may be None is compared with None.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from halab.backends.access import Obj
from halab.course.results import Failed
from halab.course.scene import Objects, Scene, describe_pods, is_ready, trouble_of

LOOK_AGAIN = 0.1  # seconds; an answer over HTTP, a member's state: nothing announces when those change


def until(true: Callable[[], object], seconds: float, every: float = LOOK_AGAIN) -> bool:
    """Look until it is true, or until ``seconds`` are over; for what no watch announces. What the API knows is waited for with ``scene.api.wait``."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(every)
    return True


def trouble_among(pods: Objects) -> str:
    """What the kubelet or the scheduler says about the first pod that has trouble; empty when none has."""
    return next((trouble_of(pod) for pod in pods if trouble_of(pod)), "")


def not_ready(pods: Objects, wanted: int, hint: str = "") -> Failed:
    """``3 pods: 2 Running and ready, 1 ErrImagePull; 3 should be ready. One says: ...``"""
    trouble = trouble_among(pods)
    return Failed(f"{describe_pods(pods)}; {wanted} should be ready" + (f". One says: {trouble}" if trouble else ""), hint)


def scene_lacks(scene: Scene, name: str) -> Failed | None:
    """Where the lab's scene has a Deployment and a Service called ``name``: whether one of them is gone."""
    if scene.get("deployments", name) is None or scene.get("services", name) is None:
        return Failed(f"the Deployment or the Service called {name} is not there", "the scene has both; try: halab reset")
    return None


def learner_lacks(scene: Scene, kinds: tuple[str, ...], name: str, file: str) -> Failed | None:
    """Where the learner's ``file`` is to make objects called ``name``: the first kind (``deployments``) of which there is none."""
    for kind in kinds:
        if scene.get(kind, name) is None:
            return Failed(
                f"there is no {kind[:-1].capitalize()} called {name}", f"kubectl apply -f {file}; did it report an error?"
            )
    return None


def await_pod(scene: Scene, name: str, holds: Callable[[Obj], object], timeout: float) -> bool:
    """Watch until ``holds(pod)`` of the pod called ``name``; whether it came to that."""

    def found(pods: Objects) -> bool:
        return any(pod["metadata"]["name"] == name and holds(pod) for pod in pods)

    return found(scene.api.wait("pods", found, timeout))


def await_node(scene: Scene, name: str, ready: bool, timeout: float) -> bool:
    """Watch until a node is Ready (or is not); whether it came to that."""

    def found(nodes: Objects) -> bool:
        return any(node["metadata"]["name"] == name and is_ready(node) is ready for node in nodes)

    return found(scene.api.wait("nodes", found, timeout))
