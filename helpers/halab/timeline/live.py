"""The live picture of a lab, kept by watches and shared by all that show it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

from halab.backends.access import Api, ApiError, Follow, Obj
from halab.errors import HalabError
from halab.timeline.gather import Gatherer
from halab.timeline.picture import KINDS, Change, Painter, Picture, difference

PATIENCE = 1.5  # seconds without an answer before it is said: an API server that restarts is back sooner
ASK_AGAIN = 0.5  # seconds between two questions to one that is away

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
        self._away_subscribers: list[Callable[[float], None]] = []
        self._away = 0.0
        self._ended = threading.Event()
        self.picture: Picture = {}
        self._gatherer = Gatherer(self.refresh, "live-picture")
        self._outlook = Gatherer(self._look_out, "live-outlook")
        self._follow: Source = source or Follow(api, (*self._kinds, "events"), self.changed, broken=self.broken)
        self.refresh()
        self._gatherer.start()
        self._outlook.start()

    def changed(self) -> None:
        """The source has news; the picture is painted soon."""
        self._gatherer.poke()

    def broken(self) -> None:
        """The way to the API server broke."""
        self._outlook.poke()

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

    def watch_absence(self, told: Callable[[float], None]) -> Callable[[], None]:
        """``told`` is called at once and at every change with the Unix time since which the API server has not answered; 0.0 while it does.
        Returns the function that ends it."""
        with self._lock:
            self._away_subscribers.append(told)
            told(self._away)

        def end() -> None:
            with self._lock:
                if told in self._away_subscribers:
                    self._away_subscribers.remove(told)

        return end

    def _look_out(self) -> None:
        """A watch broke: ask until there is an answer, whatever it is."""
        since = time.time()
        while not self._ended.is_set():
            try:
                self.api.get("namespaces", self.api.namespace)
                break
            except ApiError:
                break
            except (OSError, TimeoutError, HalabError):
                if time.time() - since > PATIENCE:
                    self._say_away(since)
            self._ended.wait(ASK_AGAIN)
        self._say_away(0.0)

    def _say_away(self, since: float) -> None:
        with self._lock:
            if since == self._away:
                return
            self._away = since
            for told in list(self._away_subscribers):
                told(since)

    def pods(self) -> list[Obj]:
        return self._follow.objects("pods")

    def events(self) -> list[Obj]:
        return self._follow.objects("events")

    def close(self) -> None:
        self._ended.set()
        self._outlook.close()
        self._gatherer.close()
        self._follow.close()


def _has_http_routes(api: Api) -> bool:
    """Whether the cluster knows the Gateway API; not every one does."""
    try:
        api.list("httproutes")
    except ApiError:
        return False
    return True
