"""A deployment's status: counts and the conditions Available, Progressing and ReplicaFailure. Pure.

Conditions keep Kubernetes' rules: one whose status and reason stay is left as it is; a changed one moves to the end of the list; the
transition time changes only with the status.
"""

from __future__ import annotations

from collections.abc import Sequence

from halab.cluster.client import rfc3339, seconds_of
from halab.cluster.controllers.deployment_sizes import max_unavailable, replicas_of, status_of, total
from halab.cluster.kube.types import Obj

NO_DEADLINE = 2**31 - 1
COMPLETE, TIMED_OUT = "NewReplicaSetAvailable", "ProgressDeadlineExceeded"


def has_deadline(deployment: Obj) -> bool:
    return deployment["spec"].get("progressDeadlineSeconds") not in (None, NO_DEADLINE)


def find(status: Obj, type: str) -> Obj | None:
    return next((each for each in status.get("conditions") or () if each["type"] == type), None)


def put(status: Obj, type: str, value: str, reason: str, message: str, now: float) -> bool:
    """Set a condition in ``status``; whether that changed anything."""
    current = find(status, type)
    if current and current["status"] == value and current.get("reason") == reason:
        return False
    time = rfc3339(now)
    since = current["lastTransitionTime"] if current and current["status"] == value else time
    others = [each for each in status.get("conditions") or () if each["type"] != type]
    made = {
        "type": type,
        "status": value,
        "lastUpdateTime": time,
        "lastTransitionTime": since,
        "reason": reason,
        "message": message,
    }
    status["conditions"] = [*others, made]
    return True


def remove(status: Obj, type: str) -> None:
    if find(status, type):
        status["conditions"] = [each for each in status["conditions"] if each["type"] != type]
        if not status["conditions"]:
            del status["conditions"]


def pause(deployment: Obj, status: Obj, now: float) -> None:
    """A paused deployment says so in Progressing, a resumed one as well; one that timed out stays as it is."""
    current = find(status, "Progressing")
    if not has_deadline(deployment) or (current and current.get("reason") == TIMED_OUT):
        return
    paused, said = bool(deployment["spec"].get("paused")), bool(current and current.get("reason") == "DeploymentPaused")
    if paused and not said:
        put(status, "Progressing", "Unknown", "DeploymentPaused", "Deployment is paused", now)
    elif said and not paused:
        put(status, "Progressing", "Unknown", "DeploymentResumed", "Deployment is resumed", now)


def calculate(deployment: Obj, status: Obj, sets: Sequence[Obj], new: Obj | None, now: float) -> Obj:
    """The status with its counts and Available; conditions and the collision count are those of ``status``."""
    available = total(sets, "availableReplicas")
    counts = {
        "observedGeneration": deployment["metadata"].get("generation", 0),
        "replicas": total(sets, "replicas"),
        "updatedReplicas": status_of(new, "replicas") if new else 0,
        "readyReplicas": total(sets, "readyReplicas"),
        "availableReplicas": available,
        "unavailableReplicas": max(0, total(sets) - available),
    }
    result: Obj = {key: value for key, value in counts.items() if value}
    for key in ("conditions", "collisionCount"):
        if status.get(key):
            result[key] = status[key]
    if available >= replicas_of(deployment) - max_unavailable(deployment):
        put(result, "Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability.", now)
    else:
        put(result, "Available", "False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.", now)
    return result


def is_complete(deployment: Obj, status: Obj) -> bool:
    want = replicas_of(deployment)
    counts = [status.get(field, 0) for field in ("updatedReplicas", "replicas", "availableReplicas")]
    return counts == [want] * 3 and status.get("observedGeneration", 0) >= deployment["metadata"].get("generation", 0)


def _is_progressing(before: Obj, after: Obj) -> bool:
    def old_pods(status: Obj) -> int:
        return int(status.get("replicas", 0)) - int(status.get("updatedReplicas", 0))

    grown = any(after.get(field, 0) > before.get(field, 0) for field in ("updatedReplicas", "readyReplicas", "availableReplicas"))
    return grown or old_pods(after) < old_pods(before)


def _has_timed_out(deployment: Obj, status: Obj, now: float) -> bool:
    current = find(status, "Progressing")
    if current is None or current.get("reason") == COMPLETE:
        return False
    since = seconds_of(current.get("lastUpdateTime"))
    return current.get("reason") == TIMED_OUT or since + deployment["spec"]["progressDeadlineSeconds"] <= now


def progress(deployment: Obj, status: Obj, sets: Sequence[Obj], new: Obj | None, now: float) -> None:
    """Judge the rollout: complete, progressing, timed out; and hand up the sets' own failures."""
    if not has_deadline(deployment):
        remove(status, "Progressing")
    current = find(status, "Progressing")
    settled = bool(
        current and current.get("reason") == COMPLETE and status.get("replicas", 0) == status.get("updatedReplicas", 0)
    )
    if has_deadline(deployment) and not settled:
        subject = f'ReplicaSet "{new["metadata"]["name"]}"' if new else f'Deployment "{deployment["metadata"]["name"]}"'
        if is_complete(deployment, status):
            put(status, "Progressing", "True", COMPLETE, f"{subject} has successfully progressed.", now)
        elif _is_progressing(deployment.get("status") or {}, status):
            since = current["lastTransitionTime"] if current and current["status"] == "True" else None
            remove(status, "Progressing")
            put(status, "Progressing", "True", "ReplicaSetUpdated", f"{subject} is progressing.", now)
            if since:
                status["conditions"][-1]["lastTransitionTime"] = since
        elif _has_timed_out(deployment, status, now):
            put(status, "Progressing", "False", TIMED_OUT, f"{subject} has timed out progressing.", now)
    failure = _failure(sets, new)
    if failure:
        put(status, "ReplicaFailure", failure["status"], failure.get("reason", ""), failure.get("message", ""), now)
    else:
        remove(status, "ReplicaFailure")


def _failure(sets: Sequence[Obj], new: Obj | None) -> Obj | None:
    """The ReplicaFailure of the new set, else of any."""
    for rs in ([new] if new else []) + list(sets):
        if found := find(rs.get("status") or {}, "ReplicaFailure"):
            return found
    return None


def until_deadline(deployment: Obj, now: float) -> float | None:
    """Seconds until a rollout under way must be judged again, None if there is nothing to wait for."""
    status = deployment.get("status") or {}
    current = find(status, "Progressing")
    if not has_deadline(deployment) or current is None or is_complete(deployment, status):
        return None
    if current.get("reason") in (COMPLETE, TIMED_OUT) or deployment["spec"].get("paused"):
        return None
    return max(0.05, float(seconds_of(current.get("lastUpdateTime")) + deployment["spec"]["progressDeadlineSeconds"] - now))
