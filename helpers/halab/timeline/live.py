"""The live picture of a lab, kept by watches and shared by all that show it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

from halab.backends.access import Api, ApiError, Follow, Obj
from halab.timeline.gather import Gatherer
from halab.timeline.picture import KINDS, Change, Painter, Picture, difference

Told = Callable[[Picture, Change, Picture], None]  # (the old picture, what changed, the new one)


class Source(Protocol):
    """Where objects come from, such as ``Follow``."""

    def objects(self, kind: str) -> list[Obj]: ...

    def close(self) -> None: ...


class Live:
    """``picture`` is the newest. Subscribers are told (in a thread) of every change; events go to ``heard`` one by one.

    It re-attaches by itself when the API server was away.
    """

    def __init__(self, api: Api, source: Source | None = None) -> None:
        """``source`` gives the objects; by default they are followed by watches."""
        self.api = api
        self._kinds = tuple(kind for kind in KINDS if kind != "httproutes" or source is not None or _has_http_routes(api))
        self._painter = Painter()
        self._lock = threading.RLock()
        self._subscribers: list[Told] = []
        self.picture: Picture = {}
        self._gatherer = Gatherer(self.refresh, "live-picture")
        self._follow: Source = source or Follow(api, (*self._kinds, "events"), self.changed)
        self.refresh()
        self._gatherer.start()

    def changed(self) -> None:
        """The source has news; the picture is painted soon."""
        self._gatherer.poke()

    def refresh(self) -> None:
        with self._lock:
            old = self.picture
            new = self._painter.paint({kind: self._follow.objects(kind) for kind in self._kinds})
            change = difference(old, new)
            self.picture = new
            for told in list(self._subscribers):
                told(old, change, new)

    def subscribe(self, told: Told) -> Callable[[], None]:
        """``told`` is called at once with the whole picture, then for every change (also for one that only brings events: the change is then
        empty). Returns the function that ends it."""
        with self._lock:
            self._subscribers.append(told)
            told({}, {"set": self.picture, "gone": []}, self.picture)

        def end() -> None:
            with self._lock:
                if told in self._subscribers:
                    self._subscribers.remove(told)

        return end

    def pods(self) -> list[Obj]:
        return self._follow.objects("pods")

    def events(self) -> list[Obj]:
        return self._follow.objects("events")

    def close(self) -> None:
        self._gatherer.close()
        self._follow.close()


def _has_http_routes(api: Api) -> bool:
    """Whether the cluster knows the Gateway API; not every one does."""
    try:
        api.list("httproutes")
    except ApiError:
        return False
    return True
