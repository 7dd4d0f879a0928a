"""Claims of devices: a pod waits until its ResourceClaims exist, and then for somebody to allocate them.

There are no drivers here, so nothing is ever allocated by this scheduler; a claim whose status says that it is allocated holds nobody up.
https://kubernetes.io/docs/concepts/scheduling-eviction/dynamic-resource-allocation/
"""

from __future__ import annotations

from collections.abc import Iterator

from halab.cluster.kube.types import Obj
from halab.cluster.scheduler.model import PodInfo, Snapshot
from halab.cluster.scheduler.status import Refusal

PLUGIN = "DynamicResources"
CANNOT = "cannot allocate all claims"


def claim_names(pod: Obj) -> Iterator[str | None]:
    """The ResourceClaims of a pod; None for one that is yet to be made from its template."""
    made = {each["name"]: each for each in (pod.get("status") or {}).get("resourceClaimStatuses") or ()}
    for wanted in pod["spec"].get("resourceClaims") or ():
        if "resourceClaimName" in wanted:
            yield wanted["resourceClaimName"]
        elif wanted["name"] not in made:
            yield None
        elif name := made[wanted["name"]].get("resourceClaimName"):  # without a name, none was needed
            yield name


class Claims:
    """``waits``: the pod is not tried before its claims are there. ``general`` and ``refusal`` hold for all nodes and for each."""

    def __init__(self, pod: PodInfo, snapshot: Snapshot) -> None:
        self.waits = False
        self.general: Refusal | None = None
        self.refusal: Refusal | None = None
        if not pod.spec.get("resourceClaims"):
            return
        found = [snapshot.lookup.resource_claim(pod.namespace, name) if name else None for name in claim_names(pod.pod)]
        self.waits = None in found
        pending = [claim for claim in found if claim is not None and "allocation" not in (claim.get("status") or {})]
        for claim in pending:
            for request, name in _classes(claim):
                if self.general is None and not snapshot.lookup.has_device_class(name):
                    reason = f"request {request}: device class {name} does not exist"
                    self.general = Refusal(PLUGIN, (reason,), lasting=True)
        if pending:
            self.refusal = Refusal(PLUGIN, (CANNOT,), lasting=True)


def _classes(claim: Obj) -> Iterator[tuple[str, str]]:
    """(request, device class) of every request of a claim."""
    for request in (claim["spec"].get("devices") or {}).get("requests") or ():
        if exactly := request.get("exactly"):
            yield request["name"], exactly["deviceClassName"]
        for each in request.get("firstAvailable") or ():
            yield f"{request['name']}/{each['name']}", each["deviceClassName"]
