"""``python -m halab.cluster.node --config cluster.json --node NAME [--kubeconfig FILE [--context NAME]]``.

The configuration gives addresses, directories and the agent's certificate; with a kubeconfig the node joins that API server instead of the
configuration's own.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
from contextlib import suppress
from pathlib import Path

from halab.cluster.client import Client, kubeconfig
from halab.cluster.client.client import user_agent_of
from halab.settings import ClusterConfig

from .main import run


async def _main(arguments: argparse.Namespace) -> None:
    config = ClusterConfig.load(arguments.config.read_text())
    client, client_ca = None, ""
    if arguments.kubeconfig:
        access = kubeconfig.load(arguments.kubeconfig, arguments.context)
        agent = user_agent_of(f"system:node:{arguments.node}")
        client, client_ca = Client.from_access(access, user_agent=agent), access.ca
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    with suppress(asyncio.CancelledError):
        await run(config, arguments.node, ready=lambda: print("ready", flush=True), client=client, client_ca=client_ca)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--node", required=True)
    parser.add_argument("--kubeconfig", type=Path, help="join the API server of this kubeconfig")
    parser.add_argument("--context", help="the kubeconfig's context (default: the current one)")
    logging.basicConfig(level=logging.INFO)
    asyncio.run(_main(parser.parse_args()))


if __name__ == "__main__":
    main()
