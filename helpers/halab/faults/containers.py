"""Failures of single containers: how one is named, found, and told to its node's agent."""

from __future__ import annotations

from typing import Any

from halab.backends.access import Obj
from halab.backends.controls import Unreachable, Vanished
from halab.errors import ClusterError, UsageError
from halab.faults.base import Data, Fault, Option, Options, Place, Plan

OWNERS = {"deployment": "deployments", "deploy": "deployments", "statefulset": "statefulsets", "sts": "statefulsets"}
OWNERS |= {"daemonset": "daemonsets", "ds": "daemonsets", "replicaset": "replicasets", "rs": "replicasets"}

PODS = Option("pods", "1", "of a deployment's pods, how many: a number or all")
CONTAINER = Option("container", "", "which container (default: the pod's first)")
PICK = Option("pick", 0.0, "which of several pods is the first, between 0 and 1", 0, 1)
WHICH: tuple[Option, ...] = (PODS, CONTAINER, PICK)


def is_running(pod: Obj) -> bool:
    return pod.get("status", {}).get("phase") == "Running" and "deletionTimestamp" not in pod["metadata"]


def chosen(pods: list[Obj], wanted: str, pick: float) -> list[Obj]:
    """``wanted`` pods (a number or ``all``), by name, beginning at the share ``pick`` of the list and going round. Pure."""
    ordered = sorted(pods, key=lambda pod: str(pod["metadata"]["name"]))
    if wanted == "all" or not ordered:
        return ordered
    if not wanted.isdecimal() or int(wanted) < 1:
        raise UsageError(f"pods={wanted}", "is neither a number above 0 nor all")
    first = min(int(pick * len(ordered)), len(ordered) - 1)
    return [ordered[(first + step) % len(ordered)] for step in range(min(int(wanted), len(ordered)))]


def pods_of(place: Place, fault: str, target: str, options: Options) -> list[Obj]:
    """The pods that ``target`` means: ``NAME``, ``pod/NAME``, ``deployment/NAME``. Raises UsageError when there are none."""
    kind, _, name = target.rpartition("/")
    if kind in ("", "pod", "pods", "po"):
        pod = place.api.find("pods", name) if name else None
        if pod is None or not is_running(pod):
            fact = "is not running" if pod else f"does not exist in namespace {place.namespace}"
            raise UsageError(f"fault {fault}: pod {name or '(none named)'}", fact, f"see: kubectl -n {place.namespace} get pods")
        return [pod]
    plural = OWNERS.get(kind.lower().removesuffix("s"), OWNERS.get(kind.lower()))
    if plural is None:
        raise UsageError(f"fault {fault}: target {target}", "is not understood", "say POD, pod/POD or deployment/NAME")
    owner = place.api.find(plural, name)
    if owner is None:
        raise UsageError(
            f"fault {fault}: {target}",
            f"does not exist in namespace {place.namespace}",
            f"see: kubectl -n {place.namespace} get {plural}",
        )
    labels = (owner["spec"].get("selector") or {}).get("matchLabels") or {}
    pods = place.api.list("pods", ",".join(f"{key}={value}" for key, value in labels.items()))
    found = chosen([pod for pod in pods if is_running(pod)], str(options["pods"]), float(options["pick"]))
    if not found:
        raise UsageError(f"fault {fault}: {target}", "has no running pod", f"see: kubectl -n {place.namespace} get pods")
    return found


def container_of(fault: str, pod: Obj, wanted: str) -> Obj:
    containers: list[Obj] = pod["spec"]["containers"]
    found = next((one for one in containers if not wanted or one["name"] == wanted), None)
    if found is None:
        names = ", ".join(one["name"] for one in containers)
        raise UsageError(f"fault {fault}: pod {pod['metadata']['name']}", f"has no container {wanted}", f"containers: {names}")
    return found


class ContainerFault(Fault):
    """A failure of containers that their node's agent brings about. Subclasses say what to ask of it."""

    target = "pod"
    options = WHICH

    def request(self, pod: Obj, container: Obj, options: Options) -> Data:
        """What the agent is asked to do. Raises UsageError for a container that cannot suffer it."""
        raise NotImplementedError

    def remedy(self, request: Data) -> Data | None:
        """What the agent is asked to do to heal it; None where nothing is left to heal."""
        raise NotImplementedError

    def plan(self, place: Place, target: str, options: Options) -> Plan:
        hits: list[str] = []
        keys: list[str] = []
        found: list[Data] = []
        for pod in pods_of(place, self.name, target, options):
            container = container_of(self.name, pod, str(options["container"]))
            name, node = pod["metadata"]["name"], pod["spec"]["nodeName"]
            hits.append(f"container {container['name']} of pod {place.namespace}/{name} on {node}")
            keys.append(f"container/{place.namespace}/{name}/{container['name']}")
            request = self.request(pod, container, options)
            found.append({"node": node, "pod": name, "container": container["name"], "request": request})
        return Plan(tuple(hits), tuple(keys), {"containers": found})

    def inject(self, place: Place, data: Data) -> None:
        for one in data["containers"]:
            self._ask(place, one, one["request"])

    def heal(self, place: Place, data: Data) -> None:
        for one in data["containers"]:
            remedy = self.remedy(one["request"])
            if remedy is None:
                continue
            try:
                self._ask(place, one, remedy)
            except Vanished:
                continue  # with the pod went all that it suffered from
            except Unreachable as error:
                if not error.gone:
                    raise
            except ClusterError:
                continue  # the container does not run now: its next start is a healthy one

    @staticmethod
    def _ask(place: Place, one: Data, request: Data) -> dict[str, Any]:
        return place.controls.container(one["node"], place.namespace, one["pod"], one["container"], request)
