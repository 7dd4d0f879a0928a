"""A way to a pod that does not lead through the API server: a small program in the container of the pod's node, which this machine dials itself.

For users of a node that the API server has lost. On Linux the containers of an engine have addresses that their machine reaches; in Docker
Desktop's machine they do not, and then there is no such way.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from halab.backends import kind_run, ways
from halab.backends.base import Address
from halab.backends.kind_run import NodeContainer
from halab.engine.image import compiled
from halab.errors import ClusterError

PROGRAM = "/halab-pod"


def open_to(node: NodeContainer, address: str, port: int) -> Address:
    """Where ``address:port`` of the cluster is dialled by way of ``node``. Raises ClusterError, MachineError."""
    if kind_run.run("docker", "exec", node.id, "test", "-x", PROGRAM).returncode:
        with tempfile.TemporaryDirectory() as folder:
            kind_run.checked("docker", "cp", str(compiled(Path(folder))), f"{node.id}:{PROGRAM}")
    said = kind_run.checked("docker", "exec", node.id, PROGRAM, "relay", address, str(port)).strip()
    format_ = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    found = kind_run.checked("docker", "inspect", "--format", format_, node.id).strip(), int(said)
    if not ways.taken(*found):
        fact = f"this machine does not reach its container at {found[0]} (Docker Desktop?)"
        raise ClusterError(
            f"node {node.name}", fact, "play this lab on halab's own cluster: halab up --backend embedded --name mine"
        )
    return found
