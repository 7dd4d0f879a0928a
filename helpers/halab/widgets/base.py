"""What all widgets share: how their files are read, how a picture travels, and how a widget is made again after its kernel was restarted."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from halab.timeline import words
from halab.timeline.gather import Gatherer
from halab.timeline.live import Live
from halab.timeline.picture import Change, Picture

log = logging.getLogger(__name__)
FOLDER = Path(__file__).parent

__all__ = ["FOLDER", "Gatherer", "PictureWidget", "Widget", "script", "style"]


def script(*names: str) -> str:
    """The text of some scripts, in order. Modules are loaded from a Blob, where relative imports do not work, so they are joined."""
    return "\n".join((FOLDER / name).read_text() for name in names)


style = script


class Widget(anywidget.AnyWidget):
    """The base of halab's widgets. ``again`` is the Python expression that makes this widget in a fresh kernel (empty: it cannot be made so).
    ``close`` ends what runs for it."""

    again = traitlets.Unicode("").tag(sync=True)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        _heard_while_cells_run(self.comm)


def _heard_while_cells_run(comm: Any) -> None:
    """JupyterLab sends what is done to widgets to a subshell of the kernel, so that a button works while a cell runs. Newer ipykernels redirect that
    to the shell in whose name the widget spoke last: for a thread that is the one which runs cells, and the button would wait. It is left where it was sent."""
    if hasattr(comm, "_reply_subshell_for"):
        comm._reply_subshell_for = lambda _data, sent_to: sent_to


class PictureWidget(Widget):
    """A widget that shows the live picture. The browser has the whole picture once (``state``), then only what changes (``delta``).

    ``state`` is ``{"seq", "picture"}``; it is kept whole here for a page that is loaded anew, but is not sent at every change.
    """

    title = traitlets.Unicode("").tag(sync=True)
    state: Any = traitlets.Dict().tag(sync=True)
    delta: Any = traitlets.Dict().tag(sync=True)
    said = traitlets.Unicode("").tag(sync=True)
    trouble = traitlets.Unicode("").tag(sync=True)
    away = traitlets.Unicode("").tag(sync=True)
    """Not empty while the API server does not answer: what is shown is what was."""

    def __init__(self, live: Live, title: str, **kwargs: Any) -> None:
        self._live = live
        self._ends: list[Callable[[], None]] = []
        super().__init__(title=title, state={"seq": 0, "picture": live.picture}, **kwargs)
        self._seen = threading.Lock()
        self.on_msg(self._command)
        self._ends = [live.subscribe(self._told), live.watch_absence(self._told_away)]

    def _should_send_property(self, key: str, value: Any) -> bool:
        """``state`` is sent when it is asked for (a page that is loaded, a change that was missed), not whenever it changes."""
        return key != "state" and bool(super()._should_send_property(key, value))

    def _told(self, old: Picture, change: Change, new: Picture) -> None:
        if change["set"] or change["gone"]:
            with self._seen:
                seq = self.state["seq"] + 1
                self.state = {"seq": seq, "picture": new}
                self.delta = {"seq": seq, **change}
            if said := self.sentence(old, change, new) if old else "":
                self.said = said
        self.refreshed()

    def _told_away(self, since: float) -> None:
        self.away = (
            f"The API server has not answered since {time.strftime('%H:%M:%S', time.localtime(since))}; this is how it was then. "
            "If nobody stopped it on purpose: !halab status"
            if since
            else ""
        )

    def sentence(self, old: Picture, change: Change, new: Picture) -> str:
        """What changed, in words."""
        return words.changed(old, change, new)

    def refreshed(self) -> None:
        """Called after every round of changes."""

    def _command(self, _widget: Any, content: dict[str, Any], _buffers: Any) -> None:
        if content.get("do") == "whole":
            self.send_state("state")
        else:
            self.command(content)

    def command(self, content: dict[str, Any]) -> None:
        """What the learner asked for."""

    @property
    def picture(self) -> Picture:
        found: Picture = self.state["picture"]
        return found

    def close(self) -> None:
        for end in self._ends:
            end()
        super().close()
