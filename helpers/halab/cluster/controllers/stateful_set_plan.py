"""What a StatefulSet should do next, as a pure function: one step at a time, in the order of the ordinals.

Ordered sets change one pod a pass and wait until it is ready; parallel ones do not wait. Updates go from the highest ordinal down to the
partition. https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/ has the guarantees.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from halab.cluster.controllers.deployment_sizes import replicas_of
from halab.cluster.controllers.owners import controller_reference
from halab.cluster.controllers.pods import from_template, is_available, is_deleting, is_finished, is_ready, phase
from halab.cluster.controllers.revisions import POD_HASH, template_of
from halab.cluster.kube.kinds import PODS, STATEFUL_SETS
from halab.cluster.kube.types import Obj

POD_NAME, POD_INDEX = "statefulset.kubernetes.io/pod-name", "apps.kubernetes.io/pod-index"
_ORDINAL = re.compile(r"(.*)-([0-9]+)$")


@dataclass
class Plan:
    """``create`` whole pods (their claims come first), ``update`` pods whose identity was changed, ``delete`` pods; ``status`` afterwards,
    ``standing`` if the server refuses something of it."""

    status: Obj
    standing: Obj = field(default_factory=dict)
    create: list[Obj] = field(default_factory=list)
    update: list[Obj] = field(default_factory=list)
    delete: list[Obj] = field(default_factory=list)


def ordinal_of(owner: Obj, pod: Obj) -> int:
    """The ordinal in a pod's name, -1 if the name is not one of this set's."""
    found = _ORDINAL.match(pod["metadata"]["name"])
    return int(found[2]) if found and found[1] == owner["metadata"]["name"] else -1


def start_of(owner: Obj) -> int:
    value: int = (owner["spec"].get("ordinals") or {}).get("start", 0)
    return value


def claim_name(owner: Obj, template: Obj, ordinal: int) -> str:
    return f"{template['metadata']['name']}-{owner['metadata']['name']}-{ordinal}"


def claims_of(owner: Obj, ordinal: int) -> list[Obj]:
    """The PersistentVolumeClaims of one ordinal."""
    made = []
    for template in owner["spec"].get("volumeClaimTemplates") or ():
        claim = copy.deepcopy({key: template[key] for key in ("metadata", "spec") if key in template})
        meta = claim["metadata"]
        meta.pop("creationTimestamp", None)
        meta |= {"name": claim_name(owner, template, ordinal), "namespace": owner["metadata"]["namespace"]}
        meta["labels"] = (meta.get("labels") or {}) | (owner["spec"]["selector"].get("matchLabels") or {})
        if retention(owner, "whenDeleted") == "Delete":
            meta["ownerReferences"] = [controller_reference(owner, STATEFUL_SETS)]
        made.append({"apiVersion": "v1", "kind": "PersistentVolumeClaim"} | claim)
    return made


def retention(owner: Obj, when: str) -> str:
    return str((owner["spec"].get("persistentVolumeClaimRetentionPolicy") or {}).get(when, "Retain"))


def claim_owners(owner: Obj, pod: Obj, claim: Obj) -> list[Obj]:
    """The ownerReferences that ``claim`` of ``pod`` should have by the set's retention policy.

    A claim that goes with the set is owned by it, one that goes when it is scaled away by its pod, once the pod is beyond the count. A
    claim that somebody else controls is left to them.
    """
    mine = (owner["metadata"]["uid"], pod["metadata"]["uid"])
    references: list[Obj] = claim["metadata"].get("ownerReferences") or []
    others = [each for each in references if each["uid"] not in mine]
    if any(each.get("controller") for each in others):
        return others
    beyond = not start_of(owner) <= ordinal_of(owner, pod) < start_of(owner) + replicas_of(owner)
    with_scale, with_set = retention(owner, "whenScaled") == "Delete", retention(owner, "whenDeleted") == "Delete"
    if with_scale and beyond:
        return [*others, controller_reference(pod, PODS)]
    return [*others, controller_reference(owner, STATEFUL_SETS)] if with_set else others


def identity(owner: Obj, pod: Obj, ordinal: int) -> Obj:
    """``pod`` with the name, labels and volumes of that ordinal; the same object if it has them already."""
    name = f"{owner['metadata']['name']}-{ordinal}"
    labels = {POD_NAME: name, POD_INDEX: str(ordinal)}
    meta = pod["metadata"]
    have = meta.get("labels") or {}
    claims = {
        template["metadata"]["name"]: claim_name(owner, template, ordinal)
        for template in owner["spec"].get("volumeClaimTemplates") or ()
    }
    mounted = {
        each["name"]: (each.get("persistentVolumeClaim") or {}).get("claimName") for each in pod["spec"].get("volumes") or ()
    }
    if all(have.get(key) == value for key, value in labels.items()) and all(
        mounted.get(key) == value for key, value in claims.items()
    ):
        return pod
    spec = dict(pod["spec"])
    if claims:
        others = [each for each in spec.get("volumes") or () if each["name"] not in claims]
        spec["volumes"] = [{"name": key, "persistentVolumeClaim": {"claimName": value}} for key, value in claims.items()] + others
    return {**pod, "metadata": {**meta, "labels": have | labels}, "spec": spec}


def new_pod(owner: Obj, revision: Obj, ordinal: int) -> Obj:
    """The pod of that ordinal from the template that ``revision`` holds."""
    name = f"{owner['metadata']['name']}-{ordinal}"
    pod = from_template(template_of(revision), owner, STATEFUL_SETS, name=name)
    pod["metadata"]["generateName"] = f"{owner['metadata']['name']}-"
    pod["metadata"]["labels"] = (pod["metadata"].get("labels") or {}) | {POD_HASH: revision["metadata"]["name"]}
    pod["spec"]["hostname"] = name
    if owner["spec"].get("serviceName"):
        pod["spec"]["subdomain"] = owner["spec"]["serviceName"]
    return identity(owner, pod, ordinal)


def revision_name(pod: Obj) -> str:
    return str((pod["metadata"].get("labels") or {}).get(POD_HASH, ""))


class _Step:
    """One pass over the set's pods."""

    def __init__(self, owner: Obj, pods: Sequence[Obj], current: Obj, update: Obj, now: float) -> None:
        self.owner, self.current, self.update, self.now = owner, current, update, now
        spec = owner["spec"]
        self.start, self.count = start_of(owner), replicas_of(owner)
        self.ordered = spec.get("podManagementPolicy", "OrderedReady") != "Parallel"
        self.minimum: int = spec.get("minReadySeconds", 0)
        strategy = spec.get("updateStrategy") or {}
        self.rolling = strategy.get("type", "RollingUpdate") == "RollingUpdate"
        self.partition: int = (strategy.get("rollingUpdate") or {}).get("partition", 0)
        ordinals = {ordinal_of(owner, pod): pod for pod in pods}
        self.replicas = {i: ordinals.get(i) for i in range(self.start, self.start + self.count)}
        # From the highest down; these are beyond the wanted count.
        self.condemned = [ordinals[i] for i in sorted(ordinals, reverse=True) if i >= 0 and i not in self.replicas]
        self.plan = Plan({})
        self._count([*(pod for pod in self.replicas.values() if pod is not None), *self.condemned])

    def _count(self, pods: Sequence[Obj]) -> None:
        existing = [pod for pod in pods if phase(pod)]
        ready = [pod for pod in existing if phase(pod) == "Running" and is_ready(pod)]
        self.counts = {
            "replicas": len(existing),
            "readyReplicas": len(ready),
            "availableReplicas": sum(is_available(pod, self.minimum, self.now) for pod in ready),
            "currentReplicas": sum(self._is_at(pod, self.current) for pod in existing),
            "updatedReplicas": sum(self._is_at(pod, self.update) for pod in existing),
        }

    def _is_at(self, pod: Obj, revision: Obj) -> bool:
        return not is_deleting(pod) and revision_name(pod) == revision["metadata"]["name"]

    def _is_healthy(self, pod: Obj) -> bool:
        """Running, ready for long enough, and not on its way out."""
        return phase(pod) == "Running" and not is_deleting(pod) and is_available(pod, self.minimum, self.now)

    def _revision_for(self, ordinal: int) -> Obj:
        """Pods below the partition are made again as they were."""
        return self.current if self.rolling and ordinal < self.start + self.partition else self.update

    def run(self) -> Plan:
        self.plan.standing = self._status()
        if not is_deleting(self.owner) and self._keep_replicas() and self._drop_condemned() and self.rolling:
            self._roll()
        self.plan.status = self._status()
        return self.plan

    def _keep_replicas(self) -> bool:
        """Whether all is as it should be so far, or need not be waited for."""
        for ordinal, pod in self.replicas.items():
            if pod is None:
                revision = self._revision_for(ordinal)
                self.plan.create.append(new_pod(self.owner, revision, ordinal))
                self.counts["replicas"] += 1
                self.counts["currentReplicas"] += revision["metadata"]["name"] == self.current["metadata"]["name"]
                self.counts["updatedReplicas"] += revision["metadata"]["name"] == self.update["metadata"]["name"]
                if self.ordered:
                    return False
                continue
            if is_finished(pod):
                if not is_deleting(pod):
                    self.plan.delete.append(pod)
                if self.ordered:
                    return False
                continue
            if self.ordered and not self._is_healthy(pod):
                return False
            if (fixed := identity(self.owner, pod, ordinal)) is not pod:
                self.plan.update.append(fixed)
        return True

    def _drop_condemned(self) -> bool:
        everyone = [*(pod for pod in self.replicas.values() if pod is not None), *reversed(self.condemned)]
        first_unhealthy = next((pod for pod in everyone if not self._is_healthy(pod)), None)
        for pod in self.condemned:
            if is_deleting(pod):
                if self.ordered:
                    return False
                continue
            if self.ordered and not self._is_healthy(pod) and pod is not first_unhealthy:
                return False
            self._delete(pod)
            if self.ordered:
                return False
        return True

    def _roll(self) -> None:
        for ordinal in range(self.start + self.count - 1, self.start + self.partition - 1, -1):
            pod = self.replicas[ordinal]
            if pod is None:
                return
            if revision_name(pod) != self.update["metadata"]["name"] and not is_deleting(pod):
                self._delete(pod)
                return
            if not self._is_healthy(pod):
                return

    def _delete(self, pod: Obj) -> None:
        self.plan.delete.append(pod)
        for counter, revision in (("currentReplicas", self.current), ("updatedReplicas", self.update)):
            self.counts[counter] -= self._is_at(pod, revision)

    def _status(self) -> Obj:
        counts = self.counts
        status: Obj = {
            "observedGeneration": self.owner["metadata"].get("generation", 0),
            **counts,
            "currentRevision": self.current["metadata"]["name"],
            "updateRevision": self.update["metadata"]["name"],
            "collisionCount": (self.owner.get("status") or {}).get("collisionCount") or 0,
        }
        finished = counts["updatedReplicas"] == counts["readyReplicas"] == counts["replicas"] == self.count
        if self.rolling and finished and not self.plan.delete:
            status["currentReplicas"], status["currentRevision"] = counts["updatedReplicas"], self.update["metadata"]["name"]
        if conditions := (self.owner.get("status") or {}).get("conditions"):
            status["conditions"] = conditions
        always = ("replicas", "availableReplicas", "collisionCount")
        return {key: value for key, value in status.items() if value or key in always}


def plan(owner: Obj, pods: Sequence[Obj], current: Obj, update: Obj, now: float) -> Plan:
    """``pods`` are those the set owns, ``current`` and ``update`` the ControllerRevisions to move between."""
    return _Step(owner, pods, current, update, now).run()
