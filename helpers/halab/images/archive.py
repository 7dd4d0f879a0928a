"""``save`` and ``load``: images as one tar file, both an OCI archive (skopeo, containerd) and what ``docker load`` reads.

The file is an OCI layout with Docker's ``manifest.json`` beside ``index.json``, as ``docker save`` itself writes it since version 25. An image
that stands on this machine's programs carries them in its lowest layer, so it runs elsewhere too.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from halab.errors import ImageError
from halab.images import oci
from halab.images.image import Image
from halab.images.reference import Reference
from halab.images.store import ImageStore

_BLOBS = "blobs/sha256/"


def save(store: ImageStore, references: Sequence[str], out: IO[bytes]) -> list[Image]:
    """Write the images to a tar stream. The same images give the same bytes. Raises ImageError for an unknown one, before writing."""
    images = [store.resolve(reference) for reference in references]
    blobs: dict[str, None] = {}
    index, docker = [], []
    for reference, image in zip(references, images, strict=True):
        data = store.blobs.read(image.digest)
        layers = [layer["digest"] for layer in image.manifest["layers"]]
        blobs |= dict.fromkeys([image.digest, image.config_digest, *layers])
        named = image.reference.tag
        annotations = (
            {oci.REF_NAME: image.reference.tag, oci.IMAGE_NAME: f"{image.reference.full_name}:{image.reference.tag}"}
            if named
            else None
        )
        index.append(oci.descriptor(image.manifest.get("mediaType", oci.MANIFEST), image.digest, len(data), annotations))
        docker.append(
            {
                "Config": _BLOBS + oci.hex_of(image.config_digest),
                "RepoTags": [f"{image.reference.familiar_name}:{image.reference.tag}"] if named else None,
                "Layers": [_BLOBS + oci.hex_of(layer) for layer in layers],
            }
        )
        del reference
    with tarfile.open(fileobj=out, mode="w|", bufsize=1 << 18) as tar:
        for name in ("blobs", "blobs/sha256"):
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(folder)
        for digest in sorted(blobs):
            with store.blobs.path(digest).open("rb") as source:
                member = tarfile.TarInfo(_BLOBS + oci.hex_of(digest))
                member.size = os.fstat(source.fileno()).st_size
                tar.addfile(member, source)
        documents = {
            "index.json": {"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": index},
            "manifest.json": docker,
            "oci-layout": {"imageLayoutVersion": "1.0.0"},
        }
        for name, document in documents.items():
            text = oci.dump(document)
            member = tarfile.TarInfo(name)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text))
    return images


def save_file(store: ImageStore, references: Sequence[str], path: Path) -> list[Image]:
    """``save`` to a file that appears only when it is complete."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with partial.open("wb") as out:
            images = save(store, references, out)
        partial.replace(path)
        return images
    finally:
        partial.unlink(missing_ok=True)


def load(store: ImageStore, source: IO[bytes]) -> list[Image]:
    """Read images from an OCI archive or from what ``docker save`` wrote (any version). Raises ImageError for a damaged archive."""
    found: dict[str, str] = {}  # member name -> digest of its content
    documents: dict[str, Any] = {}
    links: dict[str, str] = {}
    try:
        with tarfile.open(fileobj=source, mode="r|*", bufsize=1 << 18) as tar:
            for member in tar:
                name = os.path.normpath(member.name)
                if member.issym() or member.islnk():
                    base = name.rpartition("/")[0] if member.issym() else ""
                    links[name] = os.path.normpath(f"{base}/{member.linkname}".lstrip("/"))
                    continue
                stream = tar.extractfile(member) if member.isreg() else None
                if stream is None:
                    continue
                if name in ("index.json", "manifest.json", "oci-layout", "repositories"):
                    documents[name] = json.loads(stream.read())
                else:
                    found[name] = _take(store, stream, name)
    except (tarfile.TarError, ValueError, EOFError) as error:
        raise ImageError(
            "archive", f"cannot be read: {error}", "give a file that halab image save, docker save or skopeo copy wrote"
        ) from None
    for name, target in links.items():
        if target in found:
            found[name] = found[target]
    try:
        if "index.json" in documents:
            return _from_index(store, documents, set(found.values()))
        if "manifest.json" in documents:
            return [image for item in documents["manifest.json"] for image in _from_docker(store, item, found)]
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ImageError("archive", f"its manifest cannot be read ({error!r})", "the file is damaged: save it again") from error
    raise ImageError(
        "archive",
        "holds neither index.json nor manifest.json",
        "it is not an image archive (for a file system use Dockerfile's ADD)",
    )


