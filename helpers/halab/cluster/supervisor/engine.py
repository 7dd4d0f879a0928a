"""The supervisor's part of the Docker runtime: the cluster's network before its components start, and nothing left of it afterwards.

Everything here is nothing for a cluster whose pods are processes; ``docker`` is imported for the others alone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from halab.cluster.supervisor import layout
from halab.errors import HalabError
from halab.settings import DOCKER, ClusterConfig

log = logging.getLogger(__name__)
CLEAR_SECONDS = 30  # for one answer of an engine that has many containers to end


def socket_for(runtime: str) -> str:
    """The Unix socket of the engine that a cluster would use; empty where it uses none. Raises MachineError."""
    if runtime != DOCKER:
        return ""
    from halab.engine.client import socket_path

    return socket_path()


def lay(config: ClusterConfig, report: Callable[[str], None]) -> None:
    """The network and its gateway. Raises MachineError."""
    if config.runtime != DOCKER:
        return
    report("asking the Docker engine for a network")
    from halab.engine.client import connect
    from halab.engine.network import create

    client = connect(config.engine)
    try:
        create(client, config)
        if config.no_firewall.exists():
            report(f"NetworkPolicies will not be enforced: {config.no_firewall.read_text()}")
    except BaseException:
        clear(config)
        raise
    finally:
        client.close()


def clear(config: ClusterConfig) -> None:
    """Remove every container, network and volume of the cluster. An engine that does not answer has none that run."""
    _clear(config, "")


def clear_node(config: ClusterConfig, node: str) -> None:
    """A node that is switched off: its containers are gone, as its agent is."""
    _clear(config, node)


def _clear(config: ClusterConfig, node: str) -> None:
    if config.runtime != DOCKER:
        return
    from docker.errors import DockerException
    from requests import RequestException

    from halab.engine.client import connect
    from halab.engine.owned import sweep, sweep_all

    try:
        client = connect(config.engine, CLEAR_SECONDS)
        try:
            if node:
                sweep(client, str(config.directory), node)
            else:
                sweep_all(client, str(config.directory))
        finally:
            client.close()
    except (HalabError, DockerException, RequestException) as error:
        log.warning("the engine's part of cluster %s: %s", config.name, error)


def clear_directory(directory: Path) -> None:
    """The same, for a cluster whose supervisor is gone."""
    try:
        config = layout.read_config(directory)
    except HalabError:
        return
    if config is not None:
        clear(config)


def remove_files(config: ClusterConfig, paths: list[Path]) -> None:
    """Remove what containers wrote as root, for a user who may not."""
    if config.runtime != DOCKER or not (left := [path for path in paths if path.exists()]):
        return
    from halab.engine.client import connect
    from halab.engine.tool import remove_trees

    try:
        remove_trees(connect(config.engine), config, left)
    except HalabError as error:
        log.warning("%s", error)
