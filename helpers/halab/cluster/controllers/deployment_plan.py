"""What a Deployment should do next: replica sets from templates, rollouts within bounds, revisions.

``plan`` is the whole decision as a pure function; ``deployment.py`` carries it out. Like Kubernetes', one pass either grows the new set or shrinks the old ones, and the
change it makes brings the next pass. Sizes come from ``deployment_sizes.py``, conditions from ``deployment_status.py``.
"""

from __future__ import annotations

import copy
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field

from halab.cluster.controllers import deployment_sizes as sizes
from halab.cluster.controllers import deployment_status as statuses
from halab.cluster.controllers.actions import Action, Create, Delete, Emit, Update, with_status
from halab.cluster.controllers.base import is_terminating
from halab.cluster.controllers.deployment_sizes import DESIRED, MAXIMUM, REVISION, replicas_of, status_of
from halab.cluster.controllers.owners import controller_of, controller_reference
from halab.cluster.controllers.pods import is_finished, safe_hash, same
from halab.cluster.kube.kinds import DEPLOYMENTS, REPLICA_SETS
from halab.cluster.kube.status import ApiError
from halab.cluster.kube.types import Obj

HASH = "pod-template-hash"
HISTORY = "deployment.kubernetes.io/revision-history"
HISTORY_CHARACTERS = 2000
NOT_COPIED = {
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    HISTORY,
    DESIRED,
    MAXIMUM,
    "deprecated.deployment.rollback.to",
}


def revision_of(obj: Obj) -> int:
    text = (obj["metadata"].get("annotations") or {}).get(REVISION, "")
    return int(text) if text.isdecimal() else 0


def find_new(deployment: Obj, sets: Sequence[Obj]) -> Obj | None:
    """The oldest set whose template is the deployment's (less the hash label)."""
    template = deployment["spec"]["template"]
    for rs in sorted(sets, key=sizes.age_order):
        if same(_without_hash(rs["spec"]["template"]), template):
            return rs
    return None


def _without_hash(template: Obj) -> Obj:
    meta = template.get("metadata") or {}
    labels = {key: value for key, value in (meta.get("labels") or {}).items() if key != HASH}
    return {**template, "metadata": {**meta, "labels": labels}}


