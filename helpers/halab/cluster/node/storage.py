"""Local storage of a pod against its limits: emptyDir.sizeLimit and the containers' ephemeral-storage (kubelet's eviction manager).

Only pods that set such limits are looked at, as rarely as kubelet does it.
"""

from __future__ import annotations

import os
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

from halab.cluster.kube.quantity import parse
from halab.cluster.kube.types import Obj

LOOK_SECONDS = 10.0


def limited(pod: Obj) -> bool:
    spec = pod["spec"]
    return any((volume.get("emptyDir") or {}).get("sizeLimit") for volume in spec.get("volumes") or ()) or any(
        ((container.get("resources") or {}).get("limits") or {}).get("ephemeral-storage") for container in spec["containers"]
    )


def used(path: Path) -> int:
    """Bytes on disk below ``path``; files that vanish meanwhile count nothing."""
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            with suppress(OSError):
                total += os.lstat(f"{folder}/{name}").st_blocks * 512
    return total


def excess(pod: Obj, volumes: dict[str, Path], logs: Path) -> str | None:
    """The message of the eviction, None while all limits are kept."""
    written = Decimal(0)
    for volume in pod["spec"].get("volumes") or ():
        empty = volume.get("emptyDir")
        if empty is None or volume["name"] not in volumes:
            continue
        size = used(volumes[volume["name"]])
        if not empty.get("medium"):
            written += size
        limit = empty.get("sizeLimit")
        if limit and size > parse(limit):
            return f'Usage of EmptyDir volume "{volume["name"]}" exceeds the limit "{limit}". '
    limits = [((item.get("resources") or {}).get("limits") or {}).get("ephemeral-storage") for item in pod["spec"]["containers"]]
    known = [limit for limit in limits if limit]
    if known and len(known) == len(limits):
        allowed = sum((parse(limit) for limit in known), Decimal(0))
        if written + used(logs) > allowed:
            return f"Pod ephemeral local storage usage exceeds the total limit of containers {known[0] if len(known) == 1 else int(allowed)}. "
    return None
