"""What a reference resolves to: everything a runtime needs to start a container, and nothing about how it is stored."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from halab.images import oci
from halab.images.reference import Reference


@dataclass(frozen=True, slots=True)
class Image:
    """An image ready to run.

    ``config`` is the inner "config" object of the OCI image (Env, Entrypoint, Cmd, WorkingDir, User, ExposedPorts, StopSignal,
    Healthcheck, Labels), with Docker's spelling. ``layers`` are directories, TOP FIRST, to lay over this machine's own files; files that an
    image merely repeats from this machine are not among them. ``digest`` is the manifest's. ``document`` is the whole OCI configuration.
    """

    reference: Reference
    digest: str
    config: dict[str, Any]
    layers: list[Path]
    size: int
    document: dict[str, Any] = field(repr=False)
    manifest: dict[str, Any] = field(repr=False)

    @property
    def entrypoint(self) -> list[str]:
        return list(self.config.get("Entrypoint") or [])

    @property
    def command(self) -> list[str]:
        """Docker's CMD: the default arguments."""
        return list(self.config.get("Cmd") or [])

    @property
    def environment(self) -> dict[str, str]:
        return dict(item.partition("=")[::2] for item in self.config.get("Env") or [])

    @property
    def working_directory(self) -> str:
        return self.config.get("WorkingDir") or "/"

    @property
    def user(self) -> str:
        """``""``, ``name``, ``uid`` or ``uid:gid``, as USER gave it."""
        return str(self.config.get("User") or "")

    @property
    def stop_signal(self) -> str:
        return str(self.config.get("StopSignal") or "SIGTERM")

    @property
    def labels(self) -> dict[str, str]:
        return dict(self.config.get("Labels") or {})

    @property
    def hides(self) -> tuple[str, ...]:
        """Absolute paths of this machine that the image does not have (for runtimes without an overlay)."""
        return tuple(path for path in self.labels.get(oci.LABEL_HIDES, "").split(",") if path)

    @property
    def borrows(self) -> str:
        """The programs of this machine that it stands on, or empty: then it is complete in itself."""
        return self.labels.get(oci.LABEL_BORROWS, "")

    @property
    def on_host(self) -> bool:
        """Whether this machine's files must lie below its layers; False for an image that is complete in itself."""
        return any(oci.BORROWED in (layer.get("annotations") or {}) for layer in self.manifest["layers"])

    @property
    def host_paths(self) -> tuple[Path, ...]:
        """Directories of this machine outside /usr, /etc ... that its programs need (a conda environment), to be shown read-only."""
        return tuple(Path(path) for path in self.labels.get(oci.LABEL_PATHS, "").split(",") if path)

    @property
    def image_id(self) -> str:
        """What kubelet reports as imageID: ``docker.io/library/nginx@sha256:...``."""
        return f"{self.reference.full_name}@{self.digest}"

    @property
    def config_digest(self) -> str:
        """Docker's "image ID"."""
        return str(self.manifest["config"]["digest"])
