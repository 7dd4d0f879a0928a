"""Pictures in words: for tests, for those who cannot see them, and for the line that says what changed. Pure."""

from __future__ import annotations

from halab.timeline.picture import Picture, View, views

MOST = 4  # changes that are said one by one; a longer line is not listened to


def text(picture: Picture) -> str:
    """The topology, line by line."""
    lines = []
    for route in views(picture, "route"):
        to = ", ".join(b["service"] + (f" {b['share']:.0%}" if len(route["backends"]) > 1 else "") for b in route["backends"])
        lines.append(f"{'https' if route['tls'] else 'http'}://{route['host']}{route['path']} -> service {to or '(none)'}")
    for service in views(picture, "service"):
        lines.append(
            f"service {service['name']} ({service['type']}) -> {service['ready']} of {len(service['targets'])} pods ready"
        )
    pods = views(picture, "pod")
    nodes = views(picture, "node")
    for node in nodes:
        lines.append(f"node {node['name']} ({node['word']})")
        lines += [f"  pod {pod['name']}: {pod['word']}" for pod in pods if pod["node"] == node["name"]]
    known = {node["name"] for node in nodes}
    lines += [f"no node yet: pod {pod['name']}: {pod['word']}" for pod in pods if pod["node"] not in known]
    return "\n".join(lines)


def rollouts(picture: Picture) -> str:
    """Deployments and their revisions, line by line."""
    lines = []
    for deployment in views(picture, "deployment"):
        lines.append(
            f"deployment {deployment['name']}: {deployment['available']} of {deployment['wanted']} available, {deployment['word']}"
        )
        for one in revisions_of(picture, deployment["name"]):
            lines.append(
                f"  revision {one['revision'] or '?'} ({', '.join(one['images'])}): {one['ready']} of {one['pods']} pods ready"
            )
    return "\n".join(lines)


def revisions_of(picture: Picture, deployment: str) -> list[View]:
    """The revisions of a Deployment, oldest first."""
    found = [r for r in views(picture, "revision") if r["deployment"] == deployment]
    return sorted(found, key=lambda r: int(r["revision"] or 0))


def changes(old: Picture, new: Picture) -> str:
    """One sentence on what is different; empty when nothing that matters is."""
    before = {key: view for key, view in old.items() if key.startswith("pod/")}
    after = {key: view for key, view in new.items() if key.startswith("pod/")}
    said = [
        f"pod {pod['name']} is new on {pod['node'] or 'no node yet'}: {pod['word']}"
        for key, pod in after.items()
        if key not in before
    ]
    said += [f"pod {pod['name']} is gone" for key, pod in before.items() if key not in after]
    said += [
        f"pod {pod['name']} is {pod['word']}"
        for key, pod in after.items()
        if key in before and before[key]["word"] != pod["word"]
    ]
    for key, node in new.items():
        if key.startswith("node/") and (was := old.get(key)) is not None and was["word"] != node["word"]:
            said.append(f"node {node['name']} is {node['word']}")
    return "; ".join(said[:MOST]) + (f"; and {len(said) - MOST} more changes" if len(said) > MOST else "")


def changed(old: Picture, change: dict[str, object], new: Picture) -> str:
    """As ``changes``, looking only at the keys of ``change``: 500 pods need not be compared to say what became of one."""
    keys = {*change["set"], *change["gone"]}  # type: ignore[misc]
    return changes({k: old[k] for k in keys if k in old}, {k: new[k] for k in keys if k in new})
