"""The controller manager: all controllers over one client and one set of caches, acting while this process leads.

``run`` is what the supervisor calls; ``python -m halab.cluster.controllers`` runs it on a configuration or, on any conforming
cluster, on a kubeconfig. The caches fill while leadership is still being sought, so a stand-by takes over at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from halab.cluster.client import Client, Identity, LeaderElector
from halab.cluster.controllers.base import Context, Controller
from halab.cluster.controllers.catalogue import CONTROLLERS
from halab.settings import ClusterConfig

log = logging.getLogger(__name__)

USER = "system:kube-controller-manager"
LEASE = "kube-controller-manager"
RELEASE_SECONDS = 1.0  # the API server may be gone before us


async def run(config: ClusterConfig, *, ready: Callable[[], None]) -> None:
    """The embedded cluster's controllers, until cancelled. ``ready`` is called once the caches are filled and this process leads."""
    identity = Identity(config.directory, LEASE)
    try:
        await run_with(Context(Client.from_config(config, USER), config), identity.name, ready=ready)
    finally:
        identity.release()


async def run_with(
    context: Context,
    identity: str,
    *,
    ready: Callable[[], None] = lambda: None,
    controllers: Sequence[type[Controller]] = CONTROLLERS,
) -> None:
    """``controllers`` over ``context`` while the Lease is held by ``identity``, until cancelled."""
    elector = LeaderElector(context.client, LEASE, identity)
    made = [controller(context) for controller in controllers]
    context.informers.start()
    try:
        await elector.run(lambda: _lead(context, made, ready))
    finally:
        try:
            await asyncio.wait_for(elector.release(), RELEASE_SECONDS)
        except (TimeoutError, asyncio.CancelledError):
            pass
        await context.informers.stop()
        context.client.close()


async def _lead(context: Context, controllers: Sequence[Controller], ready: Callable[[], None]) -> None:
    await context.informers.synced()
    ready()
    async with asyncio.TaskGroup() as group:
        for controller in controllers:
            group.create_task(controller.run(), name=controller.name)