def _take(store: ImageStore, stream: IO[bytes], name: str) -> str:
    """Copy a blob into the store under the digest of its content, which must be the one that its name promises."""
    with store.blobs.workspace() as work:
        hasher = hashlib.sha256()
        with (work / "blob").open("wb") as out:
            while block := stream.read(1 << 18):
                hasher.update(block)
                out.write(block)
        digest = "sha256:" + hasher.hexdigest()
        promised = name.removeprefix(_BLOBS)
        if name.startswith(_BLOBS) and promised != oci.hex_of(digest):
            raise ImageError(
                f"archive: blob {promised[:12]}", f"its content has the digest {digest}", "the file is damaged: save it again"
            )
        store.blobs.adopt(work / "blob", digest)
    return digest


def _from_index(store: ImageStore, documents: dict[str, Any], blobs: set[str]) -> list[Image]:
    tags = {_digest_of(item).rpartition(":")[2]: item.get("RepoTags") or [] for item in documents.get("manifest.json") or []}
    images = []
    for descriptor in documents["index.json"].get("manifests", []):
        digest = store_platform(store, descriptor["digest"])
        manifest = store.manifest(digest)
        for needed in [manifest["config"]["digest"], *(layer["digest"] for layer in manifest["layers"])]:
            if needed not in blobs and not store.blobs.has(needed):
                raise ImageError(
                    f"archive: image {digest}", f"the blob {needed} is missing", "the file is damaged: save it again"
                )
        annotations = descriptor.get("annotations") or {}
        names = (
            [annotations[oci.IMAGE_NAME]]
            if oci.IMAGE_NAME in annotations
            else list(tags.get(oci.hex_of(manifest["config"]["digest"]), []))
        )
        if not names and _is_reference(annotations.get(oci.REF_NAME, "")):
            names = [annotations[oci.REF_NAME]]
        images.append(_register(store, digest, names))
    return images


def _digest_of(item: dict[str, Any]) -> str:
    return str(item["Config"]).removeprefix(_BLOBS).removesuffix(".json")


def _is_reference(text: str) -> bool:
    """Whether an annotation is a whole name; a bare tag such as ``1.0`` or ``latest`` names nothing."""
    return ":" in text or "/" in text


def store_platform(store: ImageStore, digest: str) -> str:
    """The manifest for this machine, where ``digest`` is an index of several platforms."""
    document = store.manifest(digest)
    if document.get("mediaType") not in oci.INDEXES and "manifests" not in document:
        return digest
    for item in document["manifests"]:
        platform = item.get("platform") or {}
        if (
            platform.get("os") == "linux"
            and platform.get("architecture") == oci.architecture()
            and store.blobs.has(item["digest"])
        ):
            return str(item["digest"])
    raise ImageError(f"image {digest}", f"has no manifest for linux/{oci.architecture()}")


def _from_docker(store: ImageStore, item: dict[str, Any], found: dict[str, str]) -> list[Image]:
    """An image of the older Docker format: configuration and layers, no manifest, so one is written."""
    try:
        config = store.blobs.read(found[os.path.normpath(item["Config"])])
        digests = [found[os.path.normpath(path)] for path in item["Layers"]]
    except KeyError as missing:
        raise ImageError("archive", f"{missing} is missing", "the file is damaged: save it again") from None
    layers = []
    for digest in digests:
        path = store.blobs.path(digest)
        with path.open("rb") as blob:
            gzipped = blob.read(2) == b"\x1f\x8b"
        layers.append(oci.descriptor(oci.LAYER_GZIP if gzipped else oci.LAYER_TAR, digest, path.stat().st_size))
    manifest = {
        "schemaVersion": 2,
        "mediaType": oci.MANIFEST,
        "config": oci.descriptor(oci.CONFIG, oci.digest_of(config), len(config)),
        "layers": layers,
    }
    return [_register(store, store.blobs.write(oci.dump(manifest)), item.get("RepoTags") or [])]


def _register(store: ImageStore, digest: str, names: Sequence[str]) -> Image:
    for name in names:
        store.tag(digest, name)
    if not names:
        store.keep(digest)
    reference = Reference.parse(names[0]) if names else Reference("docker.io", "library/none", "", digest)
    return store.load(digest, reference)
