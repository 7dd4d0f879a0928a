"""halab snapshot: a cluster's whole state in one file."""

from __future__ import annotations

import shlex
import time
from pathlib import Path

import click

from halab.backends import choice
from halab.cli.cluster import json_option, name_option
from halab.cli.output import emit, progress, say
from halab.errors import UsageError

file_argument = click.argument("file", type=click.Path(path_type=Path))


@click.group()
def snapshot() -> None:
    """Save a cluster's whole state to one file, and restore it here or elsewhere."""


@snapshot.command()
@file_argument
@name_option
@click.option("--force", is_flag=True, help="Replace FILE if it is there.")
@json_option
def save(file: Path, name: str, force: bool, as_json: bool) -> None:
    """Save the cluster, running or stopped, to FILE: objects, Secrets, provisioned volumes, and the images that it names.

    While volumes are copied its pods stand still. FILE holds Secrets: it is readable by you alone.
    """
    _embedded(name)
    from halab.cluster.supervisor import snapshot as snapshots

    began = time.monotonic()
    with progress() as shown:
        saved = snapshots.save(name, file.absolute(), replace=force, report=shown.step)
    header, took = saved.header, time.monotonic() - began
    if as_json:
        document = {"cluster": name, "file": str(saved.file), "bytes": saved.size, "created": header.created}
        emit(document | {"revision": header.revision, "objects": header.objects, "images": list(header.images)})
    else:
        count = sum(header.objects.values())
        say(f"cluster {name} is saved to {file}: {count} objects, {saved.size / 1e6:.1f} MB ({took:.1f} s)")


@snapshot.command()
@file_argument
@name_option
@json_option
def restore(file: Path, name: str, as_json: bool) -> None:
    """Make the (stopped) cluster what FILE holds. Whatever fails leaves it as it was.

    A cluster that is there keeps its address range, certificates and kubeconfig, and loses its objects and volumes.
    """
    _embedded(name)
    from halab.cluster.supervisor import snapshot as snapshots

    with progress() as shown:
        done = snapshots.restore(name, file.absolute(), report=shown.step)
    header = done.header
    if as_json:
        document = {"cluster": name, "file": str(file.absolute()), "created": header.created, "replaced": done.replaced}
        emit(document | {"revision": done.revision, "objects": header.objects, "images": list(header.images)})
    else:
        up = "halab up" + ("" if name == "default" else f" --name {shlex.quote(name)}")
        say(
            f"cluster {name} is what {header.name} was at {header.created} ({sum(header.objects.values())} objects); start it: {up}"
        )


def _embedded(name: str) -> None:
    known = choice.read(name)
    if known is not None:
        fact = f"is a cluster of the {known.backend} backend; a snapshot is of an embedded one"
        raise UsageError(f"cluster {name}", fact, "its own tools save it (etcdctl snapshot save, Velero)")
