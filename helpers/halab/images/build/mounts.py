"""``RUN --mount=type=...``: bind, cache, tmpfs and secret (https://docs.docker.com/reference/dockerfile/#run---mount)."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from halab.errors import ImageError
from halab.images import layers
from halab.images.build.copying import ViewSource
from halab.images.build.stage import Stage
from halab.images.dockerfile.parser import Instruction, fail
from halab.sandbox import Mount

if TYPE_CHECKING:
    from halab.images.build.builder import Builder

_TYPES = ("bind", "cache", "tmpfs", "secret", "ssh")


def prepare(instruction: Instruction, stage: Stage, builder: Builder, work: Path) -> tuple[Mount, ...]:
    """The mounts of a RUN; directories that they need are made under ``work`` (gone afterwards) or, for caches, kept in the store."""
    found = []
    for number, text in enumerate(value for flag, value in instruction.flags if flag == "mount"):
        options = dict(part.partition("=")[::2] for part in stage.expand(text).split(","))
        kind = options.get("type", "bind")
        if kind not in _TYPES or kind == "ssh":
            fail(stage.file, instruction, f"unsupported mount type {kind!r}", "known are: bind, cache, tmpfs, secret")
        target = options.get("target") or options.get("dst") or options.get("destination") or ""
        if kind == "secret":
            found.append(_secret(options, target, instruction, stage, builder))
            continue
        if not target:
            fail(stage.file, instruction, f"--mount={text} has no target")
        if not target.startswith("/"):
            target = f"{stage.config.get('WorkingDir') or ''}/{target}"
        if kind == "bind":
            found.append(_bind(options, target, builder, work / f"mount-{number}"))
        else:
            name = hashlib.sha256((options.get("id") or target).encode()).hexdigest()[:16]
            place = builder.store.root / "mounts" / name if kind == "cache" else work / f"mount-{number}"
            place.mkdir(parents=True, exist_ok=True)
            found.append(Mount(place, target, "ro" in options or options.get("readonly") == "true"))
    return tuple(found)


def _secret(options: dict[str, str], target: str, instruction: Instruction, stage: Stage, builder: Builder) -> Mount:
    name = options.get("id") or target.rpartition("/")[2]
    place = builder.request.secrets.get(name)
    if place is None:
        fail(stage.file, instruction, f"secret {name} was not given", f"halab image build --secret id={name},src=FILE")
    return Mount(place.absolute(), target or f"/run/secrets/{name}", True)


def _bind(options: dict[str, str], target: str, builder: Builder, place: Path) -> Mount:
    """A copy of the files: a step must not be able to change the context or another stage."""
    source = options.get("source") or options.get("src") or "."
    origin = options.get("from", "")
    stage = next(
        (item for index, item in enumerate(builder.stages) if origin and origin.lower() in (item.name, str(index))), None
    )
    if origin and stage is None:
        image = builder.store.resolve(origin)
        stage = Stage.on_image(builder.dockerfile.name, builder.dockerfile.escape, image)
    tree = ViewSource(stage.view()) if stage is not None else builder.context
    paths = tree.select(source)
    if not paths:
        raise ImageError(f"--mount=type=bind,source={source}", "no such file or directory")
    place.mkdir()
    layers.unpack(layers.contents(tree.tree(paths[0])), place)
    return Mount(place / paths[0] if paths[0] else place, target, "rw" not in options)
