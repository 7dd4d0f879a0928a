"""The scheduler as a component: ``run`` inside the supervisor's process, or ``python -m halab.cluster.scheduler`` against any cluster."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from halab.cluster.client import Client, Identity, LeaderElector
from halab.cluster.scheduler.loop import Scheduler
from halab.settings import ClusterConfig

log = logging.getLogger(__name__)

USER = "system:kube-scheduler"
LEASE = "kube-scheduler"


async def run(config: ClusterConfig, *, ready: Callable[[], None]) -> None:
    """Schedule while this process holds the Lease ``kube-scheduler``; until cancelled. ``ready`` is called when it has begun to compete."""
    client = Client.from_config(config, USER)
    identity = Identity(config.directory / "leases", LEASE)
    await lead(client, identity, ready=ready)


async def lead(client: Client, identity: Identity, *, ready: Callable[[], None]) -> None:
    elector = LeaderElector(client, LEASE, identity.name)
    ready()
    try:
        await elector.run(lambda: Scheduler(client).run())
    finally:
        identity.release()
        client.close()


def main() -> None:
    """Stand-alone: ``--config cluster.json`` or ``--kubeconfig PATH``."""
    import argparse
    from pathlib import Path

    parser = argparse.ArgumentParser(prog="python -m halab.cluster.scheduler", description=run.__doc__)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--config", type=Path, help="cluster.json of an embedded cluster")
    source.add_argument("--kubeconfig", type=Path, help="a kubeconfig; its current context is used")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname).1s %(name)s %(message)s")
    if arguments.config:
        work = run(ClusterConfig.load(arguments.config.read_text()), ready=lambda: None)
    else:
        work = lead(Client.from_kubeconfig(arguments.kubeconfig), Identity(None, LEASE), ready=lambda: None)
    try:
        asyncio.run(work)
    except KeyboardInterrupt:
        log.info("stopped")
