"""From stored bytes to the bytes of an answer: a plain object, metadata only, or a Table; lists and watch events of each.

Stored values lack ``kind`` and ``apiVersion``; items of lists of built-in kinds are sent that way (as Kubernetes does), everything else
gets them in front. Nothing is parsed for plain JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from halab.cluster.apiserver.request import Request
from halab.cluster.kube import status
from halab.cluster.kube.kinds import Kind
from halab.cluster.store.cache import Entry

Obj = dict[str, Any]
REPRESENTATIONS = (
    "application/json",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
    "application/json;stream=watch",
    "application/vnd.kubernetes.protobuf;stream=watch",
)


@dataclass(frozen=True, slots=True)
class Format:
    """How a client wants objects: ``shape`` is "object", "table" or "metadata"; ``rows`` what a Table carries of each object
    (None, Metadata or Object); ``many`` whether metadata was asked for as that of a list."""

    shape: str = "object"
    yaml: bool = False
    pretty: bool = False
    rows: str = "Metadata"
    version: str = "v1"
    many: bool = False


PLAIN = Format()


def negotiate(request: Request) -> Format:
    """The first acceptable of the Accept header. Raises 406."""
    accept = request.headers.get(b"accept", b"")
    pretty = b"pretty" in request.scope["query_string"] and request.flag("pretty")
    if accept in (b"application/json", b"", b"*/*"):
        return Format(pretty=True) if pretty else PLAIN
    for clause in accept.decode("latin-1").split(","):
        media, *parts = (part.strip() for part in clause.split(";"))
        options = dict(part.split("=", 1) for part in parts if "=" in part)
        yaml = media in ("application/yaml", "application/x-yaml", "text/yaml")
        if media not in ("application/json", "application/*", "*/*") and not yaml:
            continue
        wanted = options.get("as")
        if wanted is None or media == "*/*":
            return Format(yaml=yaml, pretty=pretty)
        if options.get("g") != "meta.k8s.io" or options.get("v") not in ("v1", "v1beta1"):
            continue
        if wanted == "Table":
            return Format("table", yaml, pretty, request.param("includeObject") or "Metadata", options["v"])
        if wanted in ("PartialObjectMetadata", "PartialObjectMetadataList"):
            return Format("metadata", yaml, pretty, version=options["v"], many=wanted.endswith("List"))
    raise status.not_acceptable(REPRESENTATIONS)


def type_prefix(kind: Kind) -> bytes:
    """What goes in front of a stored value."""
    if kind.custom:
        return b'{"apiVersion":"%s","kind":"%s",' % (kind.api_version.encode(), kind.kind.encode())
    return b'{"kind":"%s","apiVersion":"%s",' % (kind.kind.encode(), kind.api_version.encode())


def plain(kind: Kind, value: bytes) -> bytes:
    """A whole object."""
    return type_prefix(kind) + value[1:]


def typed(kind: Kind, obj: Obj) -> Obj:
    """The object with ``kind`` and ``apiVersion`` in front."""
    return {"kind": kind.kind, "apiVersion": kind.api_version} | {k: v for k, v in obj.items() if k not in ("kind", "apiVersion")}


def untyped(obj: Obj) -> bytes:
    """The bytes that are stored for an object."""
    return orjson.dumps({key: part for key, part in obj.items() if key not in ("kind", "apiVersion")})


def metadata_only(entry_value: bytes, version: str = "v1") -> bytes:
    meta = orjson.loads(entry_value)["metadata"]
    return orjson.dumps({"kind": "PartialObjectMetadata", "apiVersion": f"meta.k8s.io/{version}", "metadata": meta})


def go_package(kind: Kind) -> str:
    """The Go package of a built-in kind's internal type."""
    package = kind.group.removesuffix(".k8s.io").removesuffix(".authorization") or "core"
    return "core" if package == "events" else package


TableMaker = Callable[[Kind, Sequence[Obj], str], Obj]


