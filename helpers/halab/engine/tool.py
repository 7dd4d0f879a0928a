"""Short-lived containers of the pods' image, for what needs root where this user is not: signals and trees that containers own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from halab.engine import owned
from halab.engine.client import Engine, reason
from halab.engine.image import ensure
from halab.errors import MachineError
from halab.settings import ClusterConfig


def run(client: Engine, config: ClusterConfig, words: Sequence[str], **host: object) -> None:
    """Run ``pod WORDS`` to its end in a container with these options of the engine's host configuration. Raises MachineError."""
    from docker.errors import APIError

    try:
        made = client.create_container(
            ensure(client),
            list(words),
            labels=owned.labels(config, "tool"),
            host_config=client.create_host_config(network_mode="none", **host),
        )
        try:
            client.start(made["Id"])
            client.wait(made["Id"])
        finally:
            client.remove_container(made["Id"], force=True)
    except APIError as error:
        raise MachineError("Docker engine", reason(error)) from error


def signal(client: Engine, config: ClusterConfig, container: str, number: int, pids: Sequence[int]) -> None:
    """Send a signal to processes by their numbers inside the container."""
    run(
        client,
        config,
        ["kill", str(number), *map(str, pids)],
        pid_mode=f"container:{container}",
        cap_drop=["ALL"],
        cap_add=["KILL"],
    )


def remove_trees(client: Engine, config: ClusterConfig, paths: Sequence[Path]) -> None:
    """Remove directories below the cluster's own; any other path is refused."""
    from docker.types import Mount

    inside = [path.absolute() for path in paths if path.absolute().is_relative_to(config.directory) and path != config.directory]
    parents = {path.parent for path in inside}
    mounts = [Mount(str(parent), str(parent), type="bind") for parent in sorted(parents)]
    if inside:
        capabilities = ["DAC_OVERRIDE", "FOWNER"]
        run(client, config, ["remove", *map(str, inside)], mounts=mounts, cap_drop=["ALL"], cap_add=capabilities)
