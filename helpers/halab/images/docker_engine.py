"""The same interface on a Docker (or Podman) engine, through its API: real images, real containers.

The ``docker`` package is imported only when this engine is asked for: it is heavy, and most learners have no engine.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halab.errors import ImageError, MachineError
from halab.images import oci
from halab.images.build.builder import Request
from halab.images.build.copying import Context
from halab.images.build.events import Event, Listener, size
from halab.images.containers.spec import ContainerSpec
from halab.images.docker_output import event_of
from halab.images.dockerfile.ignore import Ignore
from halab.images.garbage import Pruned
from halab.images.layers import pack
from halab.images.reference import Reference
from halab.images.store import Named
from halab.images.types import Built, ContainerRow, HistoryRow, Tell

if TYPE_CHECKING:
    from docker import DockerClient

SECONDS = 120


class DockerEngine:
    """Follows the active Docker context. Raises MachineError when no engine answers."""

    name = "docker"

    def __init__(self, host: str | None = None) -> None:
        import docker
        from docker.errors import DockerException

        self._errors: type[Exception] = DockerException
        try:
            self.client: DockerClient = (
                docker.DockerClient(base_url=host, timeout=SECONDS) if host else docker.from_env(timeout=SECONDS)
            )
            self.client.ping()
        except DockerException as error:
            raise MachineError(
                "Docker engine", f"does not answer: {error}", "start Docker, or use the embedded builder: --engine embedded"
            ) from None

    def _fail(self, subject: str, error: Exception) -> ImageError:
        return ImageError(subject, str(getattr(error, "explanation", None) or error), "")

    # -- images -----------------------------------------------------------------------------------------------------------------------

    def build(self, request: Request, listen: Listener) -> Built:
        """The context is sent as a tar; the engine's own progress becomes our events."""
        import tempfile

        dockerfile = request.dockerfile or request.context / "Dockerfile"
        ignore_file = request.context / ".dockerignore"
        context = Context(request.context, Ignore.parse(ignore_file.read_text()) if ignore_file.exists() else Ignore(()))
        entries = list(context.tree(""))
        name = "Dockerfile"
        if dockerfile.is_relative_to(request.context) and str(dockerfile.relative_to(request.context)) in context.files:
            name = str(dockerfile.relative_to(request.context))
        else:
            from halab.images.layers import Entry

            try:
                entries.append(Entry(name := ".halab.Dockerfile", "file", data=dockerfile.read_bytes()))
            except OSError as error:
                raise ImageError(str(dockerfile), f"cannot be read: {error.strerror}", "name it with -f FILE") from None
        listen(Event("context", size(context.size)))
        with tempfile.TemporaryFile() as archive:
            pack(entries, archive)
            archive.seek(0)
            first = Reference.parse(request.tags[0]).familiar if request.tags else None
            try:
                stream = self.client.api.build(
                    fileobj=archive,
                    custom_context=True,
                    dockerfile=name,
                    tag=first,
                    buildargs=dict(request.arguments),
                    labels=dict(request.labels),
                    target=request.target or None,
                    nocache=not request.cache,
                    rm=True,
                    forcerm=True,
                    decode=True,
                )
                identity = self._progress(stream, listen)
                image = self.client.images.get(identity)
                for tag in request.tags[1:]:
                    image.tag(Reference.parse(tag).familiar)
            except self._errors as error:
                raise self._fail("docker build", error) from None
        return Built(
            str(image.id),
            _digest(image.attrs),
            tuple(Reference.parse(tag).familiar for tag in request.tags),
            int(image.attrs["Size"]),
        )

    def _progress(self, stream: Iterable[Mapping[str, Any]], listen: Listener) -> str:
        identity = ""
        rest = ""
        for item in stream:
            if "error" in item:
                raise ImageError("docker build", str(item["error"]).strip())
            if "aux" in item and "ID" in item["aux"]:
                identity = str(item["aux"]["ID"])
            rest += str(item.get("stream", ""))
            *lines, rest = rest.split("\n")
            for line in lines:
                if event := event_of(re.sub(r"\x1b\[[0-9;]*m", "", line)):
                    listen(event)
                    if event.kind == "built" and not identity:
                        identity = event.text
        if not identity:
            raise ImageError("docker build", "ended without an image")
        return identity

    def images(self) -> list[Named]:
        rows = []
        for item in self.client.images.list():
            labels = item.labels or {}
            for name in item.tags or [""]:
                familiar = Reference.parse(name).familiar if name else ""
                rows.append(
                    Named(
                        familiar,
                        _digest(item.attrs),
                        str(item.id),
                        item.attrs["Created"],
                        item.attrs["Size"],
                        False,
                        labels.get(oci.LABEL_BORROWS, ""),
                    )
                )
        return sorted(rows, key=lambda row: row.created, reverse=True)

    def _image(self, reference: str) -> Any:
        try:
            return self.client.images.get(reference)
        except self._errors as error:
            raise self._fail(f"image {reference}", error) from None

    def history(self, reference: str) -> list[HistoryRow]:
        return [
            HistoryRow(oci.timestamp(item["Created"]), item["CreatedBy"], item["Size"], item.get("Comment", ""), "", False)
            for item in self._image(reference).history()
        ]

    def inspect(self, reference: str) -> dict[str, Any]:
        found: dict[str, Any] = self._image(reference).attrs
        return found

    def tag(self, reference: str, new: str) -> None:
        self._image(reference).tag(Reference.parse(new).familiar)

    def remove(self, reference: str, *, force: bool = False) -> list[str]:
        try:
            self.client.images.remove(reference, force=force)
        except self._errors as error:
            raise self._fail(f"image {reference}", error) from None
        return [reference]

    def prune(self, *, cache: bool = False) -> Pruned:
        done = self.client.images.prune(filters={"dangling": True})
        freed = int(done.get("SpaceReclaimed") or 0)
        if cache:
            freed += int(self.client.api.prune_builds().get("SpaceReclaimed") or 0)
        deleted = [item.get("Deleted", "") for item in done.get("ImagesDeleted") or []]
        return Pruned(tuple(filter(None, deleted)), 0, freed)

    def push(self, reference: str, tell: Tell) -> str:
        parsed = Reference.parse(reference)
        digest = ""
        for item in self.client.api.push(parsed.familiar_name, tag=parsed.tag, stream=True, decode=True):
            if "error" in item:
                raise ImageError(f"push {reference}", str(item["error"]))
            digest = (item.get("aux") or {}).get("Digest", digest)
            if item.get("status") and "progress" not in item:
                tell(f"{item['id']}: {item['status']}" if item.get("id") else item["status"])
        return digest

    def pull(self, reference: str, tell: Tell) -> str:
        parsed = Reference.parse(reference)
        try:
            for item in self.client.api.pull(parsed.familiar_name, tag=parsed.tag or parsed.digest, stream=True, decode=True):
                if "error" in item:
                    raise ImageError(f"pull {reference}", str(item["error"]))
                if item.get("status") and "progress" not in item:
                    tell(f"{item['id']}: {item['status']}" if item.get("id") else item["status"])
        except self._errors as error:
            raise self._fail(f"pull {reference}", error) from None
        return _digest(self._image(parsed.familiar).attrs)

    def save(self, references: Sequence[str], path: Path) -> None:
        for reference in references:
            self._image(reference)
        api: Any = self.client.api  # its own get_image takes one name only
        response = api._get(api._url("/images/get"), params={"names": list(references)}, stream=True)
        api._raise_for_status(response)
        partial = path.with_name(f".{path.name}.part")
        try:
            with partial.open("wb") as out:
                for block in response.iter_content(1 << 20):
                    out.write(block)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)

    def load(self, path: Path) -> list[str]:
        try:
            with path.open("rb") as source:
                images = self.client.images.load(source)
        except (OSError, self._errors) as error:
            raise self._fail(str(path), error) from None
        return [name for image in images for name in image.tags or [str(image.id)]]

    # -- containers -------------------------------------------------------------------------------------------------------------------

    def run(self, spec: ContainerSpec) -> ContainerRow:
        options: dict[str, Any] = {
            "detach": True,
            "environment": spec.environment,
            "ports": {f"{port.container}/tcp": (port.host_ip, port.host or None) for port in spec.ports},
            "volumes": [f"{volume.source}:{volume.target}{':ro' if volume.read_only else ''}" for volume in spec.volumes],
            "restart_policy": {"Name": spec.restart.policy, "MaximumRetryCount": spec.restart.retries},
            "labels": {"io.halab": "true"},
        }
        for key, value in (
            ("name", spec.name),
            ("user", spec.user),
            ("working_dir", spec.directory),
            ("hostname", spec.hostname),
            ("mem_limit", spec.memory),
        ):
            if value:
                options[key] = value
        if spec.entrypoint is not None:
            options["entrypoint"] = list(spec.entrypoint)
        if spec.remove:
            options["auto_remove"] = True
        created = None
        try:
            created = self.client.containers.create(spec.image, list(spec.command) or None, **options)
            created.start()
            created.reload()
        except self._errors as error:
            if created is not None:
                created.remove(force=True)  # nothing half-made is left, as with the embedded engine
            raise self._fail(f"image {spec.image}", error) from None
        return _row(created.attrs)

    def containers(self, *, everything: bool = False) -> list[ContainerRow]:
        return [_row(item.attrs) for item in self.client.containers.list(all=everything)]

    def _container(self, word: str) -> Any:
        try:
            return self.client.containers.get(word)
        except self._errors as error:
            raise self._fail(f"container {word}", error) from None

    def container(self, word: str) -> ContainerRow:
        return _row(self._container(word).attrs)

    def inspect_container(self, word: str) -> dict[str, Any]:
        found: dict[str, Any] = self._container(word).attrs
        return found

    def logs(self, word: str, *, tail: int | None = None, follow: bool = False) -> Iterator[tuple[str, str]]:
        item = self._container(word)
        if item.attrs["Config"].get("Tty"):
            for data in item.logs(stream=True, follow=follow, tail="all" if tail is None else tail):
                yield "stdout", data.decode(errors="replace")
            return
        stream = item.client.api.attach(item.id, stream=True, logs=True, demux=True) if follow else None
        if stream is None:
            for name in ("stdout", "stderr"):
                data = item.logs(stdout=name == "stdout", stderr=name == "stderr", tail="all" if tail is None else tail)
                yield from ((name, line + "\n") for line in data.decode(errors="replace").splitlines())
            return
        for out, err in stream:
            if out:
                yield "stdout", out.decode(errors="replace")
            if err:
                yield "stderr", err.decode(errors="replace")

    def execute(self, word: str, command: Sequence[str]) -> int:
        """Run a program inside and print what it says; its exit status."""
        import sys

        item = self._container(word)
        run = self.client.api.exec_create(item.id, list(command))
        for out, err in self.client.api.exec_start(run["Id"], stream=True, demux=True):
            for data, stream in ((out, sys.stdout), (err, sys.stderr)):
                if data:
                    stream.write(data.decode(errors="replace"))
        return int(self.client.api.exec_inspect(run["Id"])["ExitCode"])

    def stop(self, word: str, grace: float = 10.0) -> ContainerRow:
        item = self._container(word)
        item.stop(timeout=int(grace))
        return self._settled(item)

    def start(self, word: str) -> ContainerRow:
        item = self._container(word)
        item.start()
        return self._settled(item)

    def kill(self, word: str, signal: str = "KILL") -> ContainerRow:
        item = self._container(word)
        try:
            item.kill(signal)
            item.reload()
        except self._errors as error:
            raise self._fail(f"container {word}", error) from None
        return _row(item.attrs)

    def remove_container(self, word: str, *, force: bool = False) -> str:
        item = self._container(word)
        try:
            item.remove(force=force)
        except self._errors as error:
            raise self._fail(f"container {word}", error) from None
        return str(item.name)

    def _settled(self, item: Any) -> ContainerRow:
        try:
            item.reload()
        except self._errors:
            pass  # removed at its end, as it was asked to be
        return _row(item.attrs)

    def wait(self, word: str, seconds: float = 600.0) -> ContainerRow:
        """The container once it has ended."""
        item = self._container(word)
        until = time.monotonic() + seconds
        try:
            item.wait(timeout=max(1, until - time.monotonic()))
        except self._errors:
            pass
        return self._settled(item)