class Renderer:
    """Renders the objects of one kind in one format. ``table`` makes a Table of whole objects; ``convert`` turns a stored value into the
    kind's own version (None: they are the same)."""

    def __init__(self, kind: Kind, form: Format, table: TableMaker, convert: Callable[[bytes], bytes] | None = None) -> None:
        self.kind = kind
        self.form = form
        self.key = (kind.group, kind.version, form)
        self._table = table
        self._convert = convert
        self._prefix = type_prefix(kind)

    def value(self, entry: Entry) -> bytes:
        return self._convert(entry.value) if self._convert else entry.value

    def one(self, value: bytes, resource_version: str = "", columns: bool = True, watching: bool = False) -> bytes:
        """A single object, from its (converted) stored value."""
        match self.form.shape:
            case "metadata":
                if self.form.many and not watching:
                    raise self._unfit("PartialObjectMetadataList, but the requested object is not a list", "")
                return metadata_only(value, self.form.version)
            case "table":
                obj = typed(self.kind, orjson.loads(value))
                table = self._table(self.kind, [obj], self.form.rows)
                table["metadata"] = {"resourceVersion": resource_version or obj["metadata"].get("resourceVersion", "")}
                if not columns:
                    table["columnDefinitions"] = None
                return orjson.dumps(self._versioned(table))
        return self._prefix + value[1:]

    def _unfit(self, wanted: str, suffix: str) -> status.ApiError:
        """The 406 of one object where a list was asked for, or the other way round; it names Kubernetes' Go type."""
        name = "unstructured.Unstructured" if self.kind.custom else f"{go_package(self.kind)}.{self.kind.kind}"
        return status.ApiError(406, f"you requested {wanted} (*{name}{suffix})", "NotAcceptable")

    def _versioned(self, table: Obj) -> Obj:
        return table | {"apiVersion": f"meta.k8s.io/{self.form.version}"} if self.form.version != "v1" else table

    def many(self, entries: Sequence[Entry], meta: Obj) -> bytes:
        """A list; ``meta`` is its metadata (resourceVersion, continue, remainingItemCount)."""
        match self.form.shape:
            case "metadata":
                if not self.form.many:
                    raise self._unfit("PartialObjectMetadata, but the requested object is a list", "List")
                items = [metadata_only(entry.value, self.form.version) for entry in entries]
                return self._join(b"PartialObjectMetadataList", b"meta.k8s.io/" + self.form.version.encode(), meta, items)
            case "table":
                objects = [typed(self.kind, orjson.loads(self.value(entry))) for entry in entries]
                table = self._table(self.kind, objects, self.form.rows)
                table["metadata"] = meta
                return orjson.dumps(self._versioned(table))
        if self.kind.custom:
            items = [self._prefix + self.value(entry)[1:] for entry in entries]
        elif self._convert:
            items = [self._convert(entry.value) for entry in entries]
        else:
            items = [entry.value for entry in entries]
        return self._join(self.kind.list_kind.encode(), self.kind.api_version.encode(), meta, items)

    @staticmethod
    def _join(kind: bytes, api_version: bytes, meta: Obj, items: Sequence[bytes]) -> bytes:
        head = b'{"kind":"%s","apiVersion":"%s","metadata":%s,"items":[' % (kind, api_version, orjson.dumps(meta))
        return b"".join((head, b",".join(items), b"]}"))

    def finish(self, body: bytes) -> tuple[bytes, bytes]:
        """(body, content type) as the client asked."""
        return finish(body, self.form)


def finish(body: bytes, form: Format) -> tuple[bytes, bytes]:
    if form.yaml:
        from halab.cluster.apiserver.goyaml import dump

        return dump(orjson.loads(body)), b"application/yaml"
    if form.pretty:
        return orjson.dumps(orjson.loads(body), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE), b"application/json"
    return body + b"\n", b"application/json"
