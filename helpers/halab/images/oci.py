"""The OCI image format's own vocabulary: media types, descriptors, digests and canonical JSON. Pure.

Source: https://github.com/opencontainers/image-spec (descriptor.md, manifest.md, config.md).
"""

from __future__ import annotations

import hashlib
import json
import platform
import re
from datetime import UTC, datetime
from typing import Any

from halab.errors import ImageError

Json = dict[str, Any]

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER_TAR = "application/vnd.oci.image.layer.v1.tar"
LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
LAYER_ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"

MANIFESTS = (MANIFEST, DOCKER_MANIFEST)
INDEXES = (INDEX, DOCKER_INDEX)

REF_NAME = "org.opencontainers.image.ref.name"
IMAGE_NAME = "io.containerd.image.name"  # containerd and docker load read the full name from here
BORROWED = "io.halab.borrowed"  # on a layer's descriptor: it only repeats files of the machine it was made on

# Labels that a node agent reads from Image.config["Labels"].
LABEL_BORROWS = "io.halab.borrows"  # "nginx 1.22.1, busybox 1.35.0": programs of this machine that stand in for the real image's
LABEL_NOTE = "io.halab.note"  # one sentence on what differs from the real image
LABEL_HIDES = "io.halab.hides"  # comma-separated absolute paths of the machine that the image does not have
LABEL_PATHS = "io.halab.paths"  # comma-separated directories of the machine, outside /usr and its like, that it needs

_DIGEST = re.compile(r"(?:sha256:)?[0-9a-f]{64}")
EPOCH = "1970-01-01T00:00:00Z"


def architecture() -> str:
    """This machine's architecture in Go's words."""
    return {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}.get(platform.machine(), platform.machine())


def dump(value: Any) -> bytes:
    """JSON as it is hashed: sorted keys, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def hex_of(digest: str) -> str:
    """The part after ``sha256:``. Raises ImageError for what is no digest: the part becomes a file's name, and manifests are written by others."""
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        raise ImageError(f"digest {digest!r}", "is not sha256:<64 hex digits>", "the image is damaged, or not meant well")
    return digest.rpartition(":")[2]


def descriptor(media_type: str, digest: str, size: int, annotations: dict[str, str] | None = None) -> Json:
    found: Json = {"mediaType": media_type, "digest": digest, "size": size}
    if annotations:
        found["annotations"] = dict(annotations)
    return found


def timestamp(seconds: float | None = None) -> str:
    """RFC 3339 in UTC, to the second; now when ``seconds`` is None."""
    moment = datetime.now(UTC) if seconds is None else datetime.fromtimestamp(seconds, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
