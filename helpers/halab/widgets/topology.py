"""The live picture of a lab: nodes with their pods, Services, and the routes that lead to them.

Select a pod for its events and log, delete it, cordon a node. It follows the cluster by watches, so it shows what is, not what was asked for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import traitlets

from halab.backends.access import Api, ApiError, Follow
from halab.widgets import topology_view
from halab.widgets.base import Gatherer, Widget, script, style

KINDS = ("nodes", "pods", "services", "endpointslices", "ingresses")
LOG_LINES, EVENT_LINES = 30, 12


class Topology(Widget):
    """``state`` is the picture (see ``topology_view``), ``selected`` a pod's name, ``details`` what is known of it, ``said`` the last change in words."""

    _esm = script("topology.js")
    _css = style("topology.css")
    title = traitlets.Unicode("").tag(sync=True)
    state = traitlets.Dict().tag(sync=True)
    selected = traitlets.Unicode("").tag(sync=True)
    details = traitlets.Dict().tag(sync=True)
    said = traitlets.Unicode("").tag(sync=True)
    trouble = traitlets.Unicode("").tag(sync=True)

    def __init__(self, api: Api, namespace: str, cluster: Callable[[], str], **kwargs: Any) -> None:
        super().__init__(title=f"{cluster()} · {namespace}", **kwargs)
        self._api = api
        self._lock = threading.Lock()
        self._gatherer = Gatherer(self._refresh, "topology")
        self._follow = Follow(api, KINDS, self._gatherer.poke)
        self._refresh()
        self._gatherer.start()
        self.on_msg(self._command)
        self.observe(lambda _change: self._gatherer.poke(), names="selected")

    def _refresh(self) -> None:
        with self._lock:
            new = topology_view.view(*(self._follow.objects(kind) for kind in KINDS))
            if new != self.state:
                self.said = topology_view.changes(self.state, new) or self.said
                self.state = new
            self._refresh_details()

    def _refresh_details(self) -> None:
        pod = next((p for p in self._follow.objects("pods") if p["metadata"]["name"] == self.selected), None)
        if pod is None:
            if self.details:
                self.details = {}
            return
        try:
            events = self._api.list("events", fields=f"involvedObject.name={self.selected}")
            log = self._api.log(self.selected, tail=LOG_LINES)
        except (ApiError, OSError, TimeoutError) as error:
            self.trouble = str(error)
            return
        self.details = {**topology_view.pod_view(pod), "events": _lines(events), "log": log}

    def _command(self, _widget: Any, content: dict[str, Any], _buffers: Any) -> None:
        try:
            match content.get("do"):
                case "delete-pod":
                    self._api.delete("pods", content["name"], grace=0 if content.get("now") else None)
                case "cordon" | "uncordon" as verb:
                    self._api.patch("nodes", content["name"], {"spec": {"unschedulable": True if verb == "cordon" else None}})
                case "refresh":
                    self._gatherer.poke()
                    return
                case other:
                    self.trouble = f"unknown command {other!r}"
                    return
            self.trouble = ""
        except (ApiError, OSError, TimeoutError) as error:
            self.trouble = str(error)

    def close(self) -> None:
        self._gatherer.close()
        self._follow.close()
        super().close()

    def __repr__(self) -> str:
        return topology_view.text(self.state)


def _lines(events: list[dict[str, Any]]) -> list[str]:
    """The last events of an object, as ``Reason: message (x3)``, oldest first."""
    rows = sorted(events, key=lambda e: str(e.get("lastTimestamp") or e.get("eventTime") or ""))[-EVENT_LINES:]
    return [
        f"{e.get('reason', '')}: {e.get('message', '')}" + (f" (x{e['count']})" if e.get("count", 1) > 1 else "") for e in rows
    ]
