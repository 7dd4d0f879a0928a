"""The failure catalogue on kind: nodes are containers of the engine, their pods' containers are containerd's inside them.

Every action begins by finding the target among the containers that halab made for this cluster; nothing else is ever named to the engine.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from halab.backends import controls, kind_run
from halab.backends.controls import Answer, Unreachable, Vanished
from halab.backends.kind_run import NodeContainer
from halab.cluster.supervisor.files import private_directory
from halab.errors import UsageError

ACTIONS = {"stop": ("stop", "--time", "5"), "start": ("start",), "kill": ("kill",), "pause": ("pause",), "resume": ("unpause",)}
UNITS = {
    "stop": "stop",
    "start": "start",
    "kill": "kill --signal=KILL",
    "pause": "kill --signal=STOP",
    "resume": "kill --signal=CONT",
}
MANIFESTS, ASIDE = "/etc/kubernetes/manifests", "/etc/kubernetes/halab-stopped"
GONE = (
    "for i in $(seq 60); do ids=$(crictl ps -q --name '^{name}$'); [ -n \"$ids\" ] || exit 0; "
    "crictl stop --timeout 1 $ids >/dev/null; sleep 0.5; done; echo {name} still runs >&2; exit 1"
)
STATIC = {"apiserver": "kube-apiserver", "controllers": "kube-controller-manager", "scheduler": "kube-scheduler", "etcd": "etcd"}


class KindControls:
    """Implements ``controls.Controls``. Components: ``apiserver``, ``controllers``, ``scheduler``, ``etcd``, ``node/NAME`` (the whole node) and
    ``node-agent/NAME`` (its kubelet)."""

    shared = False
    powers = frozenset(
        {
            controls.API,
            controls.NODES,
            controls.SIGNALS,
            controls.POWER,
            controls.AGENTS,
            controls.CUT,
            controls.TRAFFIC,
            controls.component_power("apiserver"),
            controls.component_power("controllers"),
        }
    )

    def __init__(self, nodes: Callable[[], list[NodeContainer]], folder: Path) -> None:
        """``nodes`` looks which containers are the cluster's own."""
        self._nodes, self._folder = nodes, folder

    def records(self) -> Path:
        return private_directory(self._folder / "faults")

    def component(self, name: str, action: str) -> None:
        if action not in ACTIONS:
            raise UsageError(f"action {action}", "is not known", f"one of: {', '.join(ACTIONS)}")
        part, _, node = name.partition("/")
        if part == "node":
            self._docker(*ACTIONS[action], self._node(node).id)
        elif part == "node-agent":
            self._inside(node, "sh", "-c", f"systemctl {UNITS[action]} kubelet")
        elif part in STATIC:
            self._static(STATIC[part], action)
        else:
            raise UsageError(
                f"component {name}", "is not known on kind", f"one of: node/NAME, node-agent/NAME, {', '.join(STATIC)}"
            )

    def _static(self, name: str, action: str) -> None:
        """A control plane's program: its kubelet runs it for as long as its manifest is there."""
        for node in self._nodes():
            if node.role != "control-plane":
                continue
            if action in ("stop", "kill", "start"):  # killed alone, its kubelet would have it back at once
                source, target = (ASIDE, MANIFESTS) if action == "start" else (MANIFESTS, ASIDE)
                script = f"mkdir -p {target} && if [ -f {source}/{name}.yaml ]; then mv {source}/{name}.yaml {target}/; fi"
                if action != "start":  # not whenever the kubelet gets to it, with its grace period
                    script += f" && {GONE.format(name=name)}"
            else:
                signal = {"pause": "STOP", "resume": "CONT"}[action]
                script = f"pkill -{signal} -x {name[:15]}"  # the kernel keeps 15 characters of a program's name
            self._inside(node.name, "sh", "-c", script)

    def node(self, name: str, request: Answer) -> Answer:
        """``{"cut_off": bool}``: the node's own firewall drops what goes to and comes from the API server; its pods go on."""
        if set(request) != {"cut_off"}:
            raise UsageError(
                f"node {name}", f"cannot be told {json.dumps(request)} on kind", "what works: stop, pause or cut off a node"
            )
        self._node(name)
        rules = [["INPUT", "-p", "tcp", "--sport", "6443"], ["OUTPUT", "-p", "tcp", "--dport", "6443"]]
        rules.append(["INPUT", "-p", "tcp", "--dport", "10250"])
        for rule in rules:
            text = " ".join([*rule, "-m comment --comment halab-cut -j DROP"])
            # Never twice, and its removal is no error where it is gone: both may be asked for again.
            there = f"iptables -C {text} 2>/dev/null"
            act = f"{there} || iptables -I {text}" if request["cut_off"] else f"{there} && iptables -D {text} || true"
            self._inside(name, "sh", "-c", act)
        return {}

    def container(self, node: str, namespace: str, pod: str, container: str, request: Answer) -> Answer:
        """``{"do": "signal", "signal": "SIGKILL"}``: to the container's first process, from outside, as the kernel's OOM killer would."""
        signal = str(request.get("signal", "")).removeprefix("SIG")
        if request.get("do") != "signal" or not signal.isalnum():
            raise UsageError(
                f"container {pod}/{container}", f"cannot be told {json.dumps(request)} on kind", "what works: a signal"
            )
        words = ("ps", "-o", "json", "--state", "Running", "--label", f"io.kubernetes.pod.namespace={namespace}")
        found: dict[str, Any] = json.loads(self._inside(node, "crictl", *words, "--label", f"io.kubernetes.pod.name={pod}"))
        ids = [one["id"] for one in found.get("containers", ()) if one["metadata"]["name"] == container]
        if not ids:
            raise Vanished(f"container {pod}/{container}", f"does not run on {node}", "look again: kubectl get pods -o wide")
        info: dict[str, Any] = json.loads(self._inside(node, "crictl", "inspect", "-o", "json", ids[0]))
        self._inside(node, "kill", f"-{signal}", str(int(info["info"]["pid"])))
        return {"id": ids[0]}

    def registry(self, name: str, action: str, address: str = "") -> str:
        raise UsageError(f"registry {name}", "images are loaded into kind's nodes without one", "")

    # Nodes

    def _node(self, name: str) -> NodeContainer:
        there = self._nodes()
        for node in there:
            if node.name == name:
                return node
        raise Vanished(f"node {name}", "is not of this cluster", f"one of: {', '.join(node.name for node in there)}")

    def _docker(self, *words: str) -> str:
        return kind_run.checked("docker", *words)

    def _inside(self, node: str, *words: str) -> str:
        found = self._node(node)
        if found.state != "running":
            raise Unreachable(f"node {node}", f"is {found.state}", "start it: halab heal")
        return self._docker("exec", found.id, *words)
