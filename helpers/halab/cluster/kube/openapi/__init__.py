"""OpenAPI documents: what ``kubectl explain``, ``apply`` and ``create --validate`` read.

``index`` and ``document`` are version 3 (one document a group version), ``v2`` is the one document of version 2, as JSON and as
the protobuf that old kubectls want. Documents are made when first asked for and kept as files, because making them means reading
1.5 MB of descriptions; what is kept is found by a hash of everything that went in, so it is never stale.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import orjson

from halab.cluster.kube.kinds import Kind
from halab.cluster.kube.types import Obj
from halab.settings import KUBERNETES_VERSION, halab_home

V2_PROTOBUF = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
"""Clients may ask with "@v1.0", but Go cannot parse that in an answer."""
_FORM = 1  # raise it when what is generated changes


def index(kinds: Iterable[Kind]) -> Obj:
    """``/openapi/v3``: the documents, each with a URL that changes with its content."""
    groups = _by_path(kinds)
    return {
        "paths": {
            path: {"serverRelativeURL": f"/openapi/v3/{path}?hash={fingerprint(served)}"}
            for path, served in sorted(groups.items())
        }
    }


def document(kinds: Iterable[Kind], path: str, cache: Path | None = None) -> bytes | None:
    """The version 3 document of ``apis/apps/v1`` or ``api/v1``, as JSON; None if nothing is served there."""
    served = _by_path(kinds).get(path.strip("/"))
    if not served:
        return None
    return _kept(f"v3-{fingerprint(served)}.json", cache, lambda: _v3(served))


def v2(kinds: Iterable[Kind], protobuf: bool = False, cache: Path | None = None) -> tuple[bytes, bytes]:
    """(body, content type) of ``/openapi/v2``."""
    kinds = list(kinds)
    if protobuf:
        return _kept(f"v2-{fingerprint(kinds)}.pb", cache, lambda: _v2_protobuf(kinds)), V2_PROTOBUF.encode()
    return _kept(f"v2-{fingerprint(kinds)}.json", cache, lambda: _v2_json(kinds)), b"application/json"


def fingerprint(kinds: Sequence[Kind]) -> str:
    """A hash of what the kinds' document is made from; cheap, for the index has one for each document."""
    from halab.cluster.kube import crd

    digest = hashlib.sha256(f"{_FORM} {KUBERNETES_VERSION}".encode())
    for kind in kinds:
        facts = (
            kind.group,
            kind.version,
            kind.kind,
            kind.plural,
            kind.namespaced,
            kind.verbs,
            kind.definition,
            repr(kind.subresources),
        )
        digest.update(repr(facts).encode())
        if kind.custom:
            digest.update(orjson.dumps(crd.openapi_schema(kind), option=orjson.OPT_SORT_KEYS))
    return digest.hexdigest().upper()


def _by_path(kinds: Iterable[Kind]) -> dict[str, list[Kind]]:
    found: dict[str, list[Kind]] = {}
    for kind in kinds:
        path = f"apis/{kind.group}/{kind.version}" if kind.group else f"api/{kind.version}"
        found.setdefault(path, []).append(kind)
    return found


def _v3(kinds: Sequence[Kind]) -> bytes:
    from halab.cluster.kube.openapi import v3

    return orjson.dumps(v3.document(kinds))


def _v2_json(kinds: Sequence[Kind]) -> bytes:
    from halab.cluster.kube.openapi import swagger

    return orjson.dumps(swagger.document(kinds))


def _v2_protobuf(kinds: Sequence[Kind]) -> bytes:
    from halab.cluster.kube.openapi import gnostic, swagger

    return gnostic.encode(swagger.document(kinds))


def _kept(name: str, cache: Path | None, make: Callable[[], bytes]) -> bytes:
    """The file's content, made and written if it is not there. A folder that cannot be written costs time, not the answer."""
    path = (cache or halab_home() / "cache" / "openapi") / name
    try:
        return path.read_bytes()
    except OSError:
        body = make()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(body)
        Path(temporary).replace(path)
    except OSError:
        pass
    return body
