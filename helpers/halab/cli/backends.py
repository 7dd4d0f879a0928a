"""up, down and status of clusters that are not the embedded one: kind and existing."""

from __future__ import annotations

import time
from typing import Any

import click

from halab.backends import choice
from halab.backends.existing import Existing
from halab.backends.kind import Kind
from halab.cli import leftovers
from halab.cli.output import emit, progress, say
from halab.errors import HalabError

CLASSES: dict[str, type[Kind] | type[Existing]] = {choice.KIND: Kind, choice.EXISTING: Existing}


def _open(name: str, backend: str = "", options: dict[str, Any] | None = None) -> Kind | Existing:
    known = choice.read(name)
    return CLASSES[backend or (known.backend if known else choice.EXISTING)](name, options)


def up_other(name: str, backend: str, options: dict[str, Any], as_json: bool) -> None:
    began = time.monotonic()
    cluster = _open(name, backend, options)
    with progress() as shown:
        summary = cluster.up(shown.step)
    leftovers.heal(cluster)
    if as_json:
        emit(document(cluster))
        return
    where = f", namespace {cluster.namespace('')}" if backend == choice.EXISTING else ""
    has = ", ".join(sorted(cluster.features())) or "none of ingress, gateway, metrics"
    took = time.monotonic() - began
    say(f"cluster {name} ({backend}) is up: {summary.nodes} nodes Ready for pods{where}; it has {has} ({took:.1f} s)")


def down_other(name: str, purge: bool) -> None:
    cluster = _open(name)
    kind = isinstance(cluster, Kind)
    if not cluster.down(purge=purge):
        say(f"cluster {name} was not running")
    elif purge:
        say(f"cluster {name} is gone" if kind else f"what halab made on cluster {name} is gone; the cluster itself goes on")
    else:
        say(
            f"cluster {name} is stopped" if kind else f"cluster {name} is not ours to stop; --purge removes what halab made there"
        )


def document(cluster: Kind | Existing) -> dict[str, object]:
    """``status --json``: the same fields as the embedded cluster's."""
    summary = cluster.summary()
    up = summary.state in ("running", "degraded")
    ingress: dict[str, str] = {}
    if up:
        try:
            ingress = {key: "{}:{}".format(*cluster.ingress(tls=key == "https")) for key in ("http", "https")}
        except HalabError:
            ingress = {}  # it has none
    nodes = []
    for node in _nodes(cluster) if up else ():
        addresses = node.get("status", {}).get("addresses", ())
        address = next((item["address"] for item in addresses if item["type"] == "InternalIP"), "")
        conditions = node.get("status", {}).get("conditions", ())
        ready = any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)
        nodes.append({"name": node["metadata"]["name"], "ready": ready, "address": address})
    return {
        "name": summary.name,
        "backend": summary.backend,
        "state": summary.state,
        "kubeconfig": str(cluster.kubeconfig()) if summary.state != "absent" else None,
        "api": cluster.api().client.server if up else None,
        "nodes": nodes,
        "ingress": ingress,
        "features": sorted(cluster.features()) if up else [],
        "memory_mb": None,
        "up_seconds": None,
        "components": [],
    }


def _nodes(cluster: Kind | Existing) -> list[dict[str, Any]]:
    try:
        return cluster.api().list("nodes")
    except Exception as error:
        if getattr(error, "code", 0) == 403:  # a learner need not be allowed to look at them
            return []
        raise


def status_other(name: str, as_json: bool) -> None:
    cluster = _open(name)
    found = document(cluster)
    if as_json:
        emit(found)
        return
    click.echo(f"cluster {name} ({found['backend']}): {found['state']}")
    if found["state"] not in ("running", "degraded"):
        return
    click.echo(f"  api         {found['api']}")
    click.echo(f"  has         {', '.join(cluster.features()) or 'none of ingress, gateway, metrics'}")
    click.echo(f"  kubeconfig  {found['kubeconfig']}")
    nodes: Any = found["nodes"]
    for node in nodes:
        click.echo(f"  {node['name']:<24} {node['address']:<15} {'Ready' if node['ready'] else 'NotReady'}")