@dataclass
class _Rollout:
    """One pass: the objects as they will be once ``actions`` are carried out."""

    deployment: Obj
    sets: dict[str, Obj]  # name -> replica set, changed in place of the cached one
    now: float
    taken: Container[str] = frozenset()
    actions: list[Action] = field(default_factory=list)
    new_name: str | None = None

    def __post_init__(self) -> None:
        self.status: Obj = copy.deepcopy(self.deployment.get("status") or {})
        self.annotations: dict[str, str] = dict(self.deployment["metadata"].get("annotations") or {})
        new = find_new(self.deployment, list(self.sets.values()))
        self.new_name = new["metadata"]["name"] if new else None

    @property
    def new(self) -> Obj | None:
        return self.sets[self.new_name] if self.new_name else None

    @property
    def old(self) -> list[Obj]:
        return [rs for name, rs in self.sets.items() if name != self.new_name]

    # The new set

    def sync_revision(self, *, create: bool) -> None:
        """Bring the new set's revision and annotations up to date; make the set if it is missing and ``create``."""
        revision = max((revision_of(rs) for rs in self.old), default=0) + 1
        new = self.new
        if new is None:
            if create:
                self._make(revision)
            return
        annotations = self._annotations_for(new, revision)
        minimum = self.deployment["spec"].get("minReadySeconds", 0)
        if annotations != (new["metadata"].get("annotations") or {}) or new["spec"].get("minReadySeconds", 0) != minimum:
            spec = {**new["spec"], "minReadySeconds": minimum}
            self._replace({**new, "metadata": {**new["metadata"], "annotations": annotations}, "spec": spec})
        self.annotations[REVISION] = annotations[REVISION]
        if statuses.has_deadline(self.deployment) and statuses.find(self.status, "Progressing") is None:
            message = f'Found new replica set "{new["metadata"]["name"]}"'
            statuses.put(self.status, "Progressing", "True", "FoundNewReplicaSet", message, self.now)

    def _annotations_for(self, rs: Obj | None, revision: int) -> dict[str, str]:
        """The deployment's own annotations, the revision, and the revisions that this set had before (after a rollback)."""
        annotations = dict((rs["metadata"].get("annotations") if rs else None) or {})
        for key, value in self.annotations.items():
            if key not in NOT_COPIED:
                annotations[key] = value
        former = annotations.get(REVISION, "")
        if not former or int(former) < revision:
            annotations[REVISION] = str(revision)
            if former:
                history = [entry for entry in annotations.get(HISTORY, "").split(",") if entry] + [former]
                while len(",".join(history)) > HISTORY_CHARACTERS:
                    history.pop(0)
                annotations[HISTORY] = ",".join(history)
        return annotations

    def _make(self, revision: int) -> None:
        deployment = self.deployment
        meta, spec = deployment["metadata"], deployment["spec"]
        collisions = (deployment.get("status") or {}).get("collisionCount", 0)
        hash = safe_hash(spec["template"], *([collisions] if collisions else []))
        name = f"{meta['name']}-{hash}"
        template = copy.deepcopy(spec["template"])
        labels = template.setdefault("metadata", {}).setdefault("labels", {})
        labels[HASH] = hash
        selector = copy.deepcopy(spec["selector"])
        selector.setdefault("matchLabels", {})[HASH] = hash
        rs: Obj = {
            "apiVersion": REPLICA_SETS.api_version,
            "kind": REPLICA_SETS.kind,
            "metadata": {
                "name": name,
                "namespace": meta["namespace"],
                "labels": dict(labels),
                "annotations": {},
                "ownerReferences": [controller_reference(deployment, DEPLOYMENTS)],
            },
            "spec": {
                "replicas": 0,
                "minReadySeconds": spec.get("minReadySeconds", 0),
                "selector": selector,
                "template": template,
            },
        }
        collided = name in self.sets or name in self.taken
        size = sizes.new_size(deployment, [*self.sets.values(), rs], rs)
        rs["spec"]["replicas"] = size
        rs["metadata"]["annotations"] = self._annotations_for(None, revision) | self._size_annotations()
        self.actions.append(
            Create(REPLICA_SETS, rs, on_error=lambda exc: creation_failed(deployment, rs, exc, self.now, collided=collided))
        )
        if size:
            self._tell("up", name, 0, size)
        self.sets[name], self.new_name = rs, name
        self.annotations[REVISION] = str(revision)
        if statuses.has_deadline(deployment):
            statuses.put(
                self.status, "Progressing", "True", "NewReplicaSetCreated", f'Created new replica set "{name}"', self.now
            )

    # Sizes

    def _size_annotations(self) -> dict[str, str]:
        want = replicas_of(self.deployment)
        return {DESIRED: str(want), MAXIMUM: str(want + sizes.max_surge(self.deployment))}

    def _tell(self, direction: str, name: str, before: int, after: int) -> None:
        self.actions.append(
            Emit(
                self.deployment, "Normal", "ScalingReplicaSet", f"Scaled {direction} replica set {name} from {before} to {after}"
            )
        )

    def _replace(self, rs: Obj) -> None:
        """Keep ``rs`` as the wanted form; several changes of one set in a pass are one update."""
        name = rs["metadata"]["name"]
        self.sets[name] = rs
        for i, action in enumerate(self.actions):
            if isinstance(action, Update) and action.kind == REPLICA_SETS and action.obj["metadata"]["name"] == name:
                self.actions[i] = Update(REPLICA_SETS, rs)
                return
        self.actions.append(Update(REPLICA_SETS, rs))

    def resize(self, rs: Obj, size: int) -> bool:
        """Give a set its size (and what it should know of the deployment's); whether the size changed."""
        before = replicas_of(rs)
        annotations = (rs["metadata"].get("annotations") or {}) | self._size_annotations()
        if size == before and annotations == rs["metadata"].get("annotations"):
            return False
        spec = {**rs["spec"], "replicas": size}
        self._replace({**rs, "metadata": {**rs["metadata"], "annotations": annotations}, "spec": spec})
        if size != before:
            self._tell("up" if size > before else "down", rs["metadata"]["name"], before, size)
        return size != before

    def resize_to(self, wanted: Mapping[str, int]) -> bool:
        changed = [self.resize(self.sets[name], size) for name, size in wanted.items()]
        return any(changed)

    def scale(self) -> None:
        """Follow a changed count outside of a rollout step (paused, or while two sets are active)."""
        want = replicas_of(self.deployment)
        live = sizes.active(self.sets.values())
        new = self.new
        only = live[0] if len(live) == 1 else None
        if not live:
            only = new or max(self.old, key=sizes.age_order, default=None)
        if only is not None:
            self.resize(only, want)
        elif new is not None and _is_saturated(self.deployment, new):
            for rs in sizes.active(self.old):
                self.resize(rs, 0)
        elif sizes.is_rolling(self.deployment):
            self.resize_to(sizes.proportional_sizes(self.deployment, list(self.sets.values()), new))

    def roll(self) -> None:
        self.sync_revision(create=True)
        new = self.new
        assert new is not None
        want = replicas_of(self.deployment)
        if replicas_of(new) > want:
            changed = self.resize(new, want)
        elif replicas_of(new) < want:
            changed = self._grow(new)
        else:
            changed = False
        if not changed and not self.resize_to(sizes.old_sizes(self.deployment, self.old, new)):
            self._clean_up_if_complete()

    def _grow(self, new: Obj) -> bool:
        size = sizes.new_size(self.deployment, list(self.sets.values()), new)
        return size != replicas_of(new) and self.resize(new, size)

    def recreate(self, pods: Sequence[Obj]) -> None:
        self.sync_revision(create=False)
        if self.resize_to({rs["metadata"]["name"]: 0 for rs in sizes.active(self.old)}):
            return
        new_uid = self.new["metadata"]["uid"] if self.new else None
        for pod in pods:
            reference = controller_of(pod)
            if reference and reference["uid"] != new_uid and not is_finished(pod):
                return  # an old pod still runs: the new ones wait
        if self.new is None:
            self.sync_revision(create=True)
        new = self.new
        assert new is not None
        if replicas_of(new) != replicas_of(self.deployment):
            self.resize(new, replicas_of(self.deployment))
        self._clean_up_if_complete()

    # The end of a pass

    def _clean_up_if_complete(self) -> None:
        if statuses.is_complete(self.deployment, self.deployment.get("status") or {}):
            self.clean_up()

    def clean_up(self) -> None:
        """Drop the oldest revisions beyond the history limit, never one that has pods."""
        limit = self.deployment["spec"].get("revisionHistoryLimit")
        old = [rs for rs in self.old if not rs["metadata"].get("deletionTimestamp")]
        if limit is None or len(old) <= limit:
            return
        for rs in sorted(old, key=lambda rs: (revision_of(rs), *sizes.age_order(rs)))[: len(old) - limit]:
            unseen = rs["metadata"].get("generation", 0) > status_of(rs, "observedGeneration")
            if not (replicas_of(rs) or status_of(rs, "replicas") or unseen):
                self.actions.append(Delete(REPLICA_SETS, rs))

    def finish(self, *, rollout: bool) -> None:
        """The status (and the revision annotation, which goes with it) as the last action."""
        sets = list(self.sets.values())
        status = statuses.calculate(self.deployment, self.status, sets, self.new, self.now)
        if rollout:
            statuses.progress(self.deployment, status, sets, self.new, self.now)
        deployment = self.deployment
        if self.annotations != (deployment["metadata"].get("annotations") or {}):
            deployment = {**deployment, "metadata": {**deployment["metadata"], "annotations": self.annotations}}
        if deployment is not self.deployment or status != (self.deployment.get("status") or {}):
            self.actions.append(Update(DEPLOYMENTS, with_status(deployment, status), "status"))


