"""The kind and docker programs, run and understood: progress line by line, and known failures explained with what to do."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from halab.errors import ClusterError, HalabError, MachineError

CLUSTER_LABEL = "io.x-k8s.kind.cluster"
ROLE_LABEL = "io.x-k8s.kind.role"
SECONDS = 120
STEP = re.compile(r"^\s*[•✓✗]\s*(?P<text>.*?)[\s.]*(?:[^\w\s.,()'-]+[\s\W]*)?$")

# What is found in kind's or the engine's output -> what it means, what to do.
KNOWN: tuple[tuple[str, str, str], ...] = (
    (r"unable to apply caps|operation not permitted.*caps", "this machine does not allow privileged containers", "halab up --backend embedded"),
    (r"too many open files|failed to create fsnotify watcher", "inotify limits are too low for so many nodes", "sudo sysctl fs.inotify.max_user_watches=524288 fs.inotify.max_user_instances=512"),
    (r"failed to pull image|pull access denied|manifest unknown|no such host|i/o timeout.*registry|TLS handshake timeout|connection refused.*/v2/", "an image cannot be pulled: the nodes', or with three control planes that of kind's load balancer", "check the network or proxy; or load it (docker load -i FILE) and set HALAB_KIND_IMAGE"),
    (r"port is already allocated|address already in use", "a port of this machine is taken", "free it, or choose others: halab up --backend kind --http-port PORT --https-port PORT"),
    (r"all predefined address pools have been fully subnetted|Pool overlaps", "Docker has no free subnet for kind's network", "docker network prune; a VPN's range may clash too"),
    (r"[Cc]annot connect to the Docker daemon|docker daemon running", "no Docker engine answers", "start Docker"),
    (r"permission denied.*docker\.sock", "Docker's socket may not be opened", "sudo usermod -aG docker $USER, then log in again"),
    (r"not run on a host using cgroup v1|unified cgroup|could not find a log line that matches.*Multi-User System", "the node's system did not come up, most often for cgroup reasons", "see halab doctor: cgroup; a 1.34 node image runs on cgroup v1"),
    (r"no space left on device", "the disk is full", "docker system prune"),
    (r"kubelet is not (healthy|running)|timed out waiting for the condition", "the control plane did not come up in time", "more memory or fewer nodes: halab up --backend kind --nodes 2"),
)  # fmt: skip


def explained(subject: str, text: str, more: str = "") -> HalabError:
    """The error that a learner can act on; the program's own words where the failure is not a known one. ``more`` is what others said, nodes' logs."""
    for said in (text, more):
        for pattern, meaning, remedy in KNOWN:
            if found := re.search(rf"[^\n]*(?:{pattern})[^\n]*", said, re.IGNORECASE):
                return MachineError(subject, f"{meaning} ({found[0].strip()[:240]})", remedy)
    words = [line.strip() for line in text.partition("Stack Trace")[0].splitlines() if line.strip()]
    error = next((index for index, line in enumerate(words) if line.startswith("ERROR:")), max(0, len(words) - 3))
    return ClusterError(
        subject, " / ".join(words[error : error + 4])[:700] or "failed without a word", "halab doctor may know more"
    )


def environment() -> dict[str, str]:
    """Nodes are Docker's, also where kind would rather take Podman or nerdctl: what looks for them asks docker."""
    return os.environ | {"KIND_EXPERIMENTAL_PROVIDER": "docker"}


def run(*command: str, seconds: float = SECONDS, text: str | None = None) -> subprocess.CompletedProcess[str]:
    """``text`` is the program's standard input."""
    try:
        return subprocess.run(
            command, input=text, capture_output=True, text=True, timeout=seconds, check=False, env=environment()
        )
    except FileNotFoundError:
        raise MachineError(command[0], "is not installed", "see: halab doctor") from None
    except subprocess.TimeoutExpired:
        raise ClusterError(" ".join(command[:3]), f"has not ended in {seconds:.0f} s", "see: docker ps") from None


def checked(*command: str, seconds: float = SECONDS, text: str | None = None) -> str:
    done = run(*command, seconds=seconds, text=text)
    if done.returncode:
        raise explained(" ".join(command[:3]), done.stderr + done.stdout)
    return done.stdout


def create(name: str, config: Path, kubeconfig: Path, report: Callable[[str], None]) -> None:
    """``kind create cluster``, its steps reported. Raises what ``explained`` makes of a failure; kind's nodes are then still there (retained)."""
    command = ["kind", "create", "cluster", "--name", name, "--config", str(config), "--kubeconfig", str(kubeconfig), "--retain"]
    try:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment())
    except FileNotFoundError:
        raise MachineError("kind", "is not installed", "see: halab doctor") from None
    lines: list[str] = []
    try:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            if text := step(line):
                report(text)
        status = process.wait()
    except BaseException:
        process.terminate()
        process.wait(30)
        raise
    if status:
        raise explained(f"kind cluster {name}", "".join(lines), last_words(name))


def step(line: str) -> str:
    """`` ✓ Preparing nodes 📦`` -> ``kind: preparing nodes``; empty for other lines (a step's beginning is told, not its end)."""
    if not line.lstrip().startswith("•"):
        return ""
    found = STEP.match(line.rstrip("\n"))
    text = re.sub(r"[^\w\s()./:-]", "", found["text"]).strip() if found else ""
    return f"kind: {text[:1].lower()}{text[1:]}" if text else ""


@dataclass(frozen=True, slots=True)
class NodeContainer:
    """A node of a kind cluster as the engine has it. ``state`` is running, exited, paused ..."""

    id: str
    name: str
    state: str
    role: str


def nodes(cluster: str) -> list[NodeContainer]:
    """The containers that carry the cluster's label, the control plane first."""
    output = checked("docker", "ps", "-a", "--no-trunc", "--filter", f"label={CLUSTER_LABEL}={cluster}", "--format", "{{json .}}")
    found = []
    for line in output.splitlines():
        raw: dict[str, Any] = json.loads(line)
        labels = dict(item.split("=", 1) for item in str(raw["Labels"]).split(",") if "=" in item)
        if labels.get(CLUSTER_LABEL) == cluster:
            found.append(NodeContainer(raw["ID"], raw["Names"], str(raw["State"]), labels.get(ROLE_LABEL, "")))
    return sorted(found, key=lambda node: (node.role != "control-plane", node.name))


def engine_id() -> str:
    """Of the engine of the active Docker context: the same name may be a cluster on another one."""
    return checked("docker", "info", "--format", "{{.ID}}").strip()


def network_exists() -> bool:
    """Whether there is a network ``kind`` already, which then is not ours to remove."""
    return bool(checked("docker", "network", "ls", "-q", "--filter", "name=^kind$").strip())


def last_words(cluster: str) -> str:
    """The ends of the nodes' logs: what a failed creation leaves behind."""
    try:
        there = nodes(cluster)
    except HalabError:
        return ""
    return "".join(f"\n{node.name} ({node.state}): {_tail(run('docker', 'logs', '--tail', '15', node.id))}" for node in there)


def _tail(done: subprocess.CompletedProcess[str]) -> str:
    return (done.stdout + done.stderr)[-1500:]


def delete(cluster: str, kubeconfig: Path) -> None:
    checked("kind", "delete", "cluster", "--name", cluster, "--kubeconfig", str(kubeconfig))


def load(cluster: str, archive: Path, only: Sequence[str] = ()) -> None:
    words = ["--nodes", ",".join(only)] if only else []
    checked("kind", "load", "image-archive", str(archive), "--name", cluster, *words, seconds=600)
