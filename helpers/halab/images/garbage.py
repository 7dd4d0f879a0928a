"""Removing what nothing refers to any more: blobs, extracted layers, cache entries."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from halab.images import layers, oci
from halab.images.build.cache import Cache
from halab.images.store import ImageStore

YOUNG = 60.0  # seconds: what is younger may belong to a build or pull that has not registered it yet


@dataclass(frozen=True, slots=True)
class Pruned:
    """``images`` and ``cache`` are what was dropped (digests, number of entries); ``bytes`` what that freed on disk."""

    images: tuple[str, ...]
    cache: int
    bytes: int


def prune(
    store: ImageStore, in_use: Iterable[str] = (), *, unnamed: bool = True, cache: bool = False, young: float = YOUNG
) -> Pruned:
    """Drop images without a name (unless ``in_use``, by manifest digest), with ``cache`` the build cache too, then whatever is unreachable."""
    dropped: list[str] = []
    used = set(in_use)
    if unnamed:
        with store.blobs.lock("index"):
            kept = []
            for entry in store.entries():
                if entry.get("annotations", {}).get(oci.REF_NAME) or entry["digest"] in used:
                    kept.append(entry)
                else:
                    dropped.append(str(entry["digest"]))
            store.replace_index(kept)
    steps = Cache(store.blobs)
    cleared = steps.clear() if cache else 0
    keep = _reachable(store, used) | {oci.hex_of(digest) for digest in steps.layers()}
    diffs = _extracted(store, keep)
    freed = 0
    now = time.time()
    for path in store.blobs.directory.iterdir():
        if path.name not in keep and now - path.stat().st_mtime > young:
            freed += path.stat().st_size
            path.unlink(missing_ok=True)
    for path in store.blobs.extracted.iterdir():
        if path.name not in diffs and path.name != "skeleton" and now - path.stat().st_ctime > young:
            freed += _size(path)
            layers.remove_tree(path)
    if cache:
        layers.remove_tree(store.root / "mounts")
    return Pruned(tuple(dropped), cleared, freed)


def _reachable(store: ImageStore, used: set[str]) -> set[str]:
    keep: set[str] = set()
    for digest in {str(entry["digest"]) for entry in store.entries()} | {digest for digest in used if store.blobs.has(digest)}:
        manifest = store.manifest(digest)
        blobs = [digest, manifest["config"]["digest"], *(layer["digest"] for layer in manifest["layers"])]
        keep |= {oci.hex_of(str(blob)) for blob in blobs}
    return keep


def _extracted(store: ImageStore, keep: set[str]) -> set[str]:
    """The diff ids (hex) that may stay extracted: those of the images, and the cached layers (stored uncompressed: digest = diff id)."""
    found = set(keep)
    for digest in {str(entry["digest"]) for entry in store.entries()}:
        document = json.loads(store.blobs.read(store.manifest(digest)["config"]["digest"]))
        found |= {oci.hex_of(diff) for diff in document["rootfs"]["diff_ids"]}
    return found


def _size(path: Path) -> int:
    return sum(item.lstat().st_size for item in path.rglob("*") if item.is_file() and not item.is_symlink())
