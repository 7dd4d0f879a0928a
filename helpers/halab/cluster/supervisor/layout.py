"""What a cluster's directory holds, and how its state is read by those who did not start it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from halab.errors import ClusterError, UsageError
from halab.settings import ClusterConfig, cluster_directory

MARK = "HALAB_CLUSTER_DIRECTORY"  # environment variable of every process of a cluster
CONFIG = "cluster.json"
SOCKET = "control.sock"
LOCK = "lock"
RUNNING = "running.json"  # exists while the supervisor lives; found without a living supervisor, it tells of a crash
ABSENT = "absent.json"  # nodes that were removed: their number stays theirs

APISERVER = "apiserver"  # names of components, as `status` shows them
CONTROLLERS = "controllers"
NODE_PREFIX = "node-agent/"


def directory_of(name: str, home: Path | None = None) -> Path:
    """The directory of the cluster called ``name``; names are what a DNS label may be."""
    if (
        not name
        or len(name) > 40
        or not all(part.isalnum() for part in name.split("-"))
        or name != name.lower()
        or not name.isascii()
    ):
        raise UsageError(f"cluster name {name!r}", "is not lower-case letters, digits and inner dashes (at most 40)")
    return cluster_directory(name, home)


def read_config(directory: Path) -> ClusterConfig | None:
    """The cluster's configuration, or None if it was never created."""
    path = directory / CONFIG
    try:
        return ClusterConfig.load(path.read_text())
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        purge = f"halab down --purge --name {directory.name}"
        raise ClusterError(
            f"cluster {directory.name}", f"{path} cannot be read ({error})", f"remove the cluster: {purge}"
        ) from error


def absent_nodes(directory: Path) -> set[str]:
    try:
        return set(json.loads((directory / ABSENT).read_text()))
    except FileNotFoundError:
        return set()


def present_nodes(config: ClusterConfig) -> list[str]:
    """The nodes that should run, in order."""
    absent = absent_nodes(config.directory)
    return [node for node in config.nodes if node not in absent]


@contextmanager
def socket_path(directory: Path) -> Iterator[str]:
    """The control socket's path, short enough for ``sockaddr_un`` (108 bytes) however deep the directory lies."""
    descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{SOCKET}"
    finally:
        os.close(descriptor)
