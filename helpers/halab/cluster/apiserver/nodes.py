"""The node agents as servers: where each listens, and what it says of its resource use.

Summaries (``/stats/summary``) are kept for a short while, so that several readers of metrics cost one question a node.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import orjson

from halab.cluster.apiserver import forward
from halab.cluster.apiserver.forward import Target
from halab.cluster.kube import kinds, status
from halab.cluster.kube.status import ApiError
from halab.cluster.store.store import Store
from halab.settings import KUBELET_PORT, ClusterConfig

Obj = dict[str, Any]
KEPT_SECONDS = 2.0
WAIT_SECONDS = 3.0


def node_target(store: Store, config: ClusterConfig, name: str) -> Target:
    """The agent of a node. Raises 404 if there is no such node.

    A node of this cluster is known by its certificate and told a token. Any other may be anybody's, so it is told no secret: like
    kube-apiserver without ``--kubelet-certificate-authority`` this server does not verify it, and proves itself with a client certificate.
    """
    entry = store.get(kinds.NODES.storage, "", name)
    if entry is None:
        raise status.not_found(kinds.NODES, name)
    state = entry.obj().get("status") or {}
    by_type = {address["type"]: address["address"] for address in state.get("addresses") or ()}
    host = by_type.get("InternalIP") or by_type.get("Hostname") or by_type.get("ExternalIP") or ""
    if not host:
        raise status.internal(f"no preferred addresses found; known addresses: {list(by_type.items())}")
    port = ((state.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}).get("Port") or KUBELET_PORT
    if name not in config.nodes or host != config.addresses.node(index := config.nodes.index(name)):
        return Target(host, port, forward.kubelet_context(config.kubelet_certificate, config.kubelet_key))
    host = config.addresses.kubelet(index)
    return Target(host, port, forward.tls_context(config.ca_file), config.tokens.get("system:apiserver", ""))


class Summaries:
    """The latest summary of each node."""

    def __init__(self, store: Store, config: ClusterConfig) -> None:
        self.store = store
        self.config = config
        self._kept: dict[str, tuple[float, Obj | None]] = {}
        self._asking: dict[str, asyncio.Task[Obj | None]] = {}

    async def of(self, node: str) -> Obj | None:
        """A node's summary; None if its agent does not answer."""
        kept = self._kept.get(node)
        if kept is not None and time.monotonic() - kept[0] < KEPT_SECONDS:
            return kept[1]
        task = self._asking.get(node)
        if task is None:
            task = self._asking[node] = asyncio.create_task(self._ask(node))
            task.add_done_callback(lambda _: self._asking.pop(node, None))
        return await asyncio.shield(task)

    async def _ask(self, node: str) -> Obj | None:
        summary: Obj | None = None
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                answer = await forward.stream(node_target(self.store, self.config, node), "GET", "/stats/summary")
                body = await answer.read()
            if answer.status == 200:
                summary = orjson.loads(body)
        except (ApiError, TimeoutError, OSError, orjson.JSONDecodeError):
            summary = None
        self._kept[node] = (time.monotonic(), summary)
        return summary
