"""The image store: an OCI layout on disk that any number of processes of one user share.

``index.json`` maps names to manifests (skopeo can read the directory as ``oci:PATH:NAME``); ``layers/`` holds extracted layers, ready to be
lower directories of an overlay. Built-in base images are made on first use and kept under the same index. Writers hold a lock; readers never do.
"""

from __future__ import annotations

import json
import os
import tarfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from halab.errors import ImageError
from halab.images import oci
from halab.images.bases import catalogue
from halab.images.bases.base import Base
from halab.images.blobs import Blobs
from halab.images.borrow import fingerprint, host_prefixes, skeleton
from halab.images.image import Image
from halab.images.layers import contents, open_blob, unpack
from halab.images.reference import Reference

RECIPE = 2  # raise when the built-in bases are made differently, so that stores make them anew
BUILTIN = "io.halab.base"  # on an index entry: the key of the built-in base it was made from
TAGGED = "io.halab.tagged"  # on an index entry: when the name was given (RFC 3339)


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer of an image to be: its descriptor in the manifest, its diff id."""

    descriptor: oci.Json
    diff_id: str


@dataclass(frozen=True, slots=True)
class Named:
    """A row of ``image ls``. ``name`` is familiar (``nginx:1.22``) or empty for an image without a name."""

    name: str
    digest: str
    image_id: str
    created: str
    size: int
    builtin: bool
    borrows: str


class ImageStore:
    """Images under ``root`` (``$HALAB_HOME/images``). Cheap to construct; safe for concurrent processes and threads."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.blobs = Blobs(root)
        self._index_stamp: tuple[int, int, int] = (0, 0, 0)
        self._index: list[oci.Json] = []
        self._images: dict[tuple[str, str], Image] = {}
        self._borrowed: dict[str, frozenset[str]] = {}
        self._fresh: set[str] = set()  # names whose built-in base was compared with the machine by this process
        layout = root / "oci-layout"
        if not layout.exists():
            self.blobs.replace_file(layout, oci.dump({"imageLayoutVersion": "1.0.0"}))
        self.blobs.sweep()

    # -- names ------------------------------------------------------------------------------------------------------------------------

    @property
    def _index_file(self) -> Path:
        return self.root / "index.json"

    def entries(self) -> list[oci.Json]:
        """The descriptors in index.json; read again only when the file has changed."""
        try:
            status = self._index_file.stat()
        except FileNotFoundError:
            return []
        stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        if stamp != self._index_stamp:
            self._index = json.loads(self._index_file.read_bytes())["manifests"]
            self._index_stamp = stamp
        return self._index

    def replace_index(self, entries: list[oci.Json]) -> None:
        document = {"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": entries}
        self.blobs.replace_file(self._index_file, oci.dump(document))
        self._index_stamp = (0, 0, 0)

    @staticmethod
    def _name_of(entry: oci.Json) -> str:
        return str(entry.get("annotations", {}).get(oci.REF_NAME, ""))

    def _entry(self, reference: Reference) -> oci.Json | None:
        if reference.digest:
            same = [entry for entry in self.entries() if entry["digest"] == reference.digest]
            return next(
                (entry for entry in same if self._name_of(entry).startswith(reference.familiar_name + ":")),
                same[0] if same else None,
            )
        return next((entry for entry in self.entries() if self._name_of(entry) == reference.familiar), None)

    def contains(self, reference: str) -> bool:
        """Whether the store has the image already (built, pulled, loaded, or a built-in base that was used before)."""
        return self._entry(Reference.parse(reference)) is not None

    def has_own(self, reference: str) -> bool:
        """Whether the store has an image of that name which is no built-in base: it was built, pulled or loaded here. False for no name."""
        try:
            entry = self._entry(Reference.parse(reference))
        except ImageError:
            return False
        return entry is not None and BUILTIN not in entry.get("annotations", {})

    def tag(self, digest: str, reference: str, *, builtin: str = "") -> None:
        """Give a stored manifest a name; whatever had the name before loses it (and stays as an image without name)."""
        parsed = Reference.parse(reference)
        if parsed.digest:
            raise ImageError(f"image {reference!r}", "a digest cannot be a new name", "write NAME:TAG")
        manifest = self.blobs.read(digest)
        annotations = {oci.REF_NAME: parsed.familiar, oci.IMAGE_NAME: str(parsed), TAGGED: oci.timestamp()}
        if builtin:
            annotations[BUILTIN] = builtin
        new = oci.descriptor(json.loads(manifest).get("mediaType", oci.MANIFEST), digest, len(manifest), annotations)
        with self.blobs.lock("index"):
            kept = []
            for entry in self.entries():
                if self._name_of(entry) == parsed.familiar:
                    if entry["digest"] == digest or BUILTIN in entry["annotations"]:
                        continue
                    entry = {key: value for key, value in entry.items() if key != "annotations"}
                if not self._name_of(entry) and entry["digest"] == digest:
                    continue
                kept.append(entry)
            named = {entry["digest"] for entry in kept if self._name_of(entry)}
            kept = [entry for entry in kept if self._name_of(entry) or entry["digest"] not in named]
            self.replace_index([*kept, new])

    def keep(self, digest: str) -> None:
        """Register an image without a name, unless it has one."""
        with self.blobs.lock("index"):
            if not any(entry["digest"] == digest for entry in self.entries()):
                self.replace_index([*self.entries(), oci.descriptor(oci.MANIFEST, digest, len(self.blobs.read(digest)))])

    def untag(self, reference: str) -> list[str]:
        """Take a name away, or (given a digest or an image id) all names of an image. Returns what was untagged.

        Raises ImageError when there is no such image, or when an id stands for an image with several names.
        """
        with self.blobs.lock("index"):
            entries = self.entries()
            found = self._matching(reference)
            names = [self._name_of(entry) for entry in found]
            self.replace_index([entry for entry in entries if entry not in found])
        return [name or entry["digest"] for name, entry in zip(names, found, strict=True)]

    def _matching(self, reference: str) -> list[oci.Json]:
        """The index entries that a name, a digest or an image id (12 or more hex digits) stands for."""
        try:
            entry = self._entry(Reference.parse(reference))
            if entry is not None:
                return [entry]
        except ImageError:
            pass
        wanted = reference.removeprefix("sha256:")
        if len(wanted) >= 4 and all(letter in "0123456789abcdef" for letter in wanted):
            found = []
            for entry in self.entries():
                identities = (entry["digest"], self.manifest(entry["digest"])["config"]["digest"])
                if any(oci.hex_of(identity).startswith(wanted) for identity in identities):
                    found.append(entry)
            if found:
                return found
        raise ImageError(f"image {reference!r}", "no such image", "see: halab image ls")

    # -- reading ----------------------------------------------------------------------------------------------------------------------

    def manifest(self, digest: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.blobs.read(digest))
        return found

    def resolve(self, reference: str) -> Image:
        """The image for a reference (or a digest, or an image id of this store), ready to run: its layers are extracted.

        Looks at the store first, then at the built-in bases; it never opens a connection (see ``halab.images.transfer.pull``).
        Under a millisecond when the image was used before. Raises ImageError, which lists what can be provided.
        """
        parsed = self._parse(reference)
        entry = self._entry(parsed)
        base = catalogue.find(parsed)
        if (
            base is not None
            and base.answers(parsed.tag)
            and not base.missing()
            and (entry is None or BUILTIN in entry["annotations"])
        ):
            digest = self._ensure(base, parsed, entry)
        elif entry is not None:
            digest = entry["digest"]
        else:
            raise self._absent(parsed, base)
        return self.load(digest, parsed)

    def _parse(self, reference: str) -> Reference:
        parsed: Reference | None
        try:
            parsed = Reference.parse(reference)
        except ImageError:
            parsed = None
        if parsed is not None and (self._entry(parsed) is not None or catalogue.find(parsed) is not None):
            return parsed
        wanted = reference.removeprefix("sha256:")
        if len(wanted) >= 12 and all(letter in "0123456789abcdef" for letter in wanted):
            entry = self._matching(reference)[0]
            name = self._name_of(entry)
            found = Reference.parse(name) if name else Reference("docker.io", "library/none", "", entry["digest"])
            return Reference(found.registry, found.repository, found.tag, entry["digest"])
        return parsed if parsed is not None else Reference.parse(reference)

    def _absent(self, reference: Reference, base: Base | None) -> ImageError:
        subject = f"image {reference.familiar}"
        if base is not None and base.answers(reference.tag):
            return ImageError(
                subject, f"is made from this machine's programs, and {base.missing()}", "install that, or build another image"
            )
        if base is not None:
            return ImageError(subject, "not found", f"{base.name} is provided with the tags {base.offers}")
        own = sorted({self._name_of(entry) for entry in self.entries() if BUILTIN not in entry.get("annotations", {})} - {""})
        built = f"; built or pulled here: {', '.join(own[:12])}" if own else ""
        return ImageError(
            subject,
            "not found",
            f"this machine can provide {catalogue.offers()}{built}; or build it: halab image build -t {reference.familiar} .",
        )

    def load(self, digest: str, reference: Reference) -> Image:
        """The stored image with that manifest digest, layers extracted."""
        key = (digest, str(reference))
        cached = self._images.get(key)
        if cached is not None and all(path.exists() for path in cached.layers):
            return cached
        manifest = self.manifest(digest)
        document: dict[str, Any] = json.loads(self.blobs.read(manifest["config"]["digest"]))
        paths = []
        for descriptor, diff_id in zip(manifest["layers"], document["rootfs"]["diff_ids"], strict=True):
            if oci.BORROWED not in descriptor.get("annotations", {}):
                paths.append(self.blobs.extract(descriptor["digest"], diff_id))
        if len(paths) < len(manifest["layers"]) and os.geteuid() != 0:
            paths.insert(0, self._skeleton())
        size = sum(descriptor["size"] for descriptor in manifest["layers"])
        image = Image(reference, digest, document.get("config") or {}, paths[::-1], size, document, manifest)
        self._images[key] = image
        return image

    def _skeleton(self) -> Path:
        """A lowest layer of empty directories that belong to this user (see ``borrow.skeleton``); made once."""
        place = self.blobs.extracted / "skeleton"
        if not place.exists():
            with self.blobs.workspace() as work:
                (work / "tree").mkdir()
                unpack(contents(skeleton()), work / "tree")
                try:
                    (work / "tree").rename(place)
                except OSError:
                    if not place.exists():
                        raise
        return place

    def borrowed_paths(self, digest: str) -> frozenset[str]:
        """The paths that a borrowed layer repeats from this machine."""
        found = self._borrowed.get(digest)
        if found is None:
            with open_blob(self.blobs.path(digest)) as raw, tarfile.open(fileobj=raw, mode="r:") as tar:
                found = frozenset(name for name in tar.getnames())
            self._borrowed[digest] = found
        return found

    def images(self) -> list[Named]:
        """All images, newest first."""
        rows = []
        for entry in self.entries():
            manifest = self.manifest(entry["digest"])
            document = json.loads(self.blobs.read(manifest["config"]["digest"]))
            labels = (document.get("config") or {}).get("Labels") or {}
            rows.append(
                Named(
                    name=self._name_of(entry),
                    digest=entry["digest"],
                    image_id=manifest["config"]["digest"],
                    created=document.get("created", oci.EPOCH),
                    size=sum(descriptor["size"] for descriptor in manifest["layers"]),
                    builtin=BUILTIN in entry.get("annotations", {}),
                    borrows=labels.get(oci.LABEL_BORROWS, ""),
                )
            )
        return sorted(rows, key=lambda row: row.created, reverse=True)

    # -- writing ----------------------------------------------------------------------------------------------------------------------

    def commit(self, layers: list[Layer], document: oci.Json) -> str:
        """Write configuration and manifest of an image (bottom layer first); returns the manifest's digest. The image has no name yet."""
        complete = document | {"rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]}}
        data = oci.dump(complete)
        manifest = {
            "schemaVersion": 2,
            "mediaType": oci.MANIFEST,
            "config": oci.descriptor(oci.CONFIG, self.blobs.write(data), len(data)),
            "layers": [layer.descriptor for layer in layers],
        }
        return self.blobs.write(oci.dump(manifest))

    def _ensure(self, base: Base, reference: Reference, entry: oci.Json | None) -> str:
        """The manifest digest of a built-in base; made anew when the machine's programs have changed since."""
        name = reference.familiar
        if entry is not None and name in self._fresh:
            return str(entry["digest"])
        key = oci.digest_of(f"{RECIPE} {base.name}:{reference.tag} {fingerprint(base.sources())}".encode())
        if entry is None or entry["annotations"][BUILTIN] != key:
            with self.blobs.lock(f"base-{base.name.replace('/', '-')}"):
                entry = self._entry(reference)
                if entry is None or entry["annotations"].get(BUILTIN) != key:
                    digest = self._make(base, reference.tag)
                    self.tag(digest, name, builtin=key)
                    self._fresh.add(name)
                    return digest
        self._fresh.add(name)
        return str(entry["digest"])

    def _make(self, base: Base, tag: str) -> str:
        content = base.make(tag)
        labels = {
            oci.LABEL_BORROWS: content.borrows,
            oci.LABEL_NOTE: base.note,
            "org.opencontainers.image.title": base.name,
            "org.opencontainers.image.version": tag,
        }
        if content.hides:
            labels[oci.LABEL_HIDES] = ",".join(content.hides)
        if prefixes := host_prefixes(content.borrowed):
            labels[oci.LABEL_PATHS] = ",".join(prefixes)
        created = oci.timestamp(content.created)
        layers: list[Layer] = []
        history: list[oci.Json] = []
        if content.borrowed:
            packed = self.blobs.add_layer(content.borrowed, extract=False)
            layers.append(
                Layer(oci.descriptor(oci.LAYER_TAR, packed.digest, packed.size, {oci.BORROWED: "true"}), packed.diff_id)
            )
            history.append(
                {"created": created, "created_by": f"BORROW {content.borrows}", "comment": "halab: files of this machine"}
            )
        own = [replace(entry, mtime=entry.mtime or int(content.created)) for entry in content.own]
        packed = self.blobs.add_layer(own)
        layers.append(Layer(oci.descriptor(oci.LAYER_TAR, packed.digest, packed.size), packed.diff_id))
        history.append(
            {
                "created": created,
                "created_by": f"ADD {base.name}:{tag} / # buildkit".replace(" # buildkit", ""),
                "comment": "halab",
            }
        )
        command = json.dumps(content.config.get("Cmd") or [])
        history.append({"created": created, "created_by": f"CMD {command}", "empty_layer": True})
        document = {
            "created": created,
            "architecture": oci.architecture(),
            "os": "linux",
            "config": content.config | {"Labels": labels},
            "history": history,
        }
        return self.commit(layers, document)


def default_store() -> ImageStore:
    """The store in ``$HALAB_HOME/images``."""
    from halab.settings import halab_home

    root = halab_home() / "images"
    root.mkdir(parents=True, exist_ok=True)
    root.chmod(0o700)
    return ImageStore(root)
