"""The volumes of a pod as directories of this machine, and the mounts of its containers.

Below ``pods/UID`` of the node's directory, laid out like kubelet's: ``volumes/KIND/NAME``. A PersistentVolume is its hostPath or local path;
network storage is refused with an event that says what there is.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from halab.cluster.client import Client
from halab.cluster.kube.kinds import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES
from halab.cluster.kube.status import ApiError
from halab.cluster.kube.types import Obj
from halab.sandbox import Mount, give, remove_tree

from . import atomic
from .expansion import expand
from .projection import Context, Source, VolumeError, files_of

PROJECTIONS = {"configMap": "configmap", "secret": "secret", "downwardAPI": "downward-api", "projected": "projected"}


@dataclass(slots=True)
class Volumes:
    """The volumes of one pod. ``refresh_at`` is when a token must be renewed (0: never)."""

    pod: Obj
    directory: Path  # pods/UID
    client: Client
    source: Source
    paths: dict[str, Path] = field(default_factory=dict)
    refresh_at: float = 0.0

    def _place(self, kind: str, name: str) -> Path:
        return self.directory / "volumes" / f"kubernetes.io~{kind}" / name

    @property
    def _group(self) -> int | None:
        """fsGroup, or None."""
        group = (self.pod["spec"].get("securityContext") or {}).get("fsGroup")
        return None if group is None else int(group)

    async def set_up(self, context: Context) -> None:
        """Make every volume, or raise (name, VolumeError) for the first that cannot be made."""
        for volume in self.pod["spec"].get("volumes") or ():
            name = volume["name"]
            if name in self.paths:
                continue
            try:
                self.paths[name] = await self._make(volume, context)
            except VolumeError as error:
                raise VolumeError(f'MountVolume.SetUp failed for volume "{name}" : {error}') from error

    async def refresh(self, context: Context) -> None:
        """Bring configMap, secret and projected volumes up to date, and renew tokens. A vanished source leaves the old files."""
        self.refresh_at = 0.0
        for volume in self.pod["spec"].get("volumes") or ():
            if any(kind in volume for kind in PROJECTIONS) and volume["name"] in self.paths:
                try:
                    await self._project(volume, context)
                except VolumeError:
                    continue

    async def _make(self, volume: Obj, context: Context) -> Path:
        name = volume["name"]
        if any(kind in volume for kind in PROJECTIONS):
            return await self._project(volume, context)
        if (empty := volume.get("emptyDir")) is not None:
            return self._empty(name, empty.get("medium", ""))
        if host := volume.get("hostPath"):
            return host_path(Path(host["path"]), host.get("type", ""))
        if claim := volume.get("persistentVolumeClaim"):
            return await self._claimed(claim["claimName"])
        if "ephemeral" in volume:
            return await self._claimed(f"{self.pod['metadata']['name']}-{name}")
        if "image" in volume:
            raise VolumeError("image volumes are not provided here; copy the files in an init container")
        kind = next((key for key in volume if key != "name"), "none")
        raise VolumeError(f"volumes of type {kind} are not provided here; use emptyDir, configMap, secret, hostPath or a claim")

    async def _project(self, volume: Obj, context: Context) -> Path:
        kind = next(PROJECTIONS[key] for key in PROJECTIONS if key in volume)
        place = self._place(kind, volume["name"])
        made = await files_of(context, self.source, volume)
        if made.refresh_at:
            self.refresh_at = min(self.refresh_at or made.refresh_at, made.refresh_at)
        atomic.write(place, made.files, self._group)
        return place

    def _empty(self, name: str, medium: str) -> Path:
        place = self._place("empty-dir", name)
        if medium == "Memory" and os.access("/dev/shm", os.W_OK):
            place = Path("/dev/shm") / f"halab-{os.getuid()}-{self.pod['metadata']['uid']}" / name
        place.mkdir(parents=True, exist_ok=True)
        place.chmod(0o777)
        if self._group is not None:
            give(place, self._group)
            place.chmod(0o2777)
        return place

    async def _claimed(self, claim_name: str) -> Path:
        namespace = self.pod["metadata"]["namespace"]
        try:
            claim = await self.client.get(PERSISTENT_VOLUME_CLAIMS, claim_name, namespace)
            volume_name = claim["spec"].get("volumeName", "")
            if not volume_name or (claim.get("status") or {}).get("phase") != "Bound":
                raise VolumeError(f"PVC {namespace}/{claim_name} is not bound")
            volume = await self.client.get(PERSISTENT_VOLUMES, volume_name)
        except ApiError as error:
            raise VolumeError(str(error)) from error
        spec = volume["spec"]
        source = spec.get("hostPath") or spec.get("local")
        if not source:
            raise VolumeError(f"PersistentVolume {volume_name} is neither hostPath nor local")
        path = host_path(Path(source["path"]), source.get("type") or "DirectoryOrCreate")
        if self._group is not None and path.is_dir():
            give(path, self._group)
            path.chmod(path.stat().st_mode | 0o2070)
        return path

    def mounts(self, container: Obj, variables: dict[str, str]) -> list[Mount]:
        """The mounts of one container, outer paths first. Raises VolumeError for a subPath that leaves its volume."""
        found = []
        for mount in container.get("volumeMounts") or ():
            if mount["name"] not in self.paths:
                raise VolumeError(f'volume "{mount["name"]}" is not set up')
            path = self.paths[mount["name"]]
            sub = mount.get("subPath", "") or self._expanded(mount.get("subPathExpr", ""), variables)
            if sub:
                path = self._sub_path(path, sub, mount["name"])
            volume = next(item for item in self.pod["spec"]["volumes"] if item["name"] == mount["name"])
            read_only = bool(mount.get("readOnly")) or any(kind in volume for kind in PROJECTIONS)
            read_only = read_only or bool((volume.get("persistentVolumeClaim") or {}).get("readOnly"))
            found.append(Mount(path, mount["mountPath"], read_only))
        return sorted(found, key=lambda item: len(PurePosixPath(item.target).parts))

    def _expanded(self, expression: str, variables: dict[str, str]) -> str:
        """Here an empty value is as bad as none (kubelet: ExpandContainerVolumeMounts)."""
        missing: set[str] = set()

        class Noted(dict[str, str]):
            def __missing__(self, key: str) -> str:
                missing.add(key)
                return ""

        found = expand(expression, Noted({key: value for key, value in variables.items() if value}), strict=True)
        if missing:
            raise VolumeError(f"missing value for {', '.join(sorted(missing))}")
        return found

    def _sub_path(self, volume: Path, sub: str, name: str) -> Path:
        if PurePosixPath(sub).is_absolute():
            raise VolumeError(f"error SubPath `{sub}` must not be an absolute path")
        if ".." in PurePosixPath(sub).parts:
            raise VolumeError(f"unable to provision SubPath `{sub}`: must not contain '..'")
        path = (volume / sub).resolve()
        if not path.is_relative_to(volume.resolve()):
            raise VolumeError(
                f'failed to prepare subPath for volumeMount "{name}": subpath "{path}" not within volume path "{volume}"'
            )
        if not path.exists():
            path.mkdir(parents=True)
            path.chmod(0o755)
            if self._group is not None:
                give(path, self._group)
                path.chmod(0o2775)
        return path

    async def tear_down(self) -> None:
        """Remove what belonged to the pod. Host paths and claims stay."""

        def remove() -> None:
            remove_tree(self.directory)
            remove_tree(Path("/dev/shm") / f"halab-{os.getuid()}-{self.pod['metadata']['uid']}")

        await asyncio.to_thread(remove)


def host_path(path: Path, kind: str) -> Path:
    """Check or make a hostPath as its ``type`` says (https://kubernetes.io/docs/concepts/storage/volumes/#hostpath-volume-types)."""
    if kind in ("DirectoryOrCreate", "") and not path.exists():
        if kind or not path.parent.exists():
            path.mkdir(parents=True, exist_ok=True)
        else:
            path.mkdir(exist_ok=True)
        path.chmod(0o755)
    elif kind == "FileOrCreate" and not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(0o644)
    checks = {
        "Directory": (path.is_dir, "is not a directory"),
        "DirectoryOrCreate": (path.is_dir, "is not a directory"),
        "File": (path.is_file, "is not a file"),
        "FileOrCreate": (path.is_file, "is not a file"),
        "Socket": (path.is_socket, "is not a socket file"),
        "CharDevice": (path.is_char_device, "is not a character device"),
        "BlockDevice": (path.is_block_device, "is not a block device"),
    }
    if kind in checks:
        check, complaint = checks[kind]
        if not check():
            raise VolumeError(f"hostPath type check failed: {path} {complaint}")
    return path
