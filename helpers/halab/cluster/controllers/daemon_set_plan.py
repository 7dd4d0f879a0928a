"""What a DaemonSet should do next, as a pure function: one pod on every node that fits, updated within bounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from halab.cluster.controllers.deployment_sizes import scaled
from halab.cluster.controllers.pods import from_template, is_available, is_deleting, is_finished, is_ready, phase
from halab.cluster.controllers.revisions import POD_HASH
from halab.cluster.kube.kinds import DAEMON_SETS
from halab.cluster.kube.node_fit import may_stand, untolerated
from halab.cluster.kube.types import Obj

GENERATION_LABEL, GENERATION_ANNOTATION = "pod-template-generation", "deprecated.daemonset.template.generation"
_NODE = "node.kubernetes.io/"
# What every daemon pod tolerates: it belongs to the node, well or not.
TOLERATIONS = [
    {"key": f"{_NODE}not-ready", "operator": "Exists", "effect": "NoExecute"},
    {"key": f"{_NODE}unreachable", "operator": "Exists", "effect": "NoExecute"},
    {"key": f"{_NODE}disk-pressure", "operator": "Exists", "effect": "NoSchedule"},
    {"key": f"{_NODE}memory-pressure", "operator": "Exists", "effect": "NoSchedule"},
    {"key": f"{_NODE}pid-pressure", "operator": "Exists", "effect": "NoSchedule"},
    {"key": f"{_NODE}unschedulable", "operator": "Exists", "effect": "NoSchedule"},
]
HOST_NETWORK = {"key": f"{_NODE}network-unavailable", "operator": "Exists", "effect": "NoSchedule"}


@dataclass
class Plan:
    """``create`` names of nodes; ``delete`` pods, with the event (type, reason, message) that announces it if there is one."""

    status: Obj
    create: list[str] = field(default_factory=list)
    delete: list[tuple[Obj, tuple[str, str, str] | None]] = field(default_factory=list)


def tolerations_of(spec: Obj) -> list[Obj]:
    own: list[Obj] = list(spec.get("tolerations") or ())
    added = [*TOLERATIONS, *([HOST_NETWORK] if spec.get("hostNetwork") else [])]
    return own + [each for each in added if each not in own]


def fits(owner: Obj, node: Obj) -> tuple[bool, bool]:
    """(should a pod be started here, may one that is here go on)."""
    spec = owner["spec"]["template"]["spec"]
    if not may_stand(spec, node):
        return False, False
    taints, tolerations = node["spec"].get("taints") or (), tolerations_of(spec)
    if untolerated(taints, tolerations, ["NoExecute"]):
        return False, False
    return untolerated(taints, tolerations, ["NoSchedule"]) is None, True


def new_pod(owner: Obj, node: str, hash: str) -> Obj:
    """The pod for one node: required to stand there by affinity to the node's name, placed by the scheduler."""
    pod = from_template(owner["spec"]["template"], owner, DAEMON_SETS)
    pod["metadata"]["labels"] = (pod["metadata"].get("labels") or {}) | {POD_HASH: hash}
    generation = (owner["metadata"].get("annotations") or {}).get(GENERATION_ANNOTATION)
    if generation:
        pod["metadata"]["labels"][GENERATION_LABEL] = generation
    spec = pod["spec"]
    spec["tolerations"] = tolerations_of(spec)
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}
    affinity = spec.setdefault("affinity", {}).setdefault("nodeAffinity", {})
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    terms = [{**each, **term} for each in (required or {}).get("nodeSelectorTerms") or ()] or [term]
    affinity["requiredDuringSchedulingIgnoredDuringExecution"] = {"nodeSelectorTerms": terms}
    return pod


def node_of(pod: Obj) -> str:
    """Where the pod stands, or where its affinity will bring it."""
    if pod["spec"].get("nodeName"):
        return str(pod["spec"]["nodeName"])
    affinity = (pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}
    for term in (affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}).get("nodeSelectorTerms") or ():
        for each in term.get("matchFields") or ():
            if each.get("key") == "metadata.name" and each.get("operator") == "In" and len(each.get("values") or ()) == 1:
                return str(each["values"][0])
    return ""


def _seniority(pod: Obj) -> tuple[bool, str, str]:
    """Pods that have their node first, then the oldest: it is the one that the status tells of."""
    return not pod["spec"].get("nodeName"), pod["metadata"].get("creationTimestamp", ""), pod["metadata"]["name"]


