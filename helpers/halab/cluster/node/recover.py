"""After the agent's restart: its containers are gone with it, like those of a node that was switched off and on.

What the API still says of them becomes their last run, so that restart counts and last states go on as a learner expects.
"""

from __future__ import annotations

import time

from halab.cluster.client import seconds_of
from halab.cluster.kube.types import Obj

from .records import PodRecord, Run

LOST_EXIT_CODE = 255  # what containerd reports for a container that it no longer finds
LOST_REASON = "Unknown"


def _ended(status: Obj, state: Obj, attempt: int) -> Run:
    return Run(
        id=state.get("containerID") or status.get("containerID", ""),
        attempt=attempt,
        image=status.get("image", ""),
        image_id=status.get("imageID", ""),
        spec_image=status.get("image", ""),
        state="exited",
        started=seconds_of(state.get("startedAt")),
        finished=seconds_of(state.get("finishedAt")) or time.time(),
        exit_code=int(state.get("exitCode", LOST_EXIT_CODE)),
        reason=state.get("reason", LOST_REASON),
        message=state.get("message", ""),
    )


def recover(pod: Obj, record: PodRecord) -> bool:
    """Fill the records from the pod's stored status. True if any container had run before."""
    status = pod.get("status") or {}
    found = False
    for section in ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"):
        for item in status.get(section) or ():
            known = record.containers.get(item["name"])
            if known is None:
                continue
            state, last = item.get("state") or {}, (item.get("lastState") or {}).get("terminated")
            attempt = int(item.get("restartCount", 0))
            if "running" in state:
                known.run = _ended(item, {"startedAt": state["running"].get("startedAt")}, attempt)
            elif "terminated" in state:
                known.run = _ended(item, state["terminated"], attempt)
            elif last:
                known.run, last = _ended(item, last, attempt), None
            else:
                continue
            if last:
                known.last = _ended(item, last, max(0, attempt - 1))
            found = True
    return found
