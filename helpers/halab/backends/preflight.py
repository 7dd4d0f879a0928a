"""What kind needs of this machine, tried before a cluster is made: each finding with its remedy. Pure rules over what a few programs say."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from halab.backends.findings import Finding
from halab.backends.kind_config import node_image, node_minor
from halab.cluster.supervisor import layout
from halab.engine.client import socket_path
from halab.errors import MachineError

CAP_SYS_RESOURCE = 24
SECONDS = 20
WATCHES, INSTANCES = 524288, 512  # of inotify: kind's own advice for several nodes
DISK_MB, MEMORY_MB = 8000, 4000
NETWORK_POLICY = (0, 24)  # from this kind on, its network enforces NetworkPolicies
SKEW = 1  # minor versions that kubectl may be apart from the API server


def embedded_exists(name: str) -> bool:
    return (layout.directory_of(name) / layout.CONFIG).exists()


def _said(*command: str) -> tuple[int, str, str]:
    """Exit status, output, errors; 127 where the program is not there."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except FileNotFoundError:
        return 127, "", "not found"
    except subprocess.TimeoutExpired:
        return 124, "", f"no answer in {SECONDS} s"
    return done.returncode, done.stdout.strip(), done.stderr.strip()


def kind_findings() -> list[Finding]:
    """In the order in which one would mend things; the rest is not looked at where no engine answers."""
    found = [*kind_program(), *kubectl_program()]
    status, output, errors = _said("docker", "info", "--format", "{{json .}}")
    info: dict[str, Any] = {}
    if status == 0:
        info = json.loads(output)
        errors = "; ".join(info.get("ServerErrors") or ())
    if status or errors:
        return [docker_missing(status, errors), *found]
    if elsewhere := engine_elsewhere():
        return [elsewhere, *found]
    return [*engine(info, _bounding()), *kernel(), *found]


def engine_elsewhere() -> Finding | None:
    """kind has the API server and the ways in listen at 127.0.0.1 of the engine's machine: another machine's are not here."""
    try:
        socket_path()
    except MachineError as error:
        fact = f"the engine is not on this machine ({error.fact.partition(' ')[0]}), so kind's ports would not be, either"
        return Finding("docker", "fail", fact, "docker context use default, or: unset DOCKER_HOST")
    return None


def docker_missing(status: int, errors: str) -> Finding:
    if status == 127:
        return Finding(
            "docker", "fail", "is not installed", "sudo apt-get install docker.io, or see https://docs.docker.com/engine/install/"
        )
    if "permission denied" in errors.lower():
        return Finding("docker", "fail", "its socket may not be opened", "sudo usermod -aG docker $USER, then log in again")
    first = errors.splitlines()[-1] if errors else "no engine answers"
    return Finding("docker", "fail", first[:200], "start it: sudo systemctl start docker (or Docker Desktop)")


def engine(info: dict[str, Any], bounding: int) -> Iterator[Finding]:
    """``info`` is ``docker info``, ``bounding`` this process's capability bounding set."""
    version = info.get("ServerVersion", "of unknown version")
    desktop = "Docker Desktop" in str(info.get("OperatingSystem"))
    if not desktop and not bounding >> CAP_SYS_RESOURCE & 1:
        fact = f"engine {version}; privileged containers (kind's nodes) will fail: unable to apply caps (CAP_SYS_RESOURCE is missing)"
        yield Finding("docker", "fail", fact, "use the embedded cluster: halab up --backend embedded")
    else:
        yield Finding("docker", "ok", f"engine {version}" + (" (Docker Desktop)" if desktop else ""))
    options = " ".join(info.get("SecurityOptions") or ())
    cgroup = str(info.get("CgroupVersion") or "1")
    if "rootless" in options and cgroup != "2":
        yield Finding(
            "docker mode", "fail", "rootless on cgroup v1: kind's nodes cannot start", "use cgroup v2, or an engine run by root"
        )
    if "/snap/" in str(info.get("DockerRootDir")):
        fact = "installed as a snap: it cannot see files in /tmp, which kind hands to it"
        yield Finding("docker mode", "warn", fact, "export TMPDIR=$HOME/tmp, or install docker.io")
    minor = node_minor()
    if cgroup != "2" and minor >= 35:
        fact = f"v1, on which the kubelet of Kubernetes 1.{minor} does not start"
        yield Finding(
            "cgroup", "fail", fact, "boot with systemd.unified_cgroup_hierarchy=1, or set HALAB_KIND_IMAGE to a 1.34 node image"
        )
    else:
        yield Finding("cgroup", "ok", f"v{cgroup}")
    memory = int(info.get("MemTotal") or 0) >> 20
    if memory and memory < MEMORY_MB:
        yield Finding(
            "docker memory", "warn", f"{memory} MB; four nodes like {MEMORY_MB}", "give Docker more, or: halab up --nodes 2"
        )
    root = Path(str(info.get("DockerRootDir") or "/var/lib/docker"))
    place = next((path for path in (root, *root.parents) if path.exists()), Path("/"))
    if not desktop and (free := shutil.disk_usage(place).free >> 20) < DISK_MB:
        yield Finding("docker disk", "warn", f"{free} MB free in {root}; nodes and images take {DISK_MB}", "docker system prune")


def _bounding() -> int:
    found = re.search(r"^CapBnd:\s*(\w+)", Path("/proc/self/status").read_text(), re.MULTILINE)
    return int(found[1], 16) if found else ~0


def kernel(root: Path = Path("/proc/sys/fs/inotify")) -> Iterator[Finding]:
    """inotify: what most often keeps a kind cluster of several nodes from coming up ("too many open files")."""
    for name, least in (("max_user_watches", WATCHES), ("max_user_instances", INSTANCES)):
        file = root / name
        if file.exists() and (value := int(file.read_text())) < least:
            yield Finding(
                "inotify",
                "warn",
                f"fs.inotify.{name} is {value}: nodes may fail with 'too many open files'",
                f"sudo sysctl fs.inotify.{name}={least}",
            )


def kind_version() -> tuple[int, int] | None:
    found = re.search(r"v(\d+)\.(\d+)", _said("kind", "version")[1])
    return (int(found[1]), int(found[2])) if found else None


def kind_program() -> Iterator[Finding]:
    version = kind_version()
    if version is None:
        yield Finding("kind", "fail", "is not installed", "see https://kind.sigs.k8s.io/docs/user/quick-start/#installation")
        return
    text = f"v{version[0]}.{version[1]}, node image {node_image(version) or 'its own default'}"
    if version < NETWORK_POLICY:
        yield Finding("kind", "warn", f"{text}; NetworkPolicies are not enforced by it", "take kind v0.24 or newer")
    else:
        yield Finding("kind", "ok", text)


def kubectl_program() -> Iterator[Finding]:
    status, output, _ = _said("kubectl", "version", "--client", "-o", "json")
    if status:
        yield Finding(
            "kubectl",
            "fail",
            "is not on PATH",
            "sudo apt-get install kubernetes-client, or see https://kubernetes.io/docs/tasks/tools/",
        )
        return
    version = json.loads(output)["clientVersion"]
    digits = re.match(r"\d+", version["minor"])
    minor = int(digits[0]) if digits else 0
    if abs(minor - node_minor()) > SKEW:
        fact = f"{version['gitVersion']} and a cluster of 1.{node_minor()} are more than {SKEW} minor version apart; most of it will work"
        yield Finding("version skew", "warn", fact, f"install kubectl 1.{node_minor()}")


def port_is_free(port: int, host: str = "127.0.0.1") -> bool:
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind((host, port))
        except OSError:
            return False
    return True