class _Pass:
    def __init__(self, owner: Obj, pods: Sequence[Obj], nodes: Mapping[str, Obj], hash: str, now: float) -> None:
        self.owner, self.nodes, self.hash, self.now = owner, nodes, hash, now
        self.minimum: int = owner["spec"].get("minReadySeconds", 0)
        self.by_node: dict[str, list[Obj]] = {}
        for pod in pods:
            self.by_node.setdefault(node_of(pod), []).append(pod)
        self.fit = {name: fits(owner, node) for name, node in nodes.items()}
        self.desired = [name for name, (should, _) in self.fit.items() if should]
        self.plan = Plan({})

    def is_current(self, pod: Obj) -> bool:
        labels = pod["metadata"].get("labels") or {}
        generation = (self.owner["metadata"].get("annotations") or {}).get(GENERATION_ANNOTATION)
        return labels.get(POD_HASH) == self.hash or bool(generation and labels.get(GENERATION_LABEL) == generation)

    def bounds(self) -> tuple[int, int]:
        """(surge, unavailable) in nodes."""
        rolling = (self.owner["spec"].get("updateStrategy") or {}).get("rollingUpdate") or {}
        total = len(self.desired)
        surge = scaled(rolling.get("maxSurge", 0), total, up=True)
        unavailable = scaled(rolling.get("maxUnavailable", 1), total, up=True)
        return (surge, 1) if not surge and not unavailable else (surge, unavailable)

    def manage(self) -> None:
        surge = self.bounds()[0] if self._rolls() else 0
        for name, (should, may_go_on) in self.fit.items():
            pods = self.by_node.get(name, [])
            if should and not pods:
                self.plan.create.append(name)
            elif pods and not may_go_on:
                self.plan.delete += [(pod, None) for pod in pods if not is_deleting(pod)]
            elif pods:
                self._tidy(name, pods, surge)
        for name, pods in self.by_node.items():
            if name not in self.nodes:  # a pod that waits for a node that is gone; those on it are the pod collector's
                self.plan.delete += [(pod, None) for pod in pods if not pod["spec"].get("nodeName") and not is_deleting(pod)]

    def _tidy(self, node: str, pods: Sequence[Obj], surge: int) -> None:
        alive: list[Obj] = []
        for pod in pods:
            if is_deleting(pod):
                continue
            where = f"{pod['metadata']['namespace']}/{pod['metadata']['name']} on node {node}"
            if phase(pod) == "Failed":
                self.plan.delete.append(
                    (pod, ("Warning", "FailedDaemonPod", f"Found failed daemon pod {where}, will try to kill it"))
                )
            elif phase(pod) == "Succeeded":
                self.plan.delete.append(
                    (pod, ("Normal", "SucceededDaemonPod", f"Found succeeded daemon pod {where}, will try to delete it"))
                )
            else:
                alive.append(pod)
        current = [pod for pod in alive if self.is_current(pod)]
        old = [pod for pod in alive if not self.is_current(pod)]
        for group in (current, old):
            group.sort(key=lambda pod: (not is_ready(pod), pod["metadata"].get("creationTimestamp", "")))
        if surge and current and old:
            extra = current[1:] + old[1:]  # a new pod beside the old one until it is available
        else:
            extra = sorted(alive, key=lambda pod: (not is_ready(pod), pod["metadata"].get("creationTimestamp", "")))[1:]
        self.plan.delete += [(pod, None) for pod in extra]

    def _rolls(self) -> bool:
        return bool((self.owner["spec"].get("updateStrategy") or {}).get("type", "RollingUpdate") == "RollingUpdate")

    def roll(self) -> None:
        """Replace old pods: unavailable ones at once, others as far as the bounds let them go."""
        if not self._rolls() or self.plan.create or self.plan.delete:
            return
        surge, unavailable = self.bounds()
        down = surging = 0
        candidates: list[tuple[str, Obj]] = []
        free: list[Obj] = []
        new_on: list[str] = []
        for name in self.desired:
            pods = self.by_node.get(name, [])
            current = next((pod for pod in pods if self.is_current(pod) and not is_deleting(pod)), None)
            old = next((pod for pod in pods if not self.is_current(pod) and not is_deleting(pod)), None)
            ready_new = current is not None and is_available(current, self.minimum, self.now)
            ready_old = old is not None and is_available(old, self.minimum, self.now)
            if not ready_new and not ready_old:
                down += 1
                if old is not None and current is None:
                    if surge:
                        new_on.append(name)
                    else:
                        free.append(old)
            elif surge and old is not None and current is not None:
                surging += not ready_new
                if ready_new:
                    free.append(old)
            elif old is not None and current is None:
                candidates.append((name, old))
        self.plan.delete += [(pod, None) for pod in free]
        if surge:
            room = max(0, surge - surging)
            self.plan.create += new_on + [name for name, _ in candidates[:room]]
        else:
            room = max(0, unavailable - down)
            self.plan.delete += [(pod, None) for _, pod in candidates[:room]]

    def status(self) -> Obj:
        current = misplaced = ready = available = updated = 0
        for name, (should, _) in self.fit.items():
            pods = sorted(self.by_node.get(name, []), key=_seniority)
            if not should:
                # A pod whose end is told already is about to vanish: the count is right when it has, not a moment later.
                misplaced += any(not (is_deleting(pod) and is_finished(pod)) for pod in pods)
                continue
            if not pods:
                continue
            current += 1
            pod = pods[0]
            ready += is_ready(pod)
            available += is_available(pod, self.minimum, self.now)
            updated += self.is_current(pod)
        always = {
            "currentNumberScheduled": current,
            "numberMisscheduled": misplaced,
            "desiredNumberScheduled": len(self.desired),
            "numberReady": ready,
        }
        others = {
            "observedGeneration": self.owner["metadata"].get("generation", 0),
            "updatedNumberScheduled": updated,
            "numberAvailable": available,
            "numberUnavailable": len(self.desired) - available,
        }
        old = self.owner.get("status") or {}
        kept = {key: old[key] for key in ("collisionCount", "conditions") if old.get(key)}
        return always | {key: value for key, value in others.items() if value} | kept


def plan(owner: Obj, pods: Sequence[Obj], nodes: Mapping[str, Obj], hash: str, now: float) -> Plan:
    """``pods`` are those the set owns, ``nodes`` all by name, ``hash`` that of the present template."""
    step = _Pass(owner, pods, nodes, hash, now)
    if not is_deleting(owner):
        step.manage()
        step.roll()
    step.plan.status = step.status()
    return step.plan
