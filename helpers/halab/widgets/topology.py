"""The live picture of a lab: nodes with their pods, Services, and the routes that lead to them.

Select a pod for its events and log, delete it, cordon a node. It follows the cluster by watches, so it shows what is, not what was asked for.
"""

from __future__ import annotations

from typing import Any

import traitlets

from halab.backends.access import ApiError
from halab.timeline import picture, words
from halab.timeline.live import Live
from halab.widgets.base import Gatherer, PictureWidget, script, style

LOG_LINES, EVENT_LINES = 30, 12


class Topology(PictureWidget):
    """``selected`` is a pod's name, ``details`` what is known of it."""

    _esm = script("common.js", "picture.js", "topology.js")
    _css = style("common.css", "topology.css")
    selected = traitlets.Unicode("").tag(sync=True)
    details: Any = traitlets.Dict().tag(sync=True)

    def __init__(self, live: Live, title: str, **kwargs: Any) -> None:
        self._gatherer = Gatherer(self._refresh_details, "topology-details")
        super().__init__(live, title, **kwargs)
        self._gatherer.start()
        self.observe(lambda _change: self._gatherer.poke(), names="selected")

    def refreshed(self) -> None:
        if self.selected:
            self._gatherer.poke()

    def _refresh_details(self) -> None:
        name = self.selected
        pod = next((p for p in self._live.pods() if p["metadata"]["name"] == name), None)
        if pod is None:
            self.details = {}
            return
        events = [e for e in self._live.events() if (e.get("involvedObject") or {}).get("name") == name]
        try:
            log = self._live.api.log(name, tail=LOG_LINES)
        except (ApiError, OSError, TimeoutError) as error:
            if not self.away:  # which says it already
                self.trouble = str(error)
            return
        self.details = {**picture.pod_view(pod), "events": _lines(events), "log": log}

    def command(self, content: dict[str, Any]) -> None:
        api = self._live.api
        try:
            match content.get("do"):
                case "delete-pod":
                    if not api.delete("pods", content["name"], grace=0 if content.get("now") else None):
                        self.trouble = f"pod {content['name']} is not there any more"
                        return
                case "cordon" | "uncordon" as verb:
                    api.patch("nodes", content["name"], {"spec": {"unschedulable": True if verb == "cordon" else None}})
                case other:
                    self.trouble = f"unknown command {other!r}"
                    return
            self.trouble = ""
        except (ApiError, OSError, TimeoutError) as error:
            self.trouble = str(error)

    def close(self) -> None:
        self._gatherer.close()
        super().close()

    def __repr__(self) -> str:
        return words.text(self.picture)


def _lines(events: list[dict[str, Any]]) -> list[str]:
    """The last events of an object, as ``Reason: message (x3)``, oldest first."""
    rows = sorted(events, key=lambda e: str(e.get("lastTimestamp") or e.get("eventTime") or ""))[-EVENT_LINES:]
    return [
        f"{e.get('reason', '')}: {e.get('message', '')}" + (f" (x{e['count']})" if e.get("count", 1) > 1 else "") for e in rows
    ]
