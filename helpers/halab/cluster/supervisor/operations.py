"""What the control socket can ask of a running cluster: its state, its components one by one, its nodes."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from halab.cluster.supervisor import layout
from halab.cluster.supervisor.components import node_component, send_signal, spare
from halab.cluster.supervisor.files import write_private
from halab.cluster.supervisor.layout import CONTROLLERS, NODE_PREFIX
from halab.cluster.supervisor.prepare import with_nodes
from halab.cluster.supervisor.prepare import write as write_config
from halab.errors import ClusterError, UsageError
from halab.settings import MAX_NODES

if TYPE_CHECKING:
    from halab.cluster.supervisor.daemon import Supervisor


class Operations:
    """Each operation is a method that takes the request's fields and returns the answer's."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.supervisor = supervisor

    def named(self, op: str) -> Callable[..., dict[str, Any]]:
        """Raises UsageError."""
        table: dict[str, Callable[..., dict[str, Any]]] = {
            "status": self.status,
            "wait": self.status,
            "component": self.component,
            "nodes": self.nodes,
            "remove-node": self.remove_node,
        }
        if op not in table:
            raise UsageError(op, "is not an operation of the supervisor", "one of: stop, " + ", ".join(sorted(table)))
        return table[op]

    def status(self) -> dict[str, Any]:
        """What runs; all times are in seconds since the epoch."""
        return {
            "ok": True,
            "name": self.supervisor.config.name,
            "state": "running" if self.supervisor.started else "starting",
            "keeper": os.getppid(),
            "supervisor": os.getpid(),
            "started": self.supervisor.began,
            "nodes": [
                node for node in layout.present_nodes(self.supervisor.config) if NODE_PREFIX + node in self.supervisor.components
            ],
            "components": [
                {"name": one.name, "state": one.state, "pid": one.pid, "restarts": one.restarts, "last_exit": one.last_exit}
                for one in self.supervisor.components.values()
            ],
        }

    def component(self, name: str, action: str, signal_name: str = "SIGTERM") -> dict[str, Any]:
        """``stop`` (stays down), ``start``, ``restart``, ``pause`` (SIGSTOP), ``resume``; ``signal_name`` is how stop and restart end it."""
        one = self.supervisor.components.get(name)
        if one is None and action == "start" and (one := spare(name)) is not None:
            self.supervisor.components[name] = one
        if one is None:
            raise UsageError(f"component {name!r}", "does not exist", "one of: " + ", ".join(self.supervisor.components))
        number = signal.Signals.__members__.get(signal_name)
        if number is None:
            raise UsageError(f"signal {signal_name!r}", "does not exist")
        if action == "start":
            one.wanted, one.failures, one.retry_at = True, 0, None
            if not one.pid:
                self.supervisor.start(one)
        elif action in ("stop", "restart"):
            one.wanted = action == "restart"
            one.retry_at, one.failures = None, 0
            send_signal(one, number)
            send_signal(one, signal.SIGCONT)
            if action == "restart" and not one.pid:
                self.supervisor.start(one)
        elif action in ("pause", "resume"):
            one.frozen = action == "pause" and one.pid > 0
            send_signal(one, signal.SIGSTOP if action == "pause" else signal.SIGCONT)
        else:
            raise UsageError(f"action {action!r}", "does not exist", "one of: stop, start, restart, pause, resume")
        if one.standby and CONTROLLERS in self.supervisor.components:  # either of two may lead
            self.supervisor.components[CONTROLLERS].standby = any(
                other.standby and other.wanted for name, other in self.supervisor.components.items() if name != CONTROLLERS
            )
        return {"pid": one.pid, "state": one.state}

    def nodes(self, count: int) -> dict[str, Any]:
        """Have ``count`` nodes: start the missing agents, stop the highest numbers. The Node objects are the caller's to delete."""
        if not 1 <= count <= MAX_NODES:
            raise UsageError(f"--nodes {count}", f"is not between 1 and {MAX_NODES}")
        before = layout.present_nodes(self.supervisor.config)
        self.supervisor.config = with_nodes(self.supervisor.config, count)
        write_config(self.supervisor.config, lambda _text: None)
        return self._reconcile_nodes(before)

    def remove_node(self, name: str) -> dict[str, Any]:
        """Stop this node's agent for good."""
        before = layout.present_nodes(self.supervisor.config)
        if name not in before:
            raise UsageError(f"node {name!r}", "does not exist", "one of: " + ", ".join(before))
        if len(before) == 1:
            raise ClusterError(f"node {name}", "is the cluster's last one", "run: halab down")
        absent = layout.absent_nodes(self.supervisor.config.directory) | {name}
        write_private(self.supervisor.config.directory / layout.ABSENT, json.dumps(sorted(absent)))
        return self._reconcile_nodes(before)

    def _reconcile_nodes(self, before: list[str]) -> dict[str, Any]:
        after = layout.present_nodes(self.supervisor.config)
        added = [name for name in after if name not in before]
        removed = [name for name in before if name not in after]
        for name in added:
            one = node_component(name)
            self.supervisor.components[one.name] = one
            self.supervisor.start(one)
        for name in removed:
            gone = self.supervisor.components.get(NODE_PREFIX + name)
            if gone is None:
                continue
            if not gone.pid:
                del self.supervisor.components[gone.name]
            gone.wanted, gone.retry_at = False, None
            send_signal(gone, signal.SIGCONT)
            send_signal(gone, signal.SIGTERM)
        return {"added": added, "removed": removed, "nodes": after}
