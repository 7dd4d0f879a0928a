"""Envoy in the cluster's gateway: the same program on the same files, in a container that shares the gateway container's network.

There it may listen at every Service's address and at every port, whoever the user is. The container's image is the pods' own, with Envoy
and its libraries shown to it; a leash (``halab.engine``'s ``pod leash``) ends Envoy when this process ends, however that happens.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from halab.engine import hijack, owned
from halab.engine.client import Engine, connect
from halab.engine.image import PROGRAM, ensure
from halab.engine.network import gateway_name, network_name
from halab.images.elf import libraries
from halab.settings import ClusterConfig


def options(
    config: ClusterConfig, image: str, command: Sequence[str], preload: Path | None, shown: Sequence[Path]
) -> dict[str, Any]:
    """The container in the words of the engine's API. ``shown`` are files of this machine that it sees at their own paths."""
    private = [config.directory / "envoy", config.logs]
    return {
        "Image": image,
        "Entrypoint": [PROGRAM],
        "Cmd": ["leash", *command],
        "Env": ["HOME=/", *([f"LD_PRELOAD={preload}"] if preload else [])],
        "User": f"{os.getuid()}:{os.getgid()}",
        "OpenStdin": True,
        "StdinOnce": True,
        "Labels": owned.labels(config, "envoy"),
        "HostConfig": {
            "NetworkMode": f"container:{gateway_name(config)}",
            "Binds": [*(f"{path}:{path}:ro" for path in shown), *(f"{path}:{path}" for path in private)],
            "CapDrop": ["ALL"],
            "ReadonlyRootfs": True,
            "SecurityOpt": ["no-new-privileges"],
            "LogConfig": {"Type": "none"},
        },
    }


class Contained:
    """Runs one Envoy after another."""

    def __init__(self, config: ClusterConfig) -> None:
        self.config = config
        self._client: Engine = None

    async def live(
        self,
        command: Sequence[str],
        preload: Path | None,
        follow: Callable[[asyncio.StreamReader], Awaitable[None]],
        began: Callable[[int], None],
    ) -> int:
        """One life of Envoy: its exit status. ``follow`` reads its standard error to the end; ``began`` is told its process number."""
        if self._client is None:
            self._client = await asyncio.to_thread(connect, self.config.engine)
        client = self._client
        shown = [
            Path(command[0]),
            *sorted(libraries([Path(command[0]), *([preload] if preload else [])])),
            *([preload] if preload else []),
        ]
        name = f"{network_name(self.config)}-envoy"
        await asyncio.to_thread(self._remove_old, client)
        image = await asyncio.to_thread(ensure, client)
        made = await asyncio.to_thread(
            client.create_container_from_config, options(self.config, image, command, preload, shown), name
        )
        identity = made["Id"]
        writer = None
        try:
            reader, writer = await hijack.take_over(
                self.config.engine, f"/containers/{identity}/attach?stream=1&stdin=1&stdout=1&stderr=1"
            )
            await asyncio.to_thread(client.start, identity)
            state = await asyncio.to_thread(client.inspect_container, identity)
            began(int(state["State"]["Pid"]))
            await follow(_joined(reader))
            return int((await asyncio.to_thread(client.wait, identity))["StatusCode"])
        finally:
            if writer is not None:
                writer.close()
            await asyncio.shield(asyncio.to_thread(self._remove, client, identity))

    def _remove_old(self, client: Engine) -> None:
        directory = str(self.config.directory)
        found = owned.containers(client, directory)
        owned.remove_containers(client, [item["Id"] for item in found if item["Labels"].get(owned.ROLE) == "envoy"])

    @staticmethod
    def _remove(client: Engine, identity: str) -> None:
        with suppress(Exception):  # the supervisor removes what is left
            client.remove_container(identity, force=True)


def _joined(reader: asyncio.StreamReader) -> asyncio.StreamReader:
    """Both streams of the container as one plain stream."""
    plain = asyncio.StreamReader(limit=hijack.LIMIT)

    async def pump() -> None:
        try:
            async for _, data in hijack.pieces(reader, terminal=False):
                plain.feed_data(data)
        finally:
            plain.feed_eof()

    task = asyncio.ensure_future(pump())
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    return plain
