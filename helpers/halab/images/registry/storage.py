"""What a registry keeps: blobs by digest, manifests and tags by repository, uploads under way; every write is atomic."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from halab.images import oci
from halab.images.blobs import Blobs

NAME = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*\Z")
TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}\Z")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}\Z")


class RegistryError(Exception):
    """An error of the protocol: an HTTP status, a code of the specification, a message for people."""

    def __init__(self, status: int, code: str, message: str, detail: Any = None) -> None:
        self.status, self.code, self.message, self.detail = status, code, message, detail
        super().__init__(f"{code}: {message}")


@dataclass(frozen=True, slots=True)
class Manifest:
    data: bytes
    digest: str
    media_type: str


class Storage:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.blobs = Blobs(root)
        self.repositories = root / "repositories"
        self.uploads = root / "uploads"
        self.repositories.mkdir(exist_ok=True)
        self.uploads.mkdir(exist_ok=True)
        self.blobs.sweep()

    def _repository(self, name: str) -> Path:
        if not NAME.match(name):
            raise RegistryError(
                400, "NAME_INVALID", f"invalid repository name {name!r}: lowercase letters, digits and separators only"
            )
        return self.repositories / name.replace("/", "%2F")

    # -- blobs ------------------------------------------------------------------------------------------------------------------------

    def blob(self, name: str, digest: str) -> Path:
        """The blob's file, if the repository has it."""
        if not DIGEST.match(digest):
            raise RegistryError(400, "DIGEST_INVALID", f"{digest} is not sha256:<64 hex digits>")
        if not (self._repository(name) / "blobs" / oci.hex_of(digest)).exists() or not self.blobs.has(digest):
            raise RegistryError(404, "BLOB_UNKNOWN", "blob unknown to registry", {"name": name, "digest": digest})
        return self.blobs.path(digest)

    def _own(self, name: str, digest: str) -> None:
        place = self._repository(name) / "blobs" / oci.hex_of(digest)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()

    def mount(self, name: str, digest: str, source: str) -> bool:
        """Make a blob of another repository known in this one, without sending it again."""
        try:
            self.blob(source, digest)
        except RegistryError:
            return False
        self._own(name, digest)
        return True

    def begin(self, name: str) -> str:
        self._repository(name)
        ident = secrets.token_hex(16)
        (self.uploads / ident).touch()
        return ident

    def upload(self, ident: str) -> Path:
        path = self.uploads / ident
        if not re.fullmatch(r"[0-9a-f]{32}", ident) or not path.exists():
            raise RegistryError(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry: begin a new one")
        return path

    def finish(self, name: str, ident: str, digest: str) -> None:
        """Take a complete upload; what does not have the promised digest is thrown away."""
        path = self.upload(ident)
        if not DIGEST.match(digest):
            raise RegistryError(400, "DIGEST_INVALID", f"{digest!r} is not sha256:<64 hex digits>")
        with path.open("rb") as source:
            found = "sha256:" + hashlib.file_digest(source, "sha256").hexdigest()
        if found != digest:
            path.unlink()
            raise RegistryError(
                400, "DIGEST_INVALID", "provided digest did not match uploaded content", {"sent": digest, "content": found}
            )
        self.blobs.adopt(path, digest)
        self._own(name, digest)

    # -- manifests --------------------------------------------------------------------------------------------------------------------

    def put_manifest(self, name: str, reference: str, data: bytes, media_type: str) -> Manifest:
        repository = self._repository(name)
        digest = oci.digest_of(data)
        if ":" in reference and reference != digest:
            raise RegistryError(
                400, "DIGEST_INVALID", "the manifest's content does not have the digest it was sent under", {"content": digest}
            )
        if ":" not in reference and not TAG.match(reference):
            raise RegistryError(400, "TAG_INVALID", f"invalid tag {reference!r}")
        try:
            document = json.loads(data)
            needed = (
                []
                if "manifests" in document
                else [document["config"]["digest"], *(layer["digest"] for layer in document["layers"])]
            )
        except (ValueError, KeyError, TypeError):
            raise RegistryError(400, "MANIFEST_INVALID", "the manifest is not a JSON image manifest or index") from None
        for blob in needed:
            if not DIGEST.match(str(blob)):
                raise RegistryError(400, "MANIFEST_INVALID", f"{blob!r} is not sha256:<64 hex digits>")
            if not (repository / "blobs" / oci.hex_of(str(blob))).exists():
                raise RegistryError(
                    404, "MANIFEST_BLOB_UNKNOWN", "a blob of the manifest is unknown to registry: push it first", {"digest": blob}
                )
        self.blobs.write(data)
        place = repository / "manifests" / oci.hex_of(digest)
        place.parent.mkdir(parents=True, exist_ok=True)
        kind = media_type or document.get("mediaType") or oci.MANIFEST
        self.blobs.replace_file(place, kind.encode())
        if ":" not in reference:
            tag = repository / "tags" / reference
            tag.parent.mkdir(parents=True, exist_ok=True)
            self.blobs.replace_file(tag, digest.encode())
        return Manifest(data, digest, kind)

    def manifest(self, name: str, reference: str) -> Manifest:
        repository = self._repository(name)
        digest = reference
        if ":" not in reference:
            tag = repository / "tags" / reference
            if not TAG.match(reference) or not tag.exists():
                raise RegistryError(
                    404, "MANIFEST_UNKNOWN", f"manifest unknown: {name}:{reference} is not in this registry", {"tag": reference}
                )
            digest = tag.read_text()
        if not DIGEST.match(digest) or not (place := repository / "manifests" / oci.hex_of(digest)).exists():
            raise RegistryError(404, "MANIFEST_UNKNOWN", f"manifest unknown: {name}@{digest}", {"digest": digest})
        return Manifest(self.blobs.read(digest), digest, place.read_text())

    def delete_manifest(self, name: str, reference: str) -> None:
        """By digest: the manifest and all its tags; by tag: only that tag."""
        manifest = self.manifest(name, reference)
        tags = self._repository(name) / "tags"
        if ":" not in reference:
            (tags / reference).unlink()
            return
        for tag in self.tags(name):
            if (tags / tag).read_text() == manifest.digest:
                (tags / tag).unlink()
        (self._repository(name) / "manifests" / oci.hex_of(manifest.digest)).unlink()

    def tags(self, name: str) -> list[str]:
        repository = self._repository(name)
        if not repository.exists():
            raise RegistryError(404, "NAME_UNKNOWN", f"repository name not known to registry: {name}", {"name": name})
        return sorted(path.name for path in (repository / "tags").iterdir()) if (repository / "tags").exists() else []

    def catalog(self) -> list[str]:
        return sorted(path.name.replace("%2F", "/") for path in self.repositories.iterdir() if (path / "tags").exists())
