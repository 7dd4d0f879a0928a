"""The way of a request: Ingress or HTTPRoute, Service, EndpointSlice, pod; with the share of users' requests that each pod answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import traitlets

from halab.timeline import words
from halab.timeline.live import Live
from halab.timeline.picture import Change, Picture
from halab.widgets.base import PictureWidget, script, style


class Routes(PictureWidget):
    """``shares`` counts the requests that were answered lately, by the door they came in at and by pod: ``{"service/web": {"web-1": 10}}``, ``ingress``
    for all routes. It changes while a traffic meter runs (``count``)."""

    _esm = script("common.js", "routes.js")
    _css = style("common.css", "routes.css")
    shares: Any = traitlets.Dict().tag(sync=True)

    def __init__(self, live: Live, title: str, **kwargs: Any) -> None:
        super().__init__(live, title, **kwargs)

    def count(self, shares: Mapping[str, Mapping[str, int]]) -> None:
        """The newest counts, from whoever sends requests."""
        self.shares = {door: dict(counts) for door, counts in shares.items()}

    def sentence(self, old: Picture, change: Change, new: Picture) -> str:
        said = []
        for key in change["set"]:
            if key.startswith("service/"):
                service, was = new[key], old.get(key)
                if was is None or was["ready"] != service["ready"]:
                    said.append(f"service {service['name']} leads to {service['ready']} of {len(service['targets'])} pods")
            elif key.startswith("route/") and key not in old:
                said.append(f"new route {new[key]['name']}")
        said += [
            f"{key.partition('/')[0]} {old[key]['name']} is gone"
            for key in change["gone"]
            if key.startswith(("service/", "route/"))
        ]
        return "; ".join(said[: words.MOST])

    def __repr__(self) -> str:
        return "\n".join(
            line for line in words.text(self.picture).splitlines() if not line.startswith(("node ", "  pod ", "no node"))
        )
