"""The current objects of each resource, as JSON bytes in the order of their keys, and the watchers of each.

An object is kept serialized: answers and events are made by joining bytes. Beside it stand only its labels and selectable fields, so
that a selector needs no parsing.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

Labels = dict[str, str] | None
Fields = dict[str, str] | None
Describe = Callable[[str, dict[str, Any]], tuple[Labels, Fields]]


def namespace_name(namespace: str, name: str) -> str:
    """The key that orders lists, as etcd's: ``namespace/name``, or the name where there is no namespace."""
    return f"{namespace}/{name}" if namespace else name


class Entry:
    """One revision of one object. ``value`` is its JSON without ``kind`` and ``apiVersion``. Never changed once made."""

    __slots__ = ("fields", "labels", "name", "namespace", "revision", "value")

    def __init__(self, namespace: str, name: str, revision: int, value: bytes, labels: Labels, fields: Fields) -> None:
        self.namespace = namespace
        self.name = name
        self.revision = revision
        self.value = value
        self.labels = labels
        self.fields = fields

    def obj(self) -> dict[str, Any]:
        """A fresh copy of the object (without ``kind`` and ``apiVersion``)."""
        obj: dict[str, Any] = orjson.loads(self.value)
        return obj


@dataclass(slots=True, eq=False)
class Event:
    """One change. ``new`` is the new state (of a deletion: the last one), ``old`` what it replaced, None if the object is new.

    ``rendered`` belongs to the watchers: what one of them serialized, the others reuse.
    """

    resource: str
    revision: int
    deleted: bool
    new: Entry
    old: Entry | None
    rendered: dict[Any, bytes] | None = None


Watcher = Callable[[Event], None]


class Collection:
    """All objects of one resource."""

    __slots__ = ("_by_key", "_keys", "_watchers", "changed")

    def __init__(self) -> None:
        self._by_key: dict[str, Entry] = {}
        self._keys: list[str] = []
        self._watchers: dict[str, set[Watcher]] = {}
        self.changed = 0  # the revision of the last change

    def __len__(self) -> int:
        return len(self._keys)

    def get(self, namespace: str, name: str) -> Entry | None:
        return self._by_key.get(namespace_name(namespace, name))

    def put(self, entry: Entry) -> None:
        key = namespace_name(entry.namespace, entry.name)
        if key not in self._by_key:
            if not self._keys or key > self._keys[-1]:
                self._keys.append(key)
            else:
                insort(self._keys, key)
        self._by_key[key] = entry

    def remove(self, namespace: str, name: str) -> None:
        key = namespace_name(namespace, name)
        if self._by_key.pop(key, None) is not None:
            del self._keys[bisect_left(self._keys, key)]

    def select(self, namespace: str = "") -> list[Entry]:
        """The entries of a namespace (of all, if empty), in the order of their keys."""
        by_key = self._by_key
        if not namespace:
            return [by_key[key] for key in self._keys]
        start = bisect_left(self._keys, namespace + "/")
        end = bisect_left(self._keys, namespace + "0", start)  # "0" follows "/"
        return [by_key[key] for key in self._keys[start:end]]

    def watch(self, namespace: str, watcher: Watcher) -> Callable[[], None]:
        """Call ``watcher`` with every later event of a namespace (of all, if empty), in order; returns how to stop that."""
        watchers = self._watchers.setdefault(namespace, set())
        watchers.add(watcher)

        def stop() -> None:
            watchers.discard(watcher)
            if not watchers and self._watchers.get(namespace) is watchers:
                del self._watchers[namespace]

        return stop

    def publish(self, event: Event) -> None:
        for watcher in list(self._watchers.get("", ())):
            watcher(event)
        if event.new.namespace:
            for watcher in list(self._watchers.get(event.new.namespace, ())):
                watcher(event)
