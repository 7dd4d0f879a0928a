"""The engine without Docker: this package's own store, builder, containers and registry client behind the common interface."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from halab.aio.portal import portal
from halab.errors import ImageError
from halab.images import archive, garbage, oci
from halab.images.build.builder import Request, build
from halab.images.build.events import Listener
from halab.images.containers import logs
from halab.images.containers.execute import execute
from halab.images.containers.manage import Containers
from halab.images.containers.records import Container
from halab.images.containers.signals import signal_number
from halab.images.containers.spec import ContainerSpec
from halab.images.garbage import Pruned
from halab.images.reference import Reference
from halab.images.registry import client
from halab.images.store import ImageStore, Named
from halab.images.types import Built, ContainerRow, HistoryRow, Tell
from halab.settings import halab_home


def row(container: Container) -> ContainerRow:
    return ContainerRow(
        id=container.id,
        name=container.name,
        image=container.image,
        command=container.command,
        created=container.created,
        status=container.status,
        running=container.running,
        ports=tuple(map(str, container.ports)) if container.running else (),
        exit_code=container.state.exit_code,
        restarts=container.state.restarts,
        address=container.state.address,
        health=container.state.health,
        pid=container.state.pid,
    )


class EmbeddedEngine:
    """``home`` defaults to $HALAB_HOME; images are shared with its clusters."""

    name = "embedded"

    def __init__(self, home: Path | None = None) -> None:
        self.home = home or halab_home()
        self.store = ImageStore(self.home / "images")
        self._containers = Containers(self.store, self.home)

    # -- images -----------------------------------------------------------------------------------------------------------------------

    def build(self, request: Request, listen: Listener) -> Built:
        image = portal.run(build(self.store, request, listen))
        names = tuple(Reference.parse(tag).familiar for tag in request.tags)
        return Built(image.config_digest, image.digest, names, image.size)

    def images(self) -> list[Named]:
        return self.store.images()

    def history(self, reference: str) -> list[HistoryRow]:
        image = self.store.resolve(reference)
        pending = list(zip(image.manifest["layers"], image.document["rootfs"]["diff_ids"], strict=True))
        rows = []
        for item in image.document.get("history") or []:
            descriptor: oci.Json = {"size": 0}
            diff_id = ""
            if not item.get("empty_layer") and pending:
                descriptor, diff_id = pending.pop(0)
            borrowed = oci.BORROWED in (descriptor.get("annotations") or {}) or item.get("comment", "").startswith("borrowed")
            rows.append(
                HistoryRow(
                    item.get("created", ""),
                    item.get("created_by", ""),
                    int(descriptor["size"]),
                    item.get("comment", ""),
                    diff_id,
                    borrowed,
                )
            )
        return rows[::-1]

    def inspect(self, reference: str) -> dict[str, Any]:
        """Docker's keys where it has them."""
        image = self.store.resolve(reference)
        names = [entry.name for entry in self.store.images() if entry.digest == image.digest and entry.name]
        return {
            "Id": image.config_digest,
            "RepoTags": names,
            "RepoDigests": sorted({f"{Reference.parse(name).familiar_name}@{image.digest}" for name in names}),
            "Digest": image.digest,
            "Created": image.document.get("created", ""),
            "Author": image.document.get("author", ""),
            "Architecture": image.document.get("architecture", ""),
            "Os": image.document.get("os", ""),
            "Size": image.size,
            "Config": image.config,
            "RootFS": {"Type": "layers", "Layers": image.document["rootfs"]["diff_ids"]},
            "Borrows": image.borrows,
        }

    def tag(self, reference: str, new: str) -> None:
        self.store.tag(self.store.resolve(reference).digest, new)

    def remove(self, reference: str, *, force: bool = False) -> list[str]:
        image = self.store.resolve(reference) if self.store.contains(reference) else None
        users = [
            item.name for item in self._containers.containers(everything=True) if image and item.image_digest == image.digest
        ]
        if users and not force:
            raise ImageError(
                f"image {reference}",
                f"is used by the container {users[0]}",
                f"remove that first: halab image rm {users[0]}",
            )
        gone = self.store.untag(reference)
        garbage.prune(self.store, self._used(), unnamed=False)
        return gone

    def _used(self) -> list[str]:
        return [item.image_digest for item in self._containers.containers(everything=True)]

    def prune(self, *, cache: bool = False) -> Pruned:
        return garbage.prune(self.store, self._used(), cache=cache)

    def push(self, reference: str, tell: Tell) -> str:
        return client.push(self.store, reference, tell)

    def pull(self, reference: str, tell: Tell) -> str:
        """From its registry; a built-in base is made from this machine instead."""
        parsed = Reference.parse(reference)
        if parsed.registry == "docker.io" or not client.is_local(parsed.registry):
            try:
                image = self.store.resolve(reference)
            except ImageError:
                image = client.pull(self.store, reference, tell, home=self.home)
            else:
                tell(f"{parsed.familiar} is provided by this machine: {image.borrows or 'it is in the store'}")
                tell(f"Digest: {image.digest}")
            return image.digest
        return client.pull(self.store, reference, tell, home=self.home).digest

    def save(self, references: Sequence[str], path: Path) -> None:
        archive.save_file(self.store, references, path)

    def load(self, path: Path) -> list[str]:
        try:
            with path.open("rb") as source:
                images = archive.load(self.store, source)
        except OSError as error:
            raise ImageError(str(path), f"cannot be read: {error.strerror}") from None
        return [image.reference.familiar for image in images]

    # -- containers -------------------------------------------------------------------------------------------------------------------

    def run(self, spec: ContainerSpec) -> ContainerRow:
        return row(self._containers.run(spec))

    def containers(self, *, everything: bool = False) -> list[ContainerRow]:
        return [row(item) for item in self._containers.containers(everything=everything)]

    def container(self, word: str) -> ContainerRow:
        return row(self._containers.find(word))

    def inspect_container(self, word: str) -> dict[str, Any]:
        item = self._containers.find(word)
        state = item.state
        return {
            "Id": item.id,
            "Name": item.name,
            "Created": item.created,
            "Path": item.command[0],
            "Args": list(item.command[1:]),
            "Image": item.image,
            "ImageDigest": item.image_digest,
            "State": {
                "Status": state.status,
                "Running": item.running,
                "Pid": state.pid,
                "ExitCode": state.exit_code,
                "Error": state.error,
                "StartedAt": state.started,
                "FinishedAt": state.finished,
                "Health": state.health,
            },
            "RestartCount": state.restarts,
            "RestartPolicy": str(item.spec.restart),
            "Config": item.spec.to_json(),
            "Ports": {f"{port.container}/tcp": f"{port.host_ip}:{port.host}" for port in item.ports},
            "Address": state.address,
        }

    def logs(self, word: str, *, tail: int | None = None, follow: bool = False) -> Iterator[tuple[str, str]]:
        """``(stream, text)`` with line ends as the program wrote them."""
        item = self._containers.find(word)
        if not follow:
            yield from ((line.stream, line.text) for line in logs.read(item.directory, tail))
            return
        yield from ((line.stream, line.text) for line in logs.follow(item.directory, tail, self._alive(item)))

    def _alive(self, item: Container) -> Callable[[], bool]:
        """Waits a moment for the container to end; whether it still runs."""

        def alive() -> bool:
            self._containers.wait(item, 0.2)
            return item.directory.exists() and self._containers.records.read(item.directory).running

        return alive

    def execute(self, word: str, command: Sequence[str]) -> int:
        """Run a program inside, on the caller's own streams; its exit status."""
        item = self._containers.find(word)
        image = self.store.load(item.image_digest, Reference.parse(item.image))
        return portal.run(execute(item, image, command, stdin=0, stdout=1, stderr=2))

    def stop(self, word: str, grace: float = 10.0) -> ContainerRow:
        return row(self._containers.stop(word, grace))

    def start(self, word: str) -> ContainerRow:
        return row(self._containers.start(word))

    def kill(self, word: str, signal: str = "KILL") -> ContainerRow:
        return row(self._containers.kill(word, signal_number(signal)))

    def remove_container(self, word: str, *, force: bool = False) -> str:
        return self._containers.remove(word, force=force)

    def wait(self, word: str, seconds: float = 600.0) -> ContainerRow:
        """The container once it has ended, or as it is after ``seconds``."""
        item = self._containers.find(word)
        until = time.monotonic() + seconds
        while item.directory.exists() and item.running and time.monotonic() < until:
            self._containers.wait(item, until - time.monotonic())
            if not item.directory.exists():
                break
            item = self._containers.records.read(item.directory)
        return row(item)
