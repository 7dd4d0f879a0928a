"""The configuration that kind is given: nodes, labels, ports, and the node image pinned by digest. Pure.

Every field is explained where it is written, because learners may read the file: ``$HALAB_HOME/backends/NAME/kind.yaml``.
"""

from __future__ import annotations

import os
import re

from halab.errors import UsageError
from halab.settings import KUBERNETES_MINOR

IMAGE_SETTING = "HALAB_KIND_IMAGE"
# A node image belongs to the kind that it was built for: these digests are those of kind's release notes (v0.33.0: "Images pre-built for this
# release") and of pkg/apis/config/defaults/image.go at v0.30.0. The name has no host: the engine's own default registry or mirror is asked. Others take kind's own default, which kind itself pins by digest.
IMAGES = {
    (0, 33): "kindest/node:v1.34.11@sha256:44e222ee2132dab25ff87301682f89eb82c7880ea3a1bf543bfe9708fd08d67d",
    (0, 30): "kindest/node:v1.34.0@sha256:7416a61b42b1662ca6ca89f02028ac133a309a2a30ba309614e8ec94d976dc5a",
}
HTTP_NODE_PORT, HTTPS_NODE_PORT = 30080, 30443  # of the gateway's Service (manifests/gateway.yaml)
LOOPBACK = "127.0.0.1"


def node_image(kind: tuple[int, int], given: str = "") -> str:
    """``given``, else ``$HALAB_KIND_IMAGE``, else the pinned one for this kind; empty for kind's own default."""
    return given or os.environ.get(IMAGE_SETTING, "") or IMAGES.get(kind, "")


def node_minor(image: str = "") -> int:
    """The minor version of Kubernetes in ``image`` (or the setting); that of the course where it does not tell."""
    found = re.search(r":v1\.(\d+)", image or os.environ.get(IMAGE_SETTING, ""))
    return int(found[1]) if found else int(KUBERNETES_MINOR.partition(".")[2])


def config(name: str, *, workers: int, control_planes: int, image: str, http: int, https: int) -> str:
    """kind's YAML. ``http`` and ``https`` are the ports of this machine that lead to the gateway. Raises UsageError."""
    if control_planes not in (1, 3):
        raise UsageError(f"{control_planes} control planes", "make no quorum that a learner could reason about", "take 1 or 3")
    if not 0 <= workers <= 12:
        raise UsageError(f"{workers} workers", "is out of range", "take 0 to 12")
    lines = [
        f"# Made by halab for the kind cluster {name}. What it means: https://kind.sigs.k8s.io/docs/user/configuration/",
        "kind: Cluster",
        "apiVersion: kind.x-k8s.io/v1alpha4",
        f"name: {name}",
        "networking:",
        f"  apiServerAddress: {LOOPBACK} # the API is for this machine alone",
        "containerdConfigPatches: # where nodes look up registries by name: node images before kind v0.27 must be told",
        "  - |-",
        '    [plugins."io.containerd.grpc.v1.cri".registry]',
        '      config_path = "/etc/containerd/certs.d"',
        "nodes:",
    ]
    for index in range(control_planes):
        lines += _node("control-plane", image)
        if index == 0:
            lines += [
                "    extraPortMappings: # the gateway's NodePorts; every node answers at them, this one leads there",
                *_mapping(HTTP_NODE_PORT, http),
                *_mapping(HTTPS_NODE_PORT, https),
            ]
    for index in range(workers):
        lines += [
            *_node("worker", image),
            "    labels: # zones to spread over",
            f"      topology.kubernetes.io/zone: zone-{'abc'[index % 3]}",
        ]
    return "\n".join(lines) + "\n"


def _node(role: str, image: str) -> list[str]:
    return [f"  - role: {role}", *([f"    image: {image}"] if image else [])]


def _mapping(container: int, host: int) -> list[str]:
    return [f"      - containerPort: {container}", f"        hostPort: {host}", f"        listenAddress: {LOOPBACK}"]
