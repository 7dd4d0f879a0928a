"""Clusters as their owner sees them: up, down, status. What the command line and notebooks call.

The supervisor does the work in its own process; here it is started, asked and waited for.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from halab.aio import processes
from halab.cluster.supervisor import control, engine, layout
from halab.cluster.supervisor.layout import APISERVER, CONTROLLERS, MARK, NODE_PREFIX
from halab.cluster.supervisor.prepare import Wish, recover, require_runtime
from halab.errors import ClusterError, HalabError, MachineError, UsageError
from halab.settings import DOCKER, ClusterConfig, halab_home

UP_TIMEOUT = 60.0
MOMENT = 2.0  # in which a node may come back that has just been hit
DOWN_TIMEOUT = 15.0
HELD = ("stopped", "paused")  # states of components that somebody has put them into
ENGINE_TIMEOUT = 120.0  # a Docker engine takes its time to end many containers

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Node:
    name: str
    ready: bool
    address: str


@dataclass(frozen=True, slots=True)
class Status:
    """``state``: ``absent`` (never created), ``stopped``, ``starting``, ``running``, ``degraded`` (a component or node is not ready)."""

    name: str
    state: str
    config: ClusterConfig | None = None
    nodes: tuple[Node, ...] = ()
    memory_mb: float = 0.0
    up_seconds: float = 0.0
    components: tuple[dict[str, Any], ...] = ()


def up(
    name: str = "default",
    *,
    nodes: int | None = None,
    without: tuple[str, ...] = (),
    runtime: str = "",
    report: Report | None = None,
) -> Status:
    """Bring the cluster up and wait until its nodes are Ready. On a running cluster only the number of nodes changes, if told; there a node
    that is not Ready has its reason (it was stopped, lost, cut off by somebody), and is told, not waited for.

    Raises ``HalabError``; a cluster that was not there before is then not left behind.
    """
    report = report or (lambda _text: None)
    home = halab_home()
    directory = layout.directory_of(name, home)
    wish = Wish(home, name, nodes, without, runtime)
    if (known := layout.read_config(directory)) is not None:
        require_runtime(known, wish)
    new_nodes = _ensure_running(wish, directory, report)
    from halab.cluster.supervisor import api

    config = _config(directory)
    running = control.request(directory, "status")
    states = {one["name"]: one["state"] for one in running["components"]}
    _require_api(name, states)
    awaited = [node for node in running["nodes"] if states.get(NODE_PREFIX + node) not in HELD]
    report("waiting for the nodes to be Ready")
    grown_up = not new_nodes and time.time() - running["started"] > UP_TIMEOUT
    timeout = MOMENT if grown_up else UP_TIMEOUT
    late = api.wait_for_nodes(config, awaited, timeout=timeout) if APISERVER in states else []
    away = [node for node in running["nodes"] if node in late or node not in awaited]
    if late and not grown_up:
        raise ClusterError(
            f"cluster {name}", f"not Ready after {UP_TIMEOUT:.0f} s: {', '.join(late)}", f"see the logs in {config.logs}"
        )
    if away:
        report(f"not Ready: {', '.join(away)} (on purpose? see: halab status, halab fault list)")
    if states.get(CONTROLLERS, "stopped") not in HELD and "controllers" not in config.without:
        api.wait_for_pods_to_be_allowed(config, timeout=UP_TIMEOUT)
    ready = None if away or APISERVER not in states else frozenset(awaited)
    return _summary(config, control.request(directory, "status"), ready)


def _require_api(name: str, states: dict[str, str]) -> None:
    """An API server that was stopped by hand is down on purpose, and nothing becomes Ready without it. Raises ClusterError."""
    servers = {one: state for one, state in states.items() if one.startswith(APISERVER)}
    if servers and all(state in HELD for state in servers.values()):
        action = "start" if servers[APISERVER] == "stopped" else "resume"
        option = "" if name == "default" else f" --name {name}"
        fact = f"its API server is {servers[APISERVER]}"
        raise ClusterError(
            f"cluster {name}", fact, f"run: halab component {action} {APISERVER}{option} (halab fault list shows what is active)"
        )


def _ensure_running(wish: Wish, directory: Path, report: Report) -> bool:
    """Join a cluster that runs or starts, else start it; while another command is stopping it, wait for that. Whether it has got new nodes."""
    deadline = time.monotonic() + UP_TIMEOUT
    while time.monotonic() < deadline:
        try:
            control.request(directory, "wait", timeout=UP_TIMEOUT)
        except ConnectionError:
            if _start(wish, directory, report):
                return True
            time.sleep(0.02)  # someone holds the directory's lock but has no socket (yet, or any more) to wait on
            continue
        return wish.nodes is not None and _change_nodes(directory, wish.nodes, report)
    raise ClusterError(f"cluster {wish.name}", "is being started or stopped by another command", "run the command again")


def _start(wish: Wish, directory: Path, report: Report) -> bool:
    """Start a supervisor and follow it until the cluster is up. False if another one has the cluster."""
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            command = [sys.executable, "-P", "-m", "halab.cluster.supervisor", wish.dump(), str(theirs.fileno())]
            starter = subprocess.Popen(
                command,
                env=os.environ | {MARK: str(directory), "MALLOC_ARENA_MAX": "2"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                cwd="/",
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        # 25 ms of imports (TLS), on one core while the supervisor starts on another
        from halab.cluster.supervisor import api  # noqa: F401

        starter.wait()
        ours.settimeout(UP_TIMEOUT + 10)
        for line in ours.makefile("rb"):
            event = json.loads(line)
            if event["event"] == "step":
                report(event["text"])
            elif event["event"] == "error":
                raise _error(event)
            else:
                return bool(event["event"] == "done")
    raise ClusterError(
        f"cluster {wish.name}", "its supervisor ended unexpectedly", f"see {directory / 'logs' / 'supervisor.log'}"
    )


def _error(event: dict[str, Any]) -> HalabError:
    kinds: dict[str, type[HalabError]] = {kind.__name__: kind for kind in (ClusterError, MachineError, UsageError)}
    return kinds.get(event["kind"], ClusterError)(event["subject"], event["fact"], event["remedy"])


def _change_nodes(directory: Path, count: int, report: Report) -> bool:
    """Whether nodes were added."""
    answer = control.request(directory, "nodes", count=count)
    for node in answer["added"]:
        report(f"adding {node}")
    for node in answer["removed"]:
        report(f"removing {node}")
        _delete_node(_config(directory), node)
    return bool(answer["added"])


def down(name: str = "default", *, purge: bool = False) -> bool:
    """Stop the cluster; with ``purge`` its state is removed too. False if there was nothing to do. Returns when no process is left."""
    directory = layout.directory_of(name)
    config = _readable(directory)
    timeout = ENGINE_TIMEOUT if config is not None and config.runtime == DOCKER else DOWN_TIMEOUT
    acted = False
    try:
        keeper = control.request(directory, "status")["keeper"]
        control.request(directory, "stop", timeout=timeout)
        _wait_for_end(keeper, directory, timeout)
        acted = True
    except ConnectionError:
        if (directory / layout.RUNNING).exists():
            recover(directory)
            acted = True
        if config is not None:
            engine.clear(config)
    if purge and directory.exists():
        shutil.rmtree(directory, ignore_errors=True)
        if directory.exists() and config is not None:
            engine.remove_files(config, list(directory.iterdir()))
            shutil.rmtree(directory, ignore_errors=True)
        acted = True
    return acted


def _readable(directory: Path) -> ClusterConfig | None:
    """The configuration, if there is one that can be read: what cannot be is removed all the same."""
    with suppress(ClusterError):
        return layout.read_config(directory)
    return None


def _wait_for_end(keeper: int, directory: Path, timeout: float) -> None:
    """Wait until the keeper, which ends last, is gone."""
    try:
        descriptor = os.pidfd_open(keeper)
    except ProcessLookupError:
        return
    import select

    try:
        if not select.select([descriptor], [], [], timeout)[0]:
            raise ClusterError(f"cluster {directory.name}", f"did not stop within {timeout:.0f} s", f"kill -9 {keeper}")
    finally:
        os.close(descriptor)


def status(name: str = "default") -> Status:
    """What the cluster is doing now."""
    directory = layout.directory_of(name)
    config = layout.read_config(directory)
    if config is None:
        return Status(name, "absent")
    try:
        running = control.request(directory, "status", timeout=5.0)
    except ConnectionError:
        return Status(name, "stopped", config)
    return _summary(_config(directory), running)


def _summary(config: ClusterConfig, running: dict[str, Any], known: frozenset[str] | None = None) -> Status:
    """``known`` are nodes that were just seen to be Ready; without it the API server is asked."""
    nodes = tuple(_nodes(config, running["nodes"], known))
    ready = all(node.ready for node in nodes) and all(
        one["state"] in ("ready", "standby", "stopped") for one in running["components"]
    )
    state = running["state"] if running["state"] != "running" or ready else "degraded"
    tree = [running["keeper"], *processes.descendants(running["keeper"])]
    memory = processes.memory_bytes(tree) / (1 << 20)
    return Status(
        config.name,
        state,
        config,
        nodes,
        round(memory, 1),
        round(time.time() - running["started"], 1),
        tuple(running["components"]),
    )


def _nodes(config: ClusterConfig, names: list[str], ready: frozenset[str] | None = None) -> list[Node]:
    if ready is None:
        from halab.cluster.supervisor import api

        ready = frozenset()
        with suppress(OSError):
            code, body = api.get(config, "/api/v1/nodes")
            if code == 200:
                ready = frozenset(item["metadata"]["name"] for item in body.get("items", []) if api.node_ready(item))
    addresses = config.addresses
    return [Node(name, name in ready, addresses.node(config.nodes.index(name))) for name in names]


def component(name: str, component_name: str, action: str, *, signal_name: str = "SIGTERM") -> dict[str, Any]:
    """Stop, start, restart, pause or resume one component of a running cluster (``apiserver``, ``node-agent/node-1`` ...)."""
    return _ask(name, "component", name=component_name, action=action, signal_name=signal_name)


def wait_stopped(name: str, component_name: str, timeout: float = 5.0) -> bool:
    """Wait until a component that was told to stop has ended; whether it has."""
    deadline = time.monotonic() + timeout
    while any(one["name"] == component_name and one["pid"] for one in _ask(name, "status")["components"]):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)  # the supervisor tells nobody of an end
    return True


def remove_node(name: str, node: str) -> None:
    """Take a node away for good: its agent stops, its Node object is deleted."""
    _ask(name, "remove-node", name=node)
    _delete_node(_config(layout.directory_of(name)), node)


def _delete_node(config: ClusterConfig, node: str) -> None:
    from halab.cluster.supervisor import api

    try:
        api.delete(config, f"/api/v1/nodes/{node}")
    except OSError as error:
        remedy = f"when the API server is back: kubectl delete node {node}"
        raise ClusterError(
            f"node {node}", f"its agent is stopped, but its Node object is still there ({error})", remedy
        ) from error


def configuration(name: str) -> ClusterConfig | None:
    """What is written of the cluster, whether it runs or not; None if it was never created."""
    return layout.read_config(layout.directory_of(name))


def clusters() -> list[str]:
    """The names of all clusters that this user has made."""
    folder = halab_home() / "clusters"
    return sorted(path.parent.name for path in folder.glob(f"*/{layout.CONFIG}"))


def _ask(cluster: str, op: str, **arguments: object) -> dict[str, Any]:
    try:
        return control.request(layout.directory_of(cluster), op, **arguments)  # type: ignore[arg-type]
    except ConnectionError as error:
        raise ClusterError(f"cluster {cluster}", "is not running", start_it(cluster)) from error


def _config(directory: Path) -> ClusterConfig:
    config = layout.read_config(directory)
    if config is None:
        raise ClusterError(f"cluster {directory.name}", "does not exist", start_it(directory.name))
    return config


def start_it(name: str) -> str:
    """What to type where cluster ``name`` is needed and does not run."""
    return "run: halab up" + ("" if name == "default" else f" --name {name}")
