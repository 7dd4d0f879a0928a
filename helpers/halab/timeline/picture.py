"""From Kubernetes objects to the picture that all widgets draw: pure, and the sentence that says what changed.

A picture is flat: ``pod/UID``, ``node/NAME``, ``service/NAME``, ``route/...``, ``deployment/NAME``, ``revision/REPLICASET`` -> a small JSON
document. So a change is a handful of keys (``difference``), a record of a lab is a list of changes, and 500 pods cost no more to
follow than the few of them that change. Every pod has a ``state`` (one of ``STATES``, which decides shape and colour) and a ``word`` (what
kubectl would print).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

Obj = dict[str, Any]
View = dict[str, Any]
Picture = dict[str, View]
Change = dict[str, Any]  # {"set": Picture, "gone": [key]}

KINDS = ("nodes", "pods", "services", "endpointslices", "ingresses", "httproutes", "deployments", "replicasets")
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
REVISION = "deployment.kubernetes.io/revision"
SERVICE_OF = "kubernetes.io/service-name"


class Painter:
    """Paints pictures, again and again: what did not change since the last one is not looked at again."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Any, Any]] = {}

    def paint(self, objects: Mapping[str, Iterable[Obj]]) -> Picture:
        """``objects`` by kind (of ``KINDS``; those that are missing are none). Objects are read only."""
        before, self._known = self._known, {}
        picture: Picture = {}

        def once(key: str, version: Any, make: Callable[[], Any]) -> Any:
            old = before.get(key)
            value = old[1] if old is not None and old[0] == version and version else make()
            self._known[key] = (version, value)
            return value

        for node in objects.get("nodes", ()):
            key = f"node/{node['metadata']['name']}"
            picture[key] = once(key, _version(node), partial(node_view, node))
        for pod in objects.get("pods", ()):
            key = f"pod/{pod['metadata'].get('uid') or pod['metadata']['name']}"
            picture[key] = once(key, _version(pod), partial(pod_view, pod))
        targets: dict[str, list[View]] = {}
        versions: dict[str, list[Any]] = {}
        for item in objects.get("endpointslices", ()):
            name = (item["metadata"].get("labels") or {}).get(SERVICE_OF, "")
            found = once(f"slice/{item['metadata'].get('name')}", _version(item), partial(endpoint_views, item))
            targets.setdefault(name, []).extend(found)
            versions.setdefault(name, []).append(_version(item))
        for service in objects.get("services", ()):
            name = service["metadata"]["name"]
            version = (_version(service), *versions.get(name, ())) if _version(service) else None
            picture[f"service/{name}"] = once(f"service/{name}", version, partial(service_view, service, targets.get(name, [])))
        for kind, seen in (("ingresses", ingress_views), ("httproutes", http_route_views)):
            for route in objects.get(kind, ()):
                for view in once(f"{kind}/{route['metadata']['name']}", _version(route), partial(seen, route)):
                    picture[f"route/{view['by']}/{view['host']}{view['path']}"] = view
        for deployment in objects.get("deployments", ()):
            key = f"deployment/{deployment['metadata']['name']}"
            picture[key] = once(key, _version(deployment), partial(deployment_view, deployment))
        for replica_set in objects.get("replicasets", ()):
            key = f"revision/{replica_set['metadata']['name']}"
            picture[key] = once(key, _version(replica_set), partial(revision_view, replica_set))
        return picture


def _version(obj: Obj) -> str:
    return str(obj["metadata"].get("resourceVersion") or "")


def difference(old: Picture, new: Picture) -> Change:
    """What to do to ``old`` to have ``new``."""
    return {
        "set": {key: view for key, view in new.items() if (was := old.get(key)) is not view and was != view},
        "gone": [key for key in old if key not in new],
    }


def apply(picture: Picture, change: Change) -> Picture:
    """A new picture; ``picture`` stays as it is."""
    new = {**picture, **change.get("set", {})}
    for key in change.get("gone", ()):
        new.pop(key, None)
    return new


def views(picture: Picture, kind: str) -> list[View]:
    """The views of one kind (``pod``, ``service`` ...), by name."""
    found = [view for key, view in picture.items() if key.startswith(f"{kind}/")]
    return sorted(found, key=lambda v: str(v.get("name", "")))


def node_view(node: Obj) -> View:
    conditions = {c["type"]: c["status"] for c in node.get("status", {}).get("conditions") or []}
    ready = conditions.get("Ready") == "True"
    cordoned = bool(node.get("spec", {}).get("unschedulable"))
    word = ("Ready" if ready else "NotReady") + (", cordoned" if cordoned else "")
    return {"name": node["metadata"]["name"], "ready": ready, "cordoned": cordoned, "word": word}


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
        "owner": next((str(o["name"]) for o in meta.get("ownerReferences") or [] if o.get("controller")), ""),
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


