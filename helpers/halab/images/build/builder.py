"""The build itself: stages in order, steps from the cache where nothing changed, else made; then the image, named.

An instruction that fails leaves the layers of the steps before it in the cache and nothing else: what was begun lies in a workspace that
is removed (or swept by the next start, if the process was killed).
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from halab.errors import ImageError, UsageError
from halab.images import oci
from halab.images.build import copying, mounts
from halab.images.build import run as running
from halab.images.build.cache import Cache, Made
from halab.images.build.events import Event, Listener, size
from halab.images.build.plan import plan, stage_name
from halab.images.build.stage import Stage
from halab.images.dockerfile.ignore import Ignore
from halab.images.dockerfile.parser import Dockerfile, Instruction, parse
from halab.images.dockerfile.words import split
from halab.images.image import Image
from halab.images.layers import Entry, directory
from halab.images.reference import Reference
from halab.images.store import ImageStore, Layer
from halab.sandbox import User

# Build arguments that need no ARG (https://docs.docker.com/reference/dockerfile/#predefined-args).
_PREDEFINED = {
    name for word in ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy") for name in (word, word.upper())
}


@dataclass(frozen=True, slots=True)
class Request:
    """``context`` is a directory, ``dockerfile`` a path (default: ``Dockerfile`` in it). ``tags`` may be empty."""

    context: Path
    dockerfile: Path | None = None
    tags: tuple[str, ...] = ()
    arguments: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, Path] = field(default_factory=dict)
    target: str = ""
    cache: bool = True


async def build(store: ImageStore, request: Request, listen: Listener) -> Image:
    """Build, name and return the image. Progress goes to ``listen``. Raises ImageError, which names file, line and instruction."""
    for tag in request.tags:
        Reference.parse(tag)
    if not request.context.is_dir():
        raise UsageError(
            f"build context {request.context}", "is not a directory", "give the directory that holds the Dockerfile, e.g. ."
        )
    path = request.dockerfile or request.context / "Dockerfile"
    try:
        text = path.read_text()
    except FileNotFoundError:
        raise ImageError(str(path), "there is no such file", "name it with -f FILE") from None
    except (UnicodeDecodeError, IsADirectoryError):
        raise ImageError(str(path), "is not a text file") from None
    name = path.name if path.parent == request.context else str(path)
    return await Builder(store, request, parse(text, name), listen).build()


class Builder:
    def __init__(self, store: ImageStore, request: Request, dockerfile: Dockerfile, listen: Listener) -> None:
        self.store, self.request, self.dockerfile, self.listen = store, request, dockerfile, listen
        self.cache = Cache(store.blobs)
        self.stages: list[Stage] = []
        self.plan = plan(dockerfile, request.arguments, request.target)
        self.used_arguments = set(self.plan.declared)
        self.reuse = request.cache
        self.number = 0
        self.steps = 0
        self._context: copying.Context | None = None

    @property
    def context(self) -> copying.Context:
        if self._context is None:
            own = self.request.context / f"{Path(self.dockerfile.name).name}.dockerignore"
            file = own if own.exists() else self.request.context / ".dockerignore"
            ignore = Ignore.parse(file.read_text()) if file.exists() else Ignore(())
            self._context = copying.Context(self.request.context, ignore)
        return self._context

    async def build(self) -> Image:
        groups, wanted = self.plan.groups, self.plan.wanted
        self.steps = sum(len(groups[index]) for index in wanted)
        self.listen(Event("context", size(self.context.size)))
        for index, group in enumerate(groups):
            if index in wanted:
                self.stages.append(await self._stage(group))
            else:
                self.stages.append(Stage(self.dockerfile.name, self.dockerfile.escape, name=stage_name(group[0])))
        stage = self.stages[max(wanted)]
        unused = set(self.request.arguments) - self.used_arguments - _PREDEFINED
        if unused:
            self.listen(Event("warning", f"[Warning] One or more build-args {sorted(unused)} were not consumed"))
        digest = self.store.commit(stage.layers, stage.document(self.request.labels))
        config = self.store.manifest(digest)["config"]["digest"]
        self.listen(Event("built", oci.hex_of(config)[:12]))
        for tag in self.request.tags:
            self.store.tag(digest, tag)
            self.listen(Event("tagged", Reference.parse(tag).familiar))
        if not self.request.tags:
            self.store.keep(digest)
        reference = (
            Reference.parse(self.request.tags[0]) if self.request.tags else Reference("docker.io", "library/none", "", digest)
        )
        return self.store.load(digest, reference)

    # -- stages -------------------------------------------------------------------------------------------------------------------------

    async def _stage(self, group: tuple[Instruction, ...]) -> Stage:
        first = group[0]
        self._announce(first)
        image, name = self.plan.base(first)
        earlier = next((stage for stage in self.stages if stage.name and stage.name == image.lower()), None)
        if earlier is not None:
            stage = earlier.copy()
        elif image == "scratch":
            stage = Stage.scratch(self.dockerfile.name, self.dockerfile.escape)
        else:
            stage = Stage.on_image(self.dockerfile.name, self.dockerfile.escape, await self._base(image, first))
            self.listen(Event("done", oci.hex_of(stage.key)[:12]))
            if borrows := (stage.config.get("Labels") or {}).get(oci.LABEL_BORROWS):
                self.listen(Event("output", f"     {image} stands on this machine's {borrows}"))
        stage.name = name
        triggers = [
            parse(f"FROM scratch\n{text}", first.source).instructions[1] for text in stage.config.pop("OnBuild", None) or []
        ]
        for instruction in [*(replace(trigger, line=first.line) for trigger in triggers), *group[1:]]:
            if instruction not in triggers:
                self._announce(instruction)
            try:
                await self._step(stage, instruction)
            except ImageError as error:
                where = f"{self.dockerfile.name}:{instruction.line}"
                if error.subject.startswith(self.dockerfile.name + ":"):
                    raise
                raise ImageError(where, f"{error.subject}: {error.fact}", error.remedy) from None
        return stage

    async def _base(self, name: str, instruction: Instruction) -> Image:
        try:
            return await asyncio.to_thread(self.store.resolve, name)
        except ImageError as error:
            raise ImageError(f"{self.dockerfile.name}:{instruction.line}", f"FROM {name}: {error.fact}", error.remedy) from None

    def _announce(self, instruction: Instruction) -> None:
        self.number += 1
        self.listen(Event("step", instruction.source, self.number, self.steps))

    # -- steps --------------------------------------------------------------------------------------------------------------------------

    async def _step(self, stage: Stage, instruction: Instruction) -> None:
        match instruction.name:
            case "ARG":
                self._argument(stage, instruction)
            case "RUN":
                await self._run(stage, instruction)
            case "COPY" | "ADD":
                await self._copy(stage, instruction)
            case "WORKDIR":
                await self._workdir(stage, instruction)
            case _:
                text = stage.configure(instruction)
                self._metadata(stage, text)

    def _metadata(self, stage: Stage, text: str) -> None:
        """A step without a layer; it is cached as well, so that an unchanged build gives an unchanged digest."""
        key = Cache.key(stage.key, text)
        made = self.cache.get(key) if self.reuse else None
        if made is None:
            made = Made(None, oci.timestamp())
            self.cache.put(key, made)
        else:
            self.listen(Event("cached", ""))
        stage.key = key
        stage.add(None, None, made.created, text)
        self.listen(Event("done", oci.hex_of(key)[:12]))

    def _argument(self, stage: Stage, instruction: Instruction) -> None:
        for word in split(instruction.rest, None, stage.escape):
            name, equals, default = word.partition("=")
            self.used_arguments.add(name)
            if name in self.request.arguments:
                stage.arguments[name] = self.request.arguments[name]
            elif equals:
                stage.arguments[name] = stage.expand(default)
            elif name in self.plan.arguments:
                stage.arguments[name] = self.plan.arguments[name]
        self._metadata(stage, f"ARG {instruction.rest}")

    async def _run(self, stage: Stage, instruction: Instruction) -> None:
        if instruction.words is not None:
            argv = list(instruction.words)
        elif instruction.heredocs:
            argv = [*stage.shell, _heredoc_script(instruction)]
        else:
            argv = [*stage.shell, instruction.rest]
        shown = instruction.rest if instruction.words is None else running.quoted(argv)
        arguments = {name: value for name, value in stage.arguments.items() if name not in stage.environment}
        proxies = {name: value for name, value in self.request.arguments.items() if name in _PREDEFINED}
        key_arguments = " ".join(f"{name}={value}" for name, value in sorted(arguments.items()))
        flags = " ".join(f"--{name}={value}" for name, value in instruction.flags)
        key = Cache.key(stage.key, "RUN", json.dumps(argv), key_arguments, flags, running.lending_state(argv[-1]))
        created_by = "RUN " + (f"|{len(arguments)} {key_arguments} " if arguments else "") + " ".join(argv)
        if self._reused(stage, key, created_by):
            return
        uid, gid = stage.numeric_user(instruction)
        environment = arguments | proxies | stage.environment
        environment.setdefault("HOME", "/root" if uid == 0 else "/")
        with self.store.blobs.workspace() as work:
            mounted = mounts.prepare(instruction, stage, self, work)
            command = running.Command(
                argv=argv,
                environment=environment,
                directory=stage.config.get("WorkingDir") or "/",
                user=User(uid, gid),
                shown=f"{' '.join(stage.shell)} {shown}" if instruction.words is None else shown,
                mounts=mounted,
                host_paths=stage.host_paths,
                provided=frozenset().union(*map(self.store.borrowed_paths, stage.borrowed_layers())),
            )
            self.listen(Event("running", work.name.rpartition("-")[2]))
            began = time.monotonic()
            outcome = await running.run(
                command,
                stage.directories,
                stage.view(),
                work,
                lambda line, error: self.listen(Event("output", line, error=error)),
            )
            await self._keep(stage, key, outcome.entries, created_by, began, outcome.borrowed)

    async def _copy(self, stage: Stage, instruction: Instruction) -> None:
        words = (
            [stage.expand(word) for word in instruction.words] if instruction.words is not None else stage.words(instruction.rest)
        )
        inline = []
        for heredoc in instruction.heredocs:
            words = [word for word in words if not word.startswith("<<")]
            inline.append((heredoc.name, _expanded(heredoc.content, stage) if heredoc.expand else heredoc.content))
        if len(words) + len(inline) < 2:
            raise ImageError(instruction.name, "requires at least two arguments", f"{instruction.name} SOURCE ... DESTINATION")
        destination = words[-1]
        if not destination.startswith("/"):
            slash = "/" if destination.endswith("/") or destination in (".", "./") else ""
            destination = f"{stage.config.get('WorkingDir') or ''}/{destination}".rstrip("/.") + slash or "/"
        copy = copying.Copy(
            sources=tuple(words[:-1]),
            destination=destination,
            chown=stage.expand(instruction.flag("chown")),
            chmod=stage.expand(instruction.flag("chmod")),
            add=instruction.name == "ADD",
            parents=instruction.flag("parents") == "true",
            exclude=tuple(value for flag, value in instruction.flags if flag == "exclude"),
            inline=tuple(inline),
        )
        source = await self._copy_source(stage.expand(instruction.flag("from")))
        with self.store.blobs.workspace() as work:
            entries = await asyncio.to_thread(copying.collect, copy, source, stage.view(), work)
            content = await asyncio.to_thread(copying.checksum, entries)
            key = Cache.key(stage.key, instruction.name, destination, content)
            created_by = f"{instruction.name} {' '.join([*words[:-1], *(f'<<{name}' for name, _ in inline), words[-1]])}"
            if not self._reused(stage, key, created_by):
                await self._keep(stage, key, entries, created_by, time.monotonic())

    async def _copy_source(self, name: str) -> copying.Context | copying.ViewSource:
        if not name:
            return self.context
        return copying.ViewSource((await self.view_of(name)).view())

    async def view_of(self, name: str) -> Stage:
        """The stage or image that ``--from`` names."""
        for index, stage in enumerate(self.stages):
            if name.lower() == stage.name or name == str(index):
                return stage
        return Stage.on_image(self.dockerfile.name, self.dockerfile.escape, await asyncio.to_thread(self.store.resolve, name))

    async def _workdir(self, stage: Stage, instruction: Instruction) -> None:
        path = stage.expand(instruction.rest)
        base = stage.config.get("WorkingDir") or "/"
        joined = path if path.startswith("/") else f"{base.rstrip('/')}/{path}"
        parts: list[str] = []
        for part in joined.split("/"):
            if part == "..":
                parts = parts[:-1]
            elif part not in ("", "."):
                parts.append(part)
        stage.config["WorkingDir"] = "/" + "/".join(parts)
        created_by = f"WORKDIR {stage.config['WorkingDir']}"
        if stage.view().is_directory(stage.config["WorkingDir"]):
            self._metadata(stage, created_by)
            return
        key = Cache.key(stage.key, created_by)
        if not self._reused(stage, key, created_by):
            place = stage.view().resolve(stage.config["WorkingDir"])
            await self._keep(stage, key, stage.view().parents([directory(place)]), created_by, time.monotonic())

    # -- layers -------------------------------------------------------------------------------------------------------------------------

    def _reused(self, stage: Stage, key: str, created_by: str) -> bool:
        made = self.cache.get(key) if self.reuse else None
        if made is None or made.layer is None:
            return False
        self.listen(Event("cached", ""))
        place = self.store.blobs.extract(made.layer.descriptor["digest"], made.layer.diff_id)
        stage.key = key
        stage.add(made.layer, place, made.created, created_by, made.borrowed)
        self.listen(Event("done", oci.hex_of(key)[:12]))
        return True

    async def _keep(
        self, stage: Stage, key: str, entries: list[Entry], created_by: str, began: float, borrowed: tuple[str, ...] = ()
    ) -> None:
        packed = await asyncio.to_thread(self.store.blobs.add_layer, entries)
        layer = Layer(oci.descriptor(oci.LAYER_TAR, packed.digest, packed.size), packed.diff_id)
        made = Made(layer, oci.timestamp(), borrowed)
        self.cache.put(key, made)
        stage.key = key
        stage.add(layer, self.store.blobs.extract(packed.digest, packed.diff_id), made.created, created_by, borrowed)
        if borrowed:
            self.listen(
                Event(
                    "output", f"     borrowed from this machine: {', '.join(borrowed[:6])}{' ...' if len(borrowed) > 6 else ''}"
                )
            )
        self.listen(Event("done", oci.hex_of(key)[:12], seconds=time.monotonic() - began))


def _heredoc_script(instruction: Instruction) -> str:
    """The script of ``RUN <<EOF``; with other words on the line (``RUN python3 <<EOF``) the shell gets the heredoc itself."""
    if re.fullmatch(r"<<-?(['\"]?)\w+\1", instruction.rest.strip()):
        return instruction.heredocs[0].content
    tails = "".join(f"{heredoc.content}{heredoc.name}\n" for heredoc in instruction.heredocs)
    return f"{instruction.rest}\n{tails}"


def _expanded(text: str, stage: Stage) -> str:
    """Variables in a COPY heredoc; quotes stay."""
    variables = stage.variables
    return re.sub(r"\$(?:\{(\w+)\}|(\w+))", lambda match: variables.get(match[1] or match[2], ""), text)
