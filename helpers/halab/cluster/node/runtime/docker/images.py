"""Images for pods that are containers: the engine's own, and those of halab's store, which are loaded into the engine when they are asked for.

Of an image that both have by the same name the one made last is meant. What neither has is pulled by the engine, and if that fails its words
are the pod's ErrImagePull.
"""

from __future__ import annotations

import io
import tarfile
import tempfile
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from halab.engine import owned
from halab.engine.client import Engine, reason
from halab.errors import ImageError
from halab.images import ImageStore
from halab.images.archive import save_file
from halab.images.reference import Reference
from halab.settings import ClusterConfig

ACCOUNTS = ("passwd", "group")


@dataclass(frozen=True, slots=True)
class DockerImage:
    """What the agent wants to know of an image (see ``halab.images.Image``). ``layers`` is one directory with the image's accounts alone.

    ``config_digest`` is the engine's id of it, ``image_id`` what kubelet reports: the digest by which registries know it, where one does.
    """

    reference: str
    image_id: str
    config_digest: str
    config: Mapping[str, Any]
    size: int
    layers: list[Path] = field(default_factory=list)
    borrows: str = ""

    @property
    def entrypoint(self) -> list[str]:
        return list(self.config.get("Entrypoint") or [])

    @property
    def command(self) -> list[str]:
        return list(self.config.get("Cmd") or [])

    @property
    def environment(self) -> dict[str, str]:
        return dict(item.partition("=")[::2] for item in self.config.get("Env") or [])

    @property
    def working_directory(self) -> str:
        return self.config.get("WorkingDir") or "/"

    @property
    def user(self) -> str:
        return str(self.config.get("User") or "")

    @property
    def stop_signal(self) -> str:
        return str(self.config.get("StopSignal") or "SIGTERM")


@dataclass(frozen=True, slots=True)
class Listed:
    """An image in a node's status."""

    name: str
    size: int


class DockerImages:
    """Implements ``pulling.Store``. Its calls block: they are made in threads."""

    def __init__(self, client: Engine, config: ClusterConfig) -> None:
        self._client, self._config = client, config
        self._store = ImageStore(config.images)
        self._accounts = config.directory / "accounts"
        self._lock = threading.Lock()  # one load or look into an image at a time

    def resolve(self, name: str) -> DockerImage:
        """Raises ImageError where the image would have to be pulled."""
        reference = Reference.parse(name) if not name.startswith("sha256:") else None
        there = self._inspect(name)
        if reference is not None:
            there = self._newer(reference, there)
        if there is None:
            raise ImageError(f"image {name}", "is neither in the engine nor built or made by halab")
        return self._image(name, there)

    def fetch(self, name: str) -> DockerImage:
        """Have the engine pull it. Raises ImageError with the engine's words."""
        from docker.errors import APIError

        reference = Reference.parse(name)
        try:
            for item in self._client.pull(
                reference.familiar_name, tag=reference.tag or reference.digest, stream=True, decode=True
            ):
                if "error" in item:
                    raise ImageError(str(item["error"]), "")
        except (APIError, OSError) as error:
            raise ImageError(f'failed to pull image "{name}"', reason(error)) from error
        found = self._inspect(name)
        if found is None:
            raise ImageError(f'failed to pull image "{name}"', "the engine does not have it afterwards")
        return self._image(name, found)

    def images(self) -> list[Listed]:
        """For the node's status. Raises OSError where the engine does not answer."""
        found = self._client.images()
        return [Listed(name, item["Size"]) for item in found for name in item.get("RepoTags") or () if name != "<none>:<none>"]

    def _inspect(self, name: str) -> dict[str, Any] | None:
        from docker.errors import APIError, ImageNotFound

        try:
            found: dict[str, Any] = self._client.inspect_image(name)
        except ImageNotFound:
            return None
        except (APIError, OSError) as error:
            raise ImageError(f"image {name}", f"the engine does not say: {reason(error)}") from error
        return found

    def _newer(self, reference: Reference, there: dict[str, Any] | None) -> dict[str, Any] | None:
        """The engine's image, after halab's was loaded if that is newer or the only one."""
        name = reference.familiar
        if there is not None and not self._store.contains(name):
            return there
        try:
            ours = self._store.resolve(name)
        except ImageError:
            return there
        if there is not None and (
            there["Id"] == ours.config_digest or str(there.get("Created", ""))[:19] > str(ours.document.get("created", ""))[:19]
        ):
            return there
        self._load(name)
        return self._inspect(name)

    def _load(self, name: str) -> None:
        from docker.errors import APIError

        with self._lock, tempfile.TemporaryDirectory(dir=self._config.directory) as folder:
            archive = Path(folder) / "image.tar"
            save_file(self._store, [name], archive)
            try:
                with archive.open("rb") as source:
                    for item in self._client.load_image(source):
                        if "error" in item:
                            raise ImageError(f"image {name}", f"is refused by the engine: {item['error']}")
            except (APIError, OSError) as error:
                raise ImageError(f"image {name}", f"cannot be loaded into the engine: {reason(error)}") from error

    def _image(self, name: str, found: dict[str, Any]) -> DockerImage:
        place = self._accounts / found["Id"].rpartition(":")[2][:16]
        if not place.is_dir():
            with self._lock:
                if not place.is_dir():
                    self._read_accounts(found["Id"], place)
        shown = name if name.startswith("sha256:") else str(Reference.parse(name))
        return DockerImage(
            shown, self._reported(name, found), found["Id"], found.get("Config") or {}, int(found.get("Size") or 0), [place]
        )

    def _reported(self, name: str, found: dict[str, Any]) -> str:
        """An image that was pulled has a digest in its repository, one of halab's store that of its manifest; others have their id alone."""
        if name.startswith("sha256:"):
            return str(found["Id"])
        reference = Reference.parse(name)
        if digest := repository_digest(reference, found.get("RepoDigests") or ()):
            return f"{reference.full_name}@{digest}"
        with suppress(ImageError):
            if self._store.contains(name) and (ours := self._store.resolve(name)).config_digest == found["Id"]:
                return ours.image_id
        return str(found["Id"])

    def _read_accounts(self, identity: str, place: Path) -> None:
        """Names of users and groups are the image's own: they are read from a container of it that never runs."""
        from docker.errors import APIError, NotFound

        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place.parent) as folder:
            etc = Path(folder) / "made" / "etc"
            etc.mkdir(parents=True)
            try:
                made = self._client.create_container(identity, ["none"], labels=owned.labels(self._config, "tool"))["Id"]
            except APIError as error:
                raise ImageError(f"image {identity}", f"cannot be looked into: {reason(error)}") from error
            try:
                for name in ACCOUNTS:
                    text = b""
                    with suppress(NotFound):
                        text = first_file(b"".join(self._client.get_archive(made, f"/etc/{name}")[0]))
                    (etc / name).write_bytes(text)
            finally:
                self._client.remove_container(made, force=True)
            with suppress(OSError):  # another node's agent was quicker
                etc.parent.rename(place)


def repository_digest(reference: Reference, digests: Iterable[str]) -> str:
    """The digest that ``reference``'s own repository has for an image with the engine's ``RepoDigests``; empty if none of them is of it."""
    for text in digests:
        known = Reference.parse(text)
        if known.full_name == reference.full_name and (not reference.digest or reference.digest == known.digest):
            return known.digest
    return ""


def first_file(archive: bytes) -> bytes:
    """The contents of the only file in a tar; empty for a link."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for entry in tar:
            if entry.isfile() and (file := tar.extractfile(entry)) is not None:
                return file.read()
    return b""
