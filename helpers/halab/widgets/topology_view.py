"""From Kubernetes objects to what the topology shows: a pure function, and the sentence that says what changed.

The state is a JSON document: ``nodes`` with their ``pods``, ``services`` and ``routes``; every pod has a ``state`` (one of ``STATES``, which
decides shape and colour) and a ``word`` (what kubectl would print).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Obj = dict[str, Any]
View = dict[str, Any]

STATES = {
    "ready": "Running and ready",
    "running": "Running, not ready",
    "starting": "being started",
    "failing": "failing",
    "ending": "being stopped",
    "done": "ended well",
    "waiting": "waiting for a node",
}
FAILING = ("BackOff", "Error", "Err", "Invalid", "OOMKilled", "Failed")


def view(
    nodes: Iterable[Obj], pods: Iterable[Obj], services: Iterable[Obj], slices: Iterable[Obj], ingresses: Iterable[Obj]
) -> View:
    """The whole picture. Objects are read only."""
    boxes: dict[str, View] = {n["metadata"]["name"]: node_view(n) for n in nodes}
    unplaced: list[View] = []
    for pod in sorted(pods, key=lambda p: str(p["metadata"]["name"])):
        item = pod_view(pod)
        box = boxes.get(pod.get("spec", {}).get("nodeName", ""))
        (box["pods"] if box else unplaced).append(item)
    targets = _targets(slices)
    return {
        "nodes": [boxes[name] for name in sorted(boxes)],
        "unplaced": unplaced,
        "services": [service_view(s, targets.get(s["metadata"]["name"], [])) for s in services],
        "routes": [route for ingress in ingresses for route in route_views(ingress)],
    }


def node_view(node: Obj) -> View:
    conditions = {c["type"]: c["status"] for c in node.get("status", {}).get("conditions") or []}
    ready = conditions.get("Ready") == "True"
    cordoned = bool(node.get("spec", {}).get("unschedulable"))
    word = ("Ready" if ready else "NotReady") + (", cordoned" if cordoned else "")
    return {"name": node["metadata"]["name"], "ready": ready, "cordoned": cordoned, "word": word, "pods": []}


def pod_view(pod: Obj) -> View:
    meta, status = pod["metadata"], pod.get("status", {})
    state, word = pod_state(pod)
    return {
        "name": meta["name"],
        "uid": meta.get("uid", ""),
        "node": pod.get("spec", {}).get("nodeName", ""),
        "state": state,
        "word": word,
        "address": status.get("podIP", ""),
        "restarts": sum(int(c.get("restartCount", 0)) for c in status.get("containerStatuses") or []),
        "images": [c.get("image", "") for c in pod.get("spec", {}).get("containers", [])],
    }


def pod_state(pod: Obj) -> tuple[str, str]:
    """(a key of ``STATES``, the word for people)."""
    status = pod.get("status", {})
    phase = status.get("phase", "Pending")
    if "deletionTimestamp" in pod["metadata"]:
        return "ending", "Terminating"
    for container in (status.get("initContainerStatuses") or []) + (status.get("containerStatuses") or []):
        waiting = container.get("state", {}).get("waiting") or {}
        reason = str(waiting.get("reason", ""))
        if reason and any(word in reason for word in FAILING):
            return "failing", reason
    if phase == "Succeeded":
        return "done", "Completed"
    if phase == "Failed":
        return "failing", str(status.get("reason") or "Error")
    if phase == "Running":
        for container in status.get("containerStatuses") or []:
            ended = container.get("state", {}).get("terminated")
            if ended and ended.get("exitCode"):
                return "failing", str(ended.get("reason", "Error"))
        ready = any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions") or [])
        return ("ready", "Running") if ready else ("running", "Running, not ready")
    if not pod.get("spec", {}).get("nodeName"):
        return "waiting", "Pending"
    return "starting", "ContainerCreating"


def _targets(slices: Iterable[Obj]) -> dict[str, list[View]]:
    """Service name -> its endpoints that are pods: name and whether they get requests."""
    found: dict[str, list[View]] = {}
    for item in slices:
        service = (item["metadata"].get("labels") or {}).get("kubernetes.io/service-name", "")
        for endpoint in item.get("endpoints") or []:
            name = (endpoint.get("targetRef") or {}).get("name")
            if name:
                ready = (endpoint.get("conditions") or {}).get("ready") is not False
                found.setdefault(service, []).append({"pod": name, "ready": ready})
    return found


def service_view(service: Obj, targets: list[View]) -> View:
    spec = service.get("spec", {})
    ports = [f"{p['port']}" + (f":{p['nodePort']}" if p.get("nodePort") else "") for p in spec.get("ports") or []]
    ready = sum(1 for t in targets if t["ready"])
    return {
        "name": service["metadata"]["name"],
        "type": "headless" if spec.get("clusterIP") == "None" else spec.get("type", "ClusterIP"),
        "address": "" if spec.get("clusterIP") == "None" else spec.get("clusterIP", ""),
        "ports": ports,
        "targets": sorted(targets, key=lambda t: str(t["pod"])),
        "ready": ready,
    }


def route_views(ingress: Obj) -> list[View]:
    """One entry for each host and path of an Ingress."""
    name, rows = ingress["metadata"]["name"], []
    secure = {host for entry in ingress["spec"].get("tls") or [] for host in entry.get("hosts") or []}
    for rule in ingress["spec"].get("rules") or []:
        for path in (rule.get("http") or {}).get("paths") or []:
            backend = (path.get("backend") or {}).get("service") or {}
            host = rule.get("host", "*")
            rows.append(
                {
                    "ingress": name,
                    "host": host,
                    "path": path.get("path", "/"),
                    "service": backend.get("name", ""),
                    "tls": host in secure,
                }
            )
    return rows


def text(state: View) -> str:
    """The picture in words, line by line: for tests, and for those who cannot see it."""
    lines = []
    for route in state["routes"]:
        lines.append(f"{'https' if route['tls'] else 'http'}://{route['host']}{route['path']} -> service {route['service']}")
    for service in state["services"]:
        lines.append(
            f"service {service['name']} ({service['type']}) -> {service['ready']} of {len(service['targets'])} pods ready"
        )
    for node in state["nodes"]:
        lines.append(f"node {node['name']} ({node['word']})")
        lines += [f"  pod {pod['name']}: {pod['word']}" for pod in node["pods"]]
    lines += [f"no node yet: pod {pod['name']}: {pod['word']}" for pod in state["unplaced"]]
    return "\n".join(lines)


def changes(old: View, new: View) -> str:
    """One sentence on what is different, for the aria-live line; empty when nothing that matters is."""
    before, after = _pods(old), _pods(new)
    said = [
        f"pod {after[uid]['name']} is new on {after[uid]['node'] or 'no node yet'}: {after[uid]['word']}"
        for uid in after
        if uid not in before
    ]
    said += [f"pod {before[uid]['name']} is gone" for uid in before if uid not in after]
    said += [
        f"pod {after[uid]['name']} is {after[uid]['word']}"
        for uid in after
        if uid in before and after[uid]["word"] != before[uid]["word"]
    ]
    nodes = {n["name"]: n["word"] for n in old.get("nodes", [])}
    said += [f"node {n['name']} is {n['word']}" for n in new["nodes"] if nodes.get(n["name"], n["word"]) != n["word"]]
    return "; ".join(said[:4]) + (f"; and {len(said) - 4} more changes" if len(said) > 4 else "")


def _pods(state: View) -> dict[str, View]:
    rows = [pod for node in state.get("nodes", []) for pod in node["pods"]] + list(state.get("unplaced", []))
    return {pod["uid"] or pod["name"]: pod for pod in rows}
