"""Bearer tokens of a cluster's users, and the administrator's kubeconfig."""

from __future__ import annotations

import base64
import secrets

from halab.settings import MAX_NODES, ClusterConfig

COMPONENT_USERS = ("admin", "system:apiserver", "system:kube-controller-manager", "system:kube-scheduler", "halab:dataplane")


def node_name(index: int) -> str:
    """The name of the node with this index (from 0): ``node-1`` is the first."""
    return f"node-{index + 1}"


def new_tokens() -> dict[str, str]:
    """A fresh token for every user. Nodes that do not exist yet have theirs too, so that adding one changes nothing else."""
    nodes = (f"system:node:{node_name(index)}" for index in range(MAX_NODES))
    return {user: secrets.token_urlsafe(24) for user in (*COMPONENT_USERS, *nodes)}


def kubeconfig(config: ClusterConfig) -> str:
    """The administrator's kubeconfig, whole in one file."""
    name = context_name(config.name)
    authority = base64.b64encode(config.ca_file.read_bytes()).decode()
    return f"""\
apiVersion: v1
kind: Config
clusters:
- name: {name}
  cluster:
    server: {config.server}
    certificate-authority-data: {authority}
users:
- name: {name}
  user:
    token: {config.tokens["admin"]}
contexts:
- name: {name}
  context:
    cluster: {name}
    user: {name}
    namespace: default
current-context: {name}
"""


def context_name(cluster: str) -> str:
    return "halab" if cluster == "default" else f"halab-{cluster}"
