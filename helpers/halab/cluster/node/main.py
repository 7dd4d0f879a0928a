"""Entry of a node agent: ``run`` in a forked component, ``python -m halab.cluster.node`` by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from halab.aio.http import serve
from halab.cluster.client import Client, EventRecorder, Informer
from halab.cluster.kube.kinds import SERVICES
from halab.images import ImageStore
from halab.settings import DOCKER, KUBELET_PORT, ClusterConfig

from . import clockfile, registration
from .agent import Agent
from .node import AddressPool, Node
from .pulling import Puller
from .runtime import Runtime
from .runtime.process import ProcessRuntime
from .server.app import Server


def make_node(config: ClusterConfig, node_name: str, store: object | None = None, client: Client | None = None) -> Node:
    """The node ``node_name`` of the cluster. ``store`` stands in for the image store in tests; ``client`` leads to another API server than ours."""
    client = client or Client.from_config(config, f"system:node:{node_name}")
    runtime, puller = _runtime(config, node_name, store)
    index = config.nodes.index(node_name)
    node = Node(
        config=config,
        name=node_name,
        index=index,
        client=client,
        runtime=runtime,
        puller=puller,
        events=EventRecorder(client, "kubelet", node_name),
        services=Informer(client, SERVICES),
        addresses=AddressPool(config.addresses.pod_cidr(index)),
    )
    node.directory.mkdir(parents=True, exist_ok=True)
    clockfile.write(node.directory, 0)
    node.allocatable = registration.capacity(node.directory)
    return node


def _runtime(config: ClusterConfig, node_name: str, store: object | None) -> tuple[Runtime, Puller]:
    """What runs the node's containers, and where their images come from. Raises MachineError where an engine does not answer."""
    if config.runtime != DOCKER:
        return ProcessRuntime(), Puller(store or ImageStore(config.images))  # type: ignore[arg-type]
    from halab.engine.client import connect

    from .runtime.docker import DockerImages, DockerRuntime

    engine = connect(config.engine)
    images = DockerImages(engine, config)
    return DockerRuntime(engine, config, node_name), Puller(images, images.fetch)


async def run(
    config: ClusterConfig,
    node_name: str,
    *,
    ready: Callable[[], None],
    store: object | None = None,
    client: Client | None = None,
    client_ca: str = "",
) -> None:
    """Run the agent until cancelled. ``ready`` is called once the node is registered, serves, and knows its pods.

    ``client`` leads to an API server that is not the configuration's own; ``client_ca`` (PEM) is the authority whose certificates its
    clients come with."""
    node = make_node(config, node_name, store, client)
    agent = Agent(node)
    serving: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    server = asyncio.create_task(
        serve(
            Server(agent, client),
            node.own_address,
            KUBELET_PORT,
            config.certificate,
            config.key,
            client_ca=client_ca,
            on_ready=lambda: serving.set_result(None),
        )
    )
    tasks: list[asyncio.Task[None]] = [server]
    try:
        await node.runtime.open()
        await asyncio.wait([server, serving], return_when=asyncio.FIRST_COMPLETED)
        if server.done():
            server.result()
        registered = await registration.register(node)
        tasks.append(asyncio.create_task(registration.heartbeat(node, registered), name="heartbeat"))
        await agent.start()
        ready()
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await agent.stop()
        await asyncio.gather(*tasks, return_exceptions=True)
        await node.runtime.close()
        node.client.close()
