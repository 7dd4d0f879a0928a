"""``python -m halab.cluster.controllers --config cluster.json | --kubeconfig FILE [--context NAME]``."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from pathlib import Path

from halab.cluster.client import Client, Identity, kubeconfig
from halab.cluster.controllers.base import Context
from halab.cluster.controllers.main import LEASE, run, run_with
from halab.settings import KUBERNETES_VERSION, ClusterConfig


async def _main(arguments: argparse.Namespace) -> None:
    def ready() -> None:
        print("ready", flush=True)

    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    try:
        if arguments.config:
            await run(ClusterConfig.load(arguments.config.read_text()), ready=ready)
        else:
            access = kubeconfig.load(arguments.kubeconfig, arguments.context)
            client = Client.from_access(access, user_agent=f"kube-controller-manager/{KUBERNETES_VERSION} (halab)")
            await run_with(Context(client, root_ca=access.ca), Identity(None, LEASE).name, ready=ready)
    except asyncio.CancelledError:
        pass


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m halab.cluster.controllers", description=__doc__)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--config", type=Path, help="cluster.json of an embedded cluster")
    source.add_argument("--kubeconfig", type=Path, help="an administrator's kubeconfig of any cluster")
    parser.add_argument("--context", help="the kubeconfig's context (default: the current one)")
    parser.add_argument("--verbose", action="store_true")
    arguments = parser.parse_args()
    logging.basicConfig(
        level=logging.DEBUG if arguments.verbose else logging.INFO,
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    asyncio.run(_main(arguments))
    return 0


if __name__ == "__main__":
    sys.exit(main())
