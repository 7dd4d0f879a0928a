"""The registry and its client; skopeo speaks to the same registry and reads what is saved."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from halab.errors import ImageError
from halab.images import ImageStore, archive, oci
from halab.images.provide import provide
from halab.images.registry import client
from halab.images.registry.manage import Registries, Running
from halab.images.store import Layer


@pytest.fixture
def registries(tmp_path: Path) -> Iterator[Registries]:
    registries = Registries(tmp_path / "home")
    yield registries
    for running in registries.registries():
        registries.stop(running.name)


@pytest.fixture
def registry(registries: Registries) -> Running:
    return registries.start("one", "127.0.0.1:0")


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    """With one complete image, ``app:1``."""
    from halab.images.layers import directory, text

    store = ImageStore(tmp_path / "home" / "images")
    packed = store.blobs.add_layer([directory("d"), text("d/hello", "hello")])
    layer = Layer(oci.descriptor(oci.LAYER_TAR, packed.digest, packed.size), packed.diff_id)
    document = {
        "created": oci.EPOCH,
        "architecture": oci.architecture(),
        "os": "linux",
        "config": {"Cmd": ["/d/hello"]},
        "history": [],
    }
    store.tag(store.commit([layer], document), "app:1")
    return store


def run(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True, timeout=60).stdout


def test_what_is_pushed_is_pulled_with_the_same_digest(registry: Running, store: ImageStore, tmp_path: Path) -> None:
    name = f"{registry.address}/team/app:1"
    store.tag(store.resolve("app:1").digest, name)
    told: list[str] = []
    digest = client.push(store, name, told.append)
    assert digest == store.resolve("app:1").digest
    client.push(store, name, told.append)
    assert sum("Layer already exists" in line for line in told) == 2
    other = ImageStore(tmp_path / "other")
    assert client.pull(other, name, told.append).digest == digest
    assert client.pull(other, f"{registry.address}/team/app@{digest}", told.append).digest == digest


def test_images_outlive_a_restart_of_the_registry(
    registries: Registries, registry: Running, store: ImageStore, tmp_path: Path
) -> None:
    name = f"{registry.address}/app:1"
    store.tag(store.resolve("app:1").digest, name)
    client.push(store, name, lambda _: None)
    registries.stop("one")
    with pytest.raises(ImageError, match="does not answer"):
        client.pull(ImageStore(tmp_path / "other"), name, lambda _: None)
    again = registries.start("one", registry.address)
    assert again.address == registry.address
    assert client.pull(ImageStore(tmp_path / "other"), name, lambda _: None).command == ["/d/hello"]


def test_a_mirror_is_asked_when_the_registry_is_down(
    registries: Registries, registry: Running, store: ImageStore, tmp_path: Path
) -> None:
    mirror = registries.start("mirror", "127.0.0.1:0")
    name, copy = f"{registry.address}/app:1", f"{mirror.address}/app:1"
    store.tag(store.resolve("app:1").digest, copy)
    client.push(store, copy, lambda _: None)
    registries.stop("one")
    home = tmp_path / "elsewhere"
    other = ImageStore(home / "images")
    (home / "registries.json").write_text(json.dumps({registry.address: [mirror.address]}))
    image = provide(other, name, home=home)
    assert image.digest == store.resolve("app:1").digest
    assert other.contains(name)


@pytest.mark.parametrize("path", ["nope:1", "Bad/Name:1"])
def test_an_absent_image_is_an_error_that_names_it(registry: Running, tmp_path: Path, path: str) -> None:
    with pytest.raises(ImageError, match=r"MANIFEST_UNKNOWN: manifest unknown: nope:1|invalid reference"):
        client.pull(ImageStore(tmp_path / "other"), f"{registry.address}/{path}", lambda _: None)


def test_content_that_does_not_have_its_digest_is_refused(registry: Running) -> None:
    connection = client.Connection(registry.address)
    begun = connection.request("POST", "/v2/x/blobs/uploads/")
    wrong = "sha256:" + "0" * 64
    answer = connection.request("PUT", f"{begun.headers['location']}?digest={wrong}", b"data")
    assert (answer.status, json.loads(answer.body)["errors"][0]["code"]) == (400, "DIGEST_INVALID")
    missing = {"schemaVersion": 2, "config": {"digest": wrong}, "layers": []}
    answer = connection.request("PUT", "/v2/x/manifests/1", json.dumps(missing))
    assert (answer.status, json.loads(answer.body)["errors"][0]["code"]) == (404, "MANIFEST_BLOB_UNKNOWN")
    answer = connection.request("GET", "/v2/nope/tags/list")
    assert (answer.status, json.loads(answer.body)["errors"][0]["code"]) == (404, "NAME_UNKNOWN")
    connection.close()


def test_a_taken_address_is_said(registries: Registries, registry: Running) -> None:
    with pytest.raises(ImageError, match="choose another address"):
        registries.start("two", registry.address)


@pytest.mark.needs("skopeo")
def test_skopeo_copies_to_and_from_the_registry(registry: Running, store: ImageStore, tmp_path: Path) -> None:
    archive.save_file(store, ["app:1"], tmp_path / "app.tar")
    target = f"docker://{registry.address}/by/skopeo:1"
    run("skopeo", "copy", "--preserve-digests", "--dest-tls-verify=false", f"oci-archive:{tmp_path}/app.tar", target)
    found = json.loads(run("skopeo", "inspect", "--tls-verify=false", target))
    assert found["Digest"] == store.resolve("app:1").digest
    assert found["RepoTags"] == ["1"]
    other = ImageStore(tmp_path / "other")
    assert client.pull(other, f"{registry.address}/by/skopeo:1", lambda _: None).digest == found["Digest"]
    run("skopeo", "copy", "--src-tls-verify=false", target, f"docker-archive:{tmp_path}/docker.tar:named:2")
    with (tmp_path / "docker.tar").open("rb") as source:
        assert [image.reference.familiar for image in archive.load(other, source)] == ["named:2"]
    assert (other.resolve("named:2").layers[0] / "d/hello").read_text() == "hello"


@pytest.mark.needs("skopeo")
def test_a_saved_image_is_an_oci_archive_and_loads_back(store: ImageStore, tmp_path: Path) -> None:
    archive.save_file(store, ["app:1"], tmp_path / "app.tar")
    inspected = json.loads(run("skopeo", "inspect", f"oci-archive:{tmp_path}/app.tar"))
    assert inspected["Digest"] == store.resolve("app:1").digest
    other = ImageStore(tmp_path / "other")
    with (tmp_path / "app.tar").open("rb") as source:
        images = archive.load(other, source)
    assert [(image.reference.familiar, image.digest) for image in images] == [("app:1", inspected["Digest"])]


def test_a_damaged_archive_is_refused(store: ImageStore, tmp_path: Path) -> None:
    archive.save_file(store, ["app:1"], tmp_path / "app.tar")
    data = bytearray((tmp_path / "app.tar").read_bytes())
    at = data.index(b"d/hello")
    data[at : at + 7] = b"d/hacko"
    (tmp_path / "bad.tar").write_bytes(data)
    other = ImageStore(tmp_path / "other")
    with (tmp_path / "bad.tar").open("rb") as source, pytest.raises(ImageError, match="the file is damaged"):
        archive.load(other, source)
    (tmp_path / "text").write_text("no archive at all")
    with (tmp_path / "text").open("rb") as source, pytest.raises(ImageError, match="cannot be read"):
        archive.load(other, source)
    assert other.images() == []
