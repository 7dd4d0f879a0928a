"""A cache of one kind that follows the API server, and callbacks for its changes.

List, then watch from the list's version; on 410 list again and hand out the differences; on a broken connection go on from the last
version seen. Objects in the cache are shared and must not be changed by those who read them: copy first.
``SharedInformers`` gives all controllers of a process the same cache of a kind.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterable

from halab.cluster.client.client import Client
from halab.cluster.kube.kinds import Kind
from halab.cluster.kube.status import ApiError
from halab.cluster.kube.types import Obj
from halab.errors import HalabError

log = logging.getLogger(__name__)

Key = tuple[str, str]  # namespace ("" for cluster-scoped kinds), name
Handler = Callable[[Obj | None, Obj | None], None]
IndexFunction = Callable[[Obj], Iterable[str]]

FIRST_RETRY, LAST_RETRY = 0.02, 5.0  # seconds; a restarted API server is found again fast, a lost one is not hammered


def key_of(obj: Obj) -> Key:
    meta = obj["metadata"]
    return meta.get("namespace", ""), meta["name"]


def _version_of(text: str) -> int:
    return int(text) if text.isdecimal() else 0


def _version(obj: Obj) -> int:
    return _version_of(obj["metadata"].get("resourceVersion") or "")


def slim(obj: Obj) -> Obj:
    """Drop what no controller reads: managedFields are a third of a typical object (and absent means unchanged in an update)."""
    obj["metadata"].pop("managedFields", None)
    return obj


class Informer:
    """``cache`` maps (namespace, name) to the object. Call ``start`` once inside a running loop, then await ``synced``.

    Handlers get (old, new): (None, obj) added, (old, new) changed, (obj, None) deleted. They run in the loop, must not block, and
    one that is added late is told of everything already in the cache.
    """

    def __init__(
        self,
        client: Client,
        kind: Kind,
        namespace: str | None = None,
        *,
        label_selector: str | None = None,
        field_selector: str | None = None,
        metadata_only: bool = False,
        transform: Callable[[Obj], Obj] = slim,
        broken: Callable[[], None] = lambda: None,
    ) -> None:
        """``broken`` is called (in the loop) whenever the way to the API server breaks; the informer goes on trying."""
        self._broken = broken
        self.client, self.kind, self.namespace = client, kind, namespace
        self._selectors = {"label_selector": label_selector, "field_selector": field_selector}
        self._metadata_only = metadata_only
        self._transform = transform
        self.cache: dict[Key, Obj] = {}
        self.resource_version = ""
        self._handlers: list[Handler] = []
        self._index_functions: dict[str, IndexFunction] = {}
        self._indexes: dict[str, dict[str, dict[Key, Obj]]] = {}
        self._doomed: dict[Key, tuple[str, str]] = {}  # deletions that were accepted and that the watch has not told of yet
        self._synced = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    # Reading

    def get(self, namespace: str | None, name: str) -> Obj | None:
        return self.cache.get((namespace or "", name))

    def objects(self, namespace: str | None = None) -> list[Obj]:
        """All objects, or those of ``namespace`` (by index, not by scanning)."""
        if namespace is None:
            return list(self.cache.values())
        if "namespace" not in self._index_functions:
            self.add_index("namespace", lambda obj: (obj["metadata"].get("namespace", ""),))
        return self.indexed("namespace", namespace)

    def add_index(self, name: str, function: IndexFunction) -> None:
        """Keep the objects findable by the values that ``function`` gives for each. Adding a name twice is harmless."""
        if name in self._index_functions:
            return
        self._index_functions[name] = function
        self._indexes[name] = {}
        for key, obj in self.cache.items():
            for value in function(obj):
                self._indexes[name].setdefault(value, {})[key] = obj

    def indexed(self, name: str, value: str) -> list[Obj]:
        found = self._indexes[name].get(value)
        return list(found.values()) if found else []

    def add_handler(self, handler: Handler) -> None:
        self._handlers.append(handler)
        for obj in list(self.cache.values()):
            self._tell(handler, None, obj)

    async def synced(self) -> None:
        """Until the first list is in the cache and its handlers have been told."""
        await self._synced.wait()

    @property
    def has_synced(self) -> bool:
        return self._synced.is_set()

    # Reading one's own writes

    def observe(self, obj: Obj) -> None:
        """Take an object that the server just answered with (create, update, patch) into the cache, before the watch tells of it.

        What a controller wrote it sees at once, so it needs no book of expected changes and never acts on a cache that lacks its own writes.
        """
        version = _version(obj)
        key = key_of(obj)
        old = self.cache.get(key)
        if not version or version <= _version_of(self.resource_version) or (old is not None and version <= _version(old)):
            return  # the watch is further already; an object absent from the cache may be deleted again
        if obj["metadata"].get("deletionTimestamp") and not obj["metadata"].get("finalizers") and old is None:
            return
        self._put(key, obj)

    def observe_deletion(self, obj: Obj, timestamp: str) -> None:
        """``obj`` was asked to be deleted with success: until the watch tells the rest, it counts as being deleted."""
        key = key_of(obj)
        current = self.cache.get(key)
        uid = obj["metadata"].get("uid", "")
        if current is None or current["metadata"].get("uid") != uid or current["metadata"].get("deletionTimestamp"):
            return
        self._doomed[key] = (uid, timestamp)
        self._put(key, {**current, "metadata": dict(current["metadata"])})

    # Following

    def start(self) -> Informer:
        if self._task is None:
            self._task = asyncio.create_task(self._follow(), name=f"informer-{self.kind.plural}")
        return self

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _follow(self) -> None:
        delay = FIRST_RETRY
        listed = False
        while True:
            try:
                if not listed:
                    await self._relist()
                    listed = True
                    self._synced.set()
                    delay = FIRST_RETRY
                async for kind, obj in self.client.watch(
                    self.kind, self.namespace, self.resource_version, metadata_only=self._metadata_only, **self._selectors
                ):
                    self._event(kind, obj)
                    delay = FIRST_RETRY
                continue  # the server ended the watch in order; go on from the last version
            except ApiError as exc:
                listed = listed and exc.code != 410
                if exc.code == 404 and not self._synced.is_set():  # an older server has no such kind: nobody need wait for it
                    self._synced.set()
                log.log(
                    logging.DEBUG if exc.code == 410 else logging.WARNING, "%s: list or watch refused: %s", self.kind.plural, exc
                )
            except (OSError, TimeoutError) as exc:
                log.debug("%s: watch broken: %r", self.kind.plural, exc)
                self._broken()
            except HalabError as exc:
                log.warning("%s: no credentials: %s", self.kind.plural, exc)
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))
            delay = min(delay * 2, LAST_RETRY)

    async def _relist(self) -> None:
        items, version = await self.client.list(self.kind, self.namespace, metadata_only=self._metadata_only, **self._selectors)
        new = {key_of(item): item for item in items}
        for key in [key for key in self.cache if key not in new]:
            self._put(key, None)
        for key, obj in new.items():
            old = self.cache.get(key)
            if old is None or old["metadata"].get("resourceVersion") != obj["metadata"].get("resourceVersion"):
                self._put(key, obj)
        self.resource_version = version

    def _event(self, kind: str, obj: Obj) -> None:
        self.resource_version = obj["metadata"].get("resourceVersion", self.resource_version)
        if kind == "BOOKMARK":
            return
        old = self.cache.get(key_of(obj))
        if old is not None and _version(obj) and _version(obj) <= _version(old) and kind != "DELETED":
            return  # observed before
        self._put(key_of(obj), None if kind == "DELETED" else obj, deleted=obj if kind == "DELETED" else None)

    def _put(self, key: Key, obj: Obj | None, *, deleted: Obj | None = None) -> None:
        old = self.cache.get(key)
        doomed = self._doomed.get(key)
        if obj is not None:
            obj = self._transform(obj)
        if doomed is not None:
            if obj is None or obj["metadata"].get("uid") != doomed[0] or obj["metadata"].get("deletionTimestamp"):
                del self._doomed[key]
            else:
                obj["metadata"]["deletionTimestamp"] = doomed[1]
        if old is not None:
            for name, function in self._index_functions.items():
                index = self._indexes[name]
                for value in function(old):
                    entries = index.get(value)
                    if entries is not None:
                        entries.pop(key, None)
                        if not entries:
                            del index[value]
        if obj is None:
            self.cache.pop(key, None)
        else:
            # A recreated object is a deletion and an addition for those who count (like client-go's expectations by uid).
            if old is not None and old["metadata"].get("uid") != obj["metadata"].get("uid"):
                self.cache.pop(key, None)
                self._tell_all(old, None)
                old = None
            self.cache[key] = obj
            for name, function in self._index_functions.items():
                for value in function(obj):
                    self._indexes[name].setdefault(value, {})[key] = obj
        if old is None and obj is None:
            return
        self._tell_all(deleted if obj is None and deleted is not None else old, obj)

    def _tell_all(self, old: Obj | None, new: Obj | None) -> None:
        for handler in self._handlers:
            self._tell(handler, old, new)

    def _tell(self, handler: Handler, old: Obj | None, new: Obj | None) -> None:
        try:
            handler(old, new)
        except Exception:
            log.exception("%s: a handler failed", self.kind.plural)


class SharedInformers:
    """One informer a kind, shared by all that run in this process. ``informers(PODS)`` makes or finds it.

    With ``field_selector`` it is one of its own, which holds only the objects selected (a fixed name in every namespace, say).
    """

    def __init__(self, client: Client) -> None:
        self.client = client
        self._informers: dict[tuple[Kind, str], Informer] = {}
        self._started = False

    def __call__(self, kind: Kind, *, field_selector: str = "") -> Informer:
        informer = self._informers.get((kind, field_selector))
        if informer is None:
            informer = self._informers[kind, field_selector] = Informer(self.client, kind, field_selector=field_selector or None)
            if self._started:
                informer.start()
        return informer

    def has(self, kind: Kind) -> bool:
        """Whether somebody here follows all objects of ``kind``."""
        return (kind, "") in self._informers

    def observe(self, kind: Kind, obj: Obj) -> None:
        """See ``Informer.observe``; nothing happens for a kind that nobody here follows."""
        informer = self._informers.get((kind, ""))
        if informer is not None and informer.has_synced:
            informer.observe(obj)

    def observe_deletion(self, kind: Kind, obj: Obj, timestamp: str) -> None:
        informer = self._informers.get((kind, ""))
        if informer is not None:
            informer.observe_deletion(obj, timestamp)

    def start(self) -> None:
        """Start all informers; those asked for later start at once."""
        self._started = True
        for informer in self._informers.values():
            informer.start()

    async def synced(self) -> None:
        await asyncio.gather(*(informer.synced() for informer in self._informers.values()))

    async def stop(self) -> None:
        await asyncio.gather(*(informer.stop() for informer in self._informers.values()))
