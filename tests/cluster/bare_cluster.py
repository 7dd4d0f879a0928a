"""A cluster's directory without a supervisor: configuration, keys, kubeconfig. For tests of one component, and by hand:

python tests/cluster/bare_cluster.py DIRECTORY [NUMBER]        # writes it and prints how to start the API server
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path

from halab.cluster.supervisor import pki
from halab.cluster.supervisor.credentials import kubeconfig, new_tokens
from halab.settings import LOCK_PORT, MAX_CLUSTERS, ClusterConfig


def make(directory: Path, number: int, nodes: tuple[str, ...] = ("node-1", "node-2", "node-3")) -> ClusterConfig:
    """Write ``cluster.json``, ``pki/`` and ``kubeconfig`` below ``directory``; files that exist are replaced, keys are kept."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "cluster.json"
    if path.exists():
        return ClusterConfig.load(path.read_text())
    tokens = new_tokens()
    config = ClusterConfig(directory.name, number, directory, directory.parent / "images", nodes, 20000, tokens)
    config.logs.mkdir(exist_ok=True)
    pki.create(config)
    path.write_text(config.dump())
    config.kubeconfig.write_text(kubeconfig(config))
    config.kubeconfig.chmod(0o600)
    return config


def free_number() -> tuple[int, socket.socket]:
    """A cluster number that nobody uses, and the socket that holds it while it is open."""
    for number in range(MAX_CLUSTERS, 150, -1):
        try:
            return number, socket.create_server((f"127.{number}.0.1", LOCK_PORT))
        except OSError:
            continue
    raise RuntimeError("no cluster number is free")


if __name__ == "__main__":
    made = make(Path(sys.argv[1]).absolute(), int(sys.argv[2]) if len(sys.argv) > 2 else 240)
    print(f"python -m halab.cluster.apiserver --config {made.directory}/cluster.json")
    print(f"export KUBECONFIG={made.kubeconfig}")
