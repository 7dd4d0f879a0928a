"""``python -m halab.cluster.node --config cluster.json --node NAME``."""

from __future__ import annotations

import argparse
import asyncio
import logging
from pathlib import Path

from halab.settings import ClusterConfig

from .main import run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--node", required=True)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    config = ClusterConfig.load(arguments.config.read_text())
    asyncio.run(run(config, arguments.node, ready=lambda: print("ready", flush=True)))


if __name__ == "__main__":
    main()