def _digest(attributes: Mapping[str, Any]) -> str:
    digests = attributes.get("RepoDigests") or []
    return str(digests[0]).rpartition("@")[2] if digests else ""


def _row(attributes: Mapping[str, Any]) -> ContainerRow:
    state, config = attributes["State"], attributes["Config"]
    ports = attributes.get("NetworkSettings", {}).get("Ports") or {}
    bound = [f"{item['HostIp']}:{item['HostPort']}->{port}" for port, items in ports.items() for item in items or []]
    health = (state.get("Health") or {}).get("Status", "")
    status = {"running": "Up", "restarting": "Restarting", "created": "Created"}.get(state["Status"], "Exited")
    if status in ("Exited", "Restarting"):
        status += f" ({state['ExitCode']})"
    return ContainerRow(
        id=attributes["Id"],
        name=attributes["Name"].lstrip("/"),
        image=config["Image"],
        command=tuple(json.loads(json.dumps([attributes["Path"], *attributes["Args"]]))),
        created=attributes["Created"],
        status=status + (f" ({health})" if health else ""),
        running=state["Status"] in ("running", "restarting"),
        ports=tuple(bound),
        exit_code=int(state["ExitCode"]),
        restarts=int(attributes.get("RestartCount") or 0),
        address=next(
            (net.get("IPAddress", "") for net in (attributes.get("NetworkSettings", {}).get("Networks") or {}).values()), ""
        ),
        health=health,
        pid=int(state.get("Pid") or 0),
    )
