"""The fault panel: choose a failure of the catalogue, see what it would hit, inject it, heal it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import traitlets

from halab.backends.base import Backend
from halab.errors import HalabError
from halab.faults import api
from halab.timeline.live import Live
from halab.timeline.picture import Change, Picture, views
from halab.widgets.base import PictureWidget, script, style

KINDS = {"pod": "pod", "deployment": "deployment", "service": "service", "node": "node"}


class FaultPanel(PictureWidget):
    """``catalogue`` is what there is, ``targets`` what can be named by kind, ``active`` what is injected now, ``preview`` what the chosen one would hit."""

    _esm = script("common.js", "faults.js")
    _css = style("common.css", "faults.css")
    catalogue: Any = traitlets.List().tag(sync=True)
    targets: Any = traitlets.Dict().tag(sync=True)
    active: Any = traitlets.List().tag(sync=True)
    preview: Any = traitlets.Dict().tag(sync=True)
    busy = traitlets.Bool(False).tag(sync=True)

    def __init__(
        self, live: Live, title: str, backend: Backend, namespace: str, told: Callable[[], None] = lambda: None, **kwargs: Any
    ) -> None:
        """``told`` is called after a failure was injected or healed from here."""
        self._backend, self._namespace, self._changed = backend, namespace, told
        super().__init__(live, title, catalogue=[asdict(one) for one in api.catalogue(backend)], **kwargs)

    def _should_send_property(self, key: str, value: Any) -> bool:
        return key != "delta" and super()._should_send_property(
            key, value
        )  # names of targets are all that is shown of the picture

    def sentence(self, old: Picture, change: Change, new: Picture) -> str:
        return ""

    def refreshed(self) -> None:
        targets = {kind: [view["name"] for view in views(self._live.picture, key)] for kind, key in KINDS.items()}
        if targets != self.targets:
            self.targets = targets
        self._show_active()

    def _show_active(self) -> None:
        active = [asdict(one) for one in api.active(self._backend)]
        if active != self.active:
            self.active = active

    def command(self, content: dict[str, Any]) -> None:
        """Injecting takes its time; the kernel stays free meanwhile."""
        if content.get("do") == "look":  # the time of one is up
            self._show_active()
            return
        threading.Thread(target=self._do, args=(content,), name="fault-panel", daemon=True).start()

    def _do(self, content: dict[str, Any]) -> None:
        self.busy, self.trouble = True, ""
        try:
            match content.get("do"):
                case "preview":
                    seen = api.preview(self._backend, content["fault"], content["target"], namespace=self._namespace)
                    self.preview = {"fault": content["fault"], "target": content["target"], "hits": list(seen.hits)}
                case "inject":
                    made = api.inject(
                        self._backend,
                        content["fault"],
                        content["target"],
                        namespace=self._namespace,
                        duration=content.get("duration"),
                        confirmed=bool(content.get("confirmed")),
                    )
                    self.said = f"injected: {made.injection.fault}; hits {', '.join(made.injection.hits)}"
                    self.preview = {}
                    self._changed()
                case "heal":
                    self.said = f"healed: {api.heal(self._backend, content['id']).fault}"
                    self._changed()
                case "heal-all":
                    self.said = f"healed: {len(api.heal_all(self._backend))}"
                    self._changed()
        except (HalabError, OSError, TimeoutError) as error:
            self.trouble, self.preview = str(error), {}
        finally:
            self._show_active()
            self.busy = False

    def __repr__(self) -> str:
        if not self.active:
            return "no failure is active"
        return "\n".join(f"{one['id']}: {one['fault']} hits {', '.join(one['hits'])}" for one in self.active)
