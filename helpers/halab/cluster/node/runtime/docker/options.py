"""What a pod's containers are to be, in the words of the engine's API (``POST /containers/create``). Pure: values in, values out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from halab.cluster.node.runtime.base import ContainerSpec, PodSandbox
from halab.sandbox import Mount
from halab.sandbox.spec import CAPABILITIES

LOG_BYTES = "10m"  # of the engine's own copy of a container's output, which `docker logs` shows; kubectl's is the agent's
NO_CHECK = {"Test": ["NONE"]}  # an image's HEALTHCHECK means nothing to Kubernetes
SHORT_NAME = 40
TABLES = "/policies"  # in a sandbox


def container_name(pod: PodSandbox, container: str, attempt: str) -> str:
    """As Kubernetes named its containers when it still drove Docker, so that ``docker ps`` can be read."""
    return "_".join(("k8s", container[:SHORT_NAME], pod.name[:SHORT_NAME], pod.namespace[:SHORT_NAME], pod.uid, attempt))


def pod_labels(pod: PodSandbox, container: str) -> dict[str, str]:
    return {
        "io.kubernetes.pod.name": pod.name,
        "io.kubernetes.pod.namespace": pod.namespace,
        "io.kubernetes.pod.uid": pod.uid,
        "io.kubernetes.container.name": container,
    }


def sandbox_options(
    pod: PodSandbox, image: str, network: str, gateway: str, labels: Mapping[str, str], policies: Path
) -> dict[str, Any]:
    """The sandbox: an address, a host name, and a firewall that keeps what the tables in ``policies`` say of its address.

    It may change its own network namespace and nothing else. On the "host's network" it shares the gateway's, which nobody limits.
    """
    host: dict[str, Any] = {
        "NetworkMode": f"container:{gateway}" if pod.host_network else network,
        "IpcMode": "shareable",
        "CapDrop": ["ALL"],
        "ReadonlyRootfs": True,
        "LogConfig": {"Type": "none"},
        "SecurityOpt": ["no-new-privileges"],
    }
    found: dict[str, Any] = {
        "Image": image,
        "Cmd": ["hold"],
        "Labels": {**labels, **pod_labels(pod, "POD")},
        "OpenStdin": True,  # the agent holds the other end: when it dies, so does the pod's network
        "StdinOnce": True,
        "HostConfig": host,
    }
    if not pod.host_network:
        host["CapAdd"] = ["NET_ADMIN"]
        host["Mounts"] = [_mount(Mount(policies, TABLES, read_only=True))]
        found["Cmd"] = ["hold", "-l", f"{TABLES}/{pod.address}"]
        host["Sysctls"] = {"net.ipv4.ip_unprivileged_port_start": "0"}
        found["Hostname"] = pod.hostname
        found["NetworkingConfig"] = {"EndpointsConfig": {network: {"IPAMConfig": {"IPv4Address": pod.address}}}}
    return found


def limit_options(memory: int, cpu: float) -> dict[str, int]:
    """Bytes and cores as the engine's limits; 0 is none."""
    limits = {"Memory": memory, "MemorySwap": memory} if memory else {}
    if cpu:
        limits["NanoCpus"] = max(10_000_000, int(cpu * 1e9))  # the engine takes no less than a hundredth of a core
    return limits


def container_options(
    pod: PodSandbox,
    spec: ContainerSpec,
    sandbox: str,
    labels: Mapping[str, str],
    files: Mapping[str, Path],
    target: str = "",
) -> dict[str, Any]:
    """One container in the sandbox with the id ``sandbox``. ``files`` are shown at their paths; ``target`` is a container whose processes it sees."""
    mounts = [*spec.mounts, *(Mount(source, place) for place, source in files.items())]
    shared = target or (sandbox if pod.share_processes else "")
    host: dict[str, Any] = {
        "NetworkMode": f"container:{sandbox}",
        "IpcMode": f"container:{sandbox}",
        "PidMode": f"container:{shared}" if shared else "",
        "Mounts": [_mount(each) for each in mounts],
        "GroupAdd": [str(group) for group in spec.user.groups],
        "ReadonlyRootfs": spec.read_only_root,
        "Privileged": spec.privileged,
        "LogConfig": {"Type": "json-file", "Config": {"max-size": LOG_BYTES, "max-file": "1"}},
    }
    if not spec.privileged:
        host["CapDrop"] = ["ALL"]
        host["CapAdd"] = [name for bit, name in enumerate(CAPABILITIES) if spec.capabilities >> bit & 1]
    if spec.no_new_privileges:
        host["SecurityOpt"] = ["no-new-privileges"]
    host |= limit_options(spec.memory, spec.cpu)
    return {
        "Image": spec.image,
        "Entrypoint": list(spec.argv[:1]),
        "Cmd": list(spec.argv[1:]),
        "Env": [f"{name}={value}" for name, value in spec.env.items()],
        "WorkingDir": spec.cwd,
        "User": f"{spec.user.uid}:{spec.user.gid}",
        "Tty": spec.terminal,
        "OpenStdin": spec.stdin,
        "StdinOnce": spec.stdin_once,  # then the end of the first client's input, which the agent passes on, is the program's
        "StopSignal": spec.stop_signal,
        "Healthcheck": NO_CHECK,
        "Labels": {**labels, **pod_labels(pod, spec.name)},
        "HostConfig": host,
    }


def _mount(mount: Mount) -> dict[str, Any]:
    return {"Type": "bind", "Source": str(mount.source), "Target": mount.target, "ReadOnly": mount.read_only}