def _is_saturated(deployment: Obj, new: Obj) -> bool:
    want = replicas_of(deployment)
    desired = (new["metadata"].get("annotations") or {}).get(DESIRED)
    return replicas_of(new) == want and desired == str(want) and status_of(new, "availableReplicas") == want


def creation_failed(deployment: Obj, rs: Obj, exc: ApiError, now: float, *, collided: bool) -> Sequence[Action] | None:
    """What follows when the server refuses the new set: another hash after a collision, else a condition and an event.

    A set that exists although the cache lacks it is no collision: the error goes on, and the next pass sees the set.
    """
    status: Obj = copy.deepcopy(deployment.get("status") or {})
    if is_terminating(exc) or (exc.reason == "AlreadyExists" and not collided):
        return None
    if exc.reason == "AlreadyExists":
        status["collisionCount"] = status.get("collisionCount", 0) + 1
        return [Update(DEPLOYMENTS, with_status(deployment, status), "status")]
    message = f'Failed to create new replica set "{rs["metadata"]["name"]}": {exc}'
    actions: list[Action] = [Emit(deployment, "Warning", "ReplicaSetCreateError", message)]
    if statuses.has_deadline(deployment) and statuses.put(status, "Progressing", "False", "ReplicaSetCreateError", message, now):
        actions.append(Update(DEPLOYMENTS, with_status(deployment, status), "status"))
    return actions


def plan(
    deployment: Obj, sets: Sequence[Obj], pods: Sequence[Obj], now: float, taken: Container[str] = frozenset()
) -> list[Action]:
    """What to do for ``deployment``, given the replica sets it owns and all pods of those.

    ``now`` is Unix time; ``taken`` are the names of replica sets of the namespace that are not its own.
    """
    selector = deployment["spec"]["selector"]
    if not selector.get("matchLabels") and not selector.get("matchExpressions"):
        return [
            Emit(
                deployment, "Warning", "SelectingAll", "This deployment is selecting all pods. A non-empty selector is required."
            )
        ]
    rollout = _Rollout(deployment, {rs["metadata"]["name"]: rs for rs in sets}, now, taken)
    if deployment["metadata"].get("deletionTimestamp"):
        rollout.finish(rollout=False)
        return rollout.actions
    statuses.pause(deployment, rollout.status, now)
    if deployment["spec"].get("paused") or _count_changed(deployment, sets):
        rollout.sync_revision(create=False)
        rollout.scale()
        if deployment["spec"].get("paused"):
            rollout.clean_up()
        rollout.finish(rollout=False)
        return rollout.actions
    if sizes.is_rolling(deployment):
        rollout.roll()
    else:
        rollout.recreate(pods)
    rollout.finish(rollout=True)
    return rollout.actions


def _count_changed(deployment: Obj, sets: Sequence[Obj]) -> bool:
    """Whether spec.replicas differs from what an active set was told of it."""
    want = replicas_of(deployment)
    told = ((rs["metadata"].get("annotations") or {}).get(DESIRED) for rs in sizes.active(sets))
    return any(text is not None and text != str(want) for text in told)
