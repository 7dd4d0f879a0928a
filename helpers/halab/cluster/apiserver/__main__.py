"""``python -m halab.cluster.apiserver --config cluster.json``: an API server by itself, for people who study or replace components."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
from pathlib import Path

import uvloop

from halab.cluster.apiserver.main import run
from halab.settings import API_PORT, ClusterConfig


async def serve(config: ClusterConfig, host: str, port: int) -> None:
    task = asyncio.ensure_future(run(config, ready=lambda: print("ready", flush=True), host=host, port=port))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m halab.cluster.apiserver", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="the cluster's cluster.json")
    parser.add_argument("--host", default="", help="the address to listen on (default: the cluster's own)")
    parser.add_argument("--port", type=int, default=API_PORT)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    uvloop.run(serve(ClusterConfig.load(arguments.config.read_text()), arguments.host, arguments.port))


if __name__ == "__main__":
    main()