def endpoint_views(item: Obj) -> list[View]:
    """The endpoints of one slice that are pods: name and whether they get requests."""
    found = []
    for endpoint in item.get("endpoints") or []:
        if name := (endpoint.get("targetRef") or {}).get("name"):
            ready = (endpoint.get("conditions") or {}).get("ready") is not False
            found.append({"pod": name, "ready": ready, "slice": item["metadata"].get("name", "")})
    return found


def service_view(service: Obj, targets: list[View]) -> View:
    spec = service.get("spec", {})
    ports = [f"{p['port']}" + (f":{p['nodePort']}" if p.get("nodePort") else "") for p in spec.get("ports") or []]
    return {
        "name": service["metadata"]["name"],
        "type": "headless" if spec.get("clusterIP") == "None" else spec.get("type", "ClusterIP"),
        "address": "" if spec.get("clusterIP") == "None" else spec.get("clusterIP", ""),
        "ports": ports,
        "targets": sorted(targets, key=lambda t: str(t["pod"])),
        "ready": sum(1 for t in targets if t["ready"]),
    }


def ingress_views(ingress: Obj) -> list[View]:
    """One view for each host and path of an Ingress."""
    by, rows = f"Ingress {ingress['metadata']['name']}", []
    secure = {host for entry in ingress["spec"].get("tls") or [] for host in entry.get("hosts") or []}
    for rule in ingress["spec"].get("rules") or []:
        host = rule.get("host", "*")
        for path in (rule.get("http") or {}).get("paths") or []:
            service = ((path.get("backend") or {}).get("service") or {}).get("name", "")
            rows.append(_route(by, host, path.get("path", "/"), [(service, 1)], host in secure))
    default = (ingress["spec"].get("defaultBackend") or {}).get("service") or {}
    return [*rows, _route(by, "*", "/", [(default["name"], 1)])] if default.get("name") else rows


def http_route_views(route: Obj) -> list[View]:
    """One view for each host and matched path of an HTTPRoute, with its backends' weights."""
    by, rows = f"HTTPRoute {route['metadata']['name']}", []
    for host in route["spec"].get("hostnames") or ["*"]:
        for rule in route["spec"].get("rules") or []:
            backends = [
                (b["name"], int(b.get("weight", 1)))
                for b in rule.get("backendRefs") or []
                if b.get("kind", "Service") == "Service"
            ]
            for match in rule.get("matches") or [{}]:
                rows.append(_route(by, host, (match.get("path") or {}).get("value", "/"), backends))
    return rows


def _route(by: str, host: str, path: str, backends: list[tuple[str, int]], tls: bool = False) -> View:
    total = sum(weight for _, weight in backends) or 1
    shares = [{"service": name, "share": round(weight / total, 4)} for name, weight in backends]
    return {"name": f"{host}{path}", "by": by, "host": host, "path": path, "backends": shares, "tls": tls}


def deployment_view(deployment: Obj) -> View:
    spec, status = deployment.get("spec", {}), deployment.get("status", {})
    conditions = {c["type"]: c for c in status.get("conditions") or []}
    wanted, updated, available = (
        int(spec.get("replicas", 1)),
        int(status.get("updatedReplicas") or 0),
        int(status.get("availableReplicas") or 0),
    )
    total = int(status.get("replicas") or 0)
    stuck = conditions.get("Progressing", {}).get("reason") == "ProgressDeadlineExceeded"
    if spec.get("paused"):
        word = "paused"
    elif stuck:
        word = "stuck: the new pods do not become available"
    elif updated < wanted or total > updated or available < wanted:
        word = "rolling out"
    else:
        word = "complete"
    return {
        "name": deployment["metadata"]["name"],
        "revision": (deployment["metadata"].get("annotations") or {}).get(REVISION, ""),
        "wanted": wanted,
        "updated": updated,
        "available": available,
        "word": word,
    }


def revision_view(replica_set: Obj) -> View:
    """One revision of a Deployment: the ReplicaSet that holds its pods."""
    meta, status = replica_set["metadata"], replica_set.get("status", {})
    template = (replica_set.get("spec", {}).get("template") or {}).get("spec") or {}
    return {
        "name": meta["name"],
        "deployment": next((str(o["name"]) for o in meta.get("ownerReferences") or [] if o.get("kind") == "Deployment"), ""),
        "revision": (meta.get("annotations") or {}).get(REVISION, ""),
        "images": [str(c.get("image", "")) for c in template.get("containers") or []],
        "wanted": int(replica_set.get("spec", {}).get("replicas", 1)),
        "pods": int(status.get("replicas") or 0),
        "ready": int(status.get("readyReplicas") or 0),
    }
