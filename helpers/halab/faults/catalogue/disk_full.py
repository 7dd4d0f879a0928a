"""A volume without free space."""

from __future__ import annotations

from halab.backends.access import Obj
from halab.backends.controls import API, DISKS
from halab.errors import UsageError
from halab.faults.base import Data, Option, Options
from halab.faults.containers import WHICH, ContainerFault

PROJECTED = ("configMap", "secret", "downwardAPI", "projected")


class DiskFull(ContainerFault):
    name = "disk-full"
    title = "Full disk in a volume"
    needs = frozenset({API, DISKS})
    does = (
        "The container sees its volume on a file system of its own that is full: what was there is there, and a file named "
        "halab-fills-this-disk takes the rest. Your machine's disk is not touched."
    )
    expect = (
        "Writes fail with 'No space left on device'; reads go on. Whether users notice depends on whether a request must write."
    )
    within = "at once"
    heals = "The volume has its space again; what was written or deleted meanwhile is kept. A container that is restarted has its space at once."
    options = (*WHICH, Option("path", "", "the mountPath of the volume (default: the first that can be written)"))

    def request(self, pod: Obj, container: Obj, options: Options) -> Data:
        volumes = {volume["name"]: volume for volume in pod["spec"].get("volumes") or ()}
        writable = [
            mount["mountPath"]
            for mount in container.get("volumeMounts") or ()
            if not mount.get("readOnly") and not any(kind in volumes.get(mount["name"], {}) for kind in PROJECTED)
        ]
        wanted = str(options["path"])
        path = next((path for path in writable if not wanted or path == wanted), None)
        if path is None:
            where = f"fault {self.name}: pod {pod['metadata']['name']}"
            fact = f"container {container['name']} has no volume that can be written" + (f" at {wanted}" if wanted else "")
            raise UsageError(where, fact, f"volumes: {', '.join(writable)}" if writable else "give it an emptyDir")
        return {"do": "fill", "path": path}

    def remedy(self, request: Data) -> Data:
        return {"do": "unfill", "path": request["path"]}
