"""Kubelet's ``/logs/``: the node's /var/log/pods and /var/log/containers as Go's file server shows them.

The files are the node agent's own, under the names that a kubelet gives them: ``pods/NAMESPACE_NAME_UID/CONTAINER/N.log`` and
``containers/NAME_NAMESPACE_CONTAINER-ID.log``.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from halab.cluster.node.agent import Agent

HTML, TEXT = "text/html; charset=utf-8", "text/plain; charset=utf-8"


def tree(agent: Agent) -> dict[str, Path]:
    """The log files of this node's containers by their path below /var/log."""
    found: dict[str, Path] = {}
    for worker in agent.workers.values():
        for record in worker.record.containers.values():
            for run in (record.last, record.run):
                if run is None:
                    continue
                path = worker.starter.log_path(record.name, run.attempt)
                found[f"pods/{worker.namespace}_{worker.name}_{worker.uid}/{record.name}/{run.attempt}.log"] = path
                number = run.id.rpartition("/")[2]
                found[f"containers/{worker.name}_{worker.namespace}_{record.name}-{number}.log"] = path
    return found


def listing(names: Iterable[str]) -> str:
    links = "".join(f'<a href="{quote(name)}">{escape(name)}</a>\n' for name in sorted(names))
    return f'<!doctype html>\n<meta name="viewport" content="width=device-width">\n<pre>\n{links}</pre>\n'


def answer(agent: Agent, path: str) -> tuple[int, bytes, str]:
    """(status, body, content type) for a path below /logs/; of a 301 the body is the place."""
    files = tree(agent)
    if path in files:
        try:
            return 200, files[path].read_bytes(), TEXT
        except FileNotFoundError:
            return 404, b"404 page not found\n", TEXT
    directory = path if not path or path.endswith("/") else path + "/"
    inside = {name[len(directory) :].partition("/") for name in [*files, "pods/", "containers/"] if name.startswith(directory)}
    if not inside:
        return 404, b"404 page not found\n", TEXT
    if directory != path:
        return 301, (path.rpartition("/")[2] + "/").encode(), ""
    return 200, listing({first + slash for first, slash, _ in inside if first}).encode(), HTML
