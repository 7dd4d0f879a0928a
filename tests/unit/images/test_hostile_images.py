"""Images come from others: a digest never names a file outside the store, and a broken manifest is an error in one line."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from halab.errors import ImageError
from halab.images import archive, oci
from halab.images.registry.storage import RegistryError, Storage
from halab.images.store import ImageStore

OUTSIDE = "sha256:../../../secret"


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    (tmp_path / "secret").mkdir()
    (tmp_path / "images").mkdir()
    return ImageStore(tmp_path / "images")


def packed(members: dict[str, bytes]) -> io.BytesIO:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    out.seek(0)
    return out


def image(*, layer: str = "", diff_id: str = "", config: str = "") -> io.BytesIO:
    blob = io.BytesIO()
    tarfile.open(fileobj=blob, mode="w").close()
    data = blob.getvalue()
    document = oci.dump({"rootfs": {"type": "layers", "diff_ids": [diff_id or oci.digest_of(data)]}})
    manifest = oci.dump(
        {
            "schemaVersion": 2,
            "config": {"digest": config or oci.digest_of(document), "size": len(document)},
            "layers": [{"digest": layer or oci.digest_of(data), "size": len(data)}],
        }
    )
    blobs = {f"blobs/sha256/{oci.hex_of(oci.digest_of(one))}": one for one in (data, document, manifest)}
    index = oci.dump({"manifests": [{"digest": oci.digest_of(manifest), "annotations": {oci.IMAGE_NAME: "evil:1"}}]})
    return packed({**blobs, "index.json": index})


def test_an_image_as_it_should_be_is_taken(store: ImageStore) -> None:
    assert archive.load(store, image())[0].reference.familiar == "evil:1"


@pytest.mark.parametrize("place", ["layer", "diff_id", "config"])
def test_a_digest_that_leads_out_of_the_store_is_refused(store: ImageStore, place: str) -> None:
    with pytest.raises(ImageError, match="is not sha256:<64 hex digits>"):
        archive.load(store, image(**{place: OUTSIDE}))


@pytest.mark.parametrize(
    "documents",
    [
        {"index.json": []},
        {"index.json": {"manifests": [{}]}},
        {"index.json": {"manifests": [{"digest": 7}]}},
        {"index.json": {"manifests": 3}},
        {"manifest.json": {}, "index.json": None},
        {"manifest.json": [{"Config": 1, "Layers": 2}]},
        {"manifest.json": [{}]},
    ],
)
def test_a_manifest_of_another_shape_is_an_error_of_the_archive(store: ImageStore, documents: dict[str, Any]) -> None:
    members = {name: json.dumps(document).encode() for name, document in documents.items()}
    with pytest.raises(ImageError):
        archive.load(store, packed(members))


@pytest.mark.parametrize("digest", ["", "sha256:", "latest", "sha256:" + "g" * 64, "sha256:" + "a" * 63, OUTSIDE, "../x"])
def test_what_is_no_digest_has_no_hex(digest: str) -> None:
    with pytest.raises(ImageError):
        oci.hex_of(digest)


@pytest.mark.parametrize("digest", [OUTSIDE, "sha256:x", 7, None])
def test_a_registry_answers_digests_that_are_none(tmp_path: Path, digest: Any) -> None:
    storage = Storage(tmp_path)
    manifest = json.dumps({"config": {"digest": digest}, "layers": []}).encode()
    with pytest.raises(RegistryError) as refused:
        storage.put_manifest("web", "1", manifest, "")
    assert refused.value.status == 400
    with pytest.raises(RegistryError) as unknown:
        storage.manifest("web", f"a:{digest}")
    assert unknown.value.status == 404
