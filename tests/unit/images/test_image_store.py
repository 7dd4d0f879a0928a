import multiprocessing
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from halab.errors import ImageError
from halab.images import ImageStore, elf, garbage, oci
from halab.images.bases.busybox_gaps import scripts
from halab.images.layers import text
from halab.images.store import Layer


def simple(store: ImageStore, content: str = "hello") -> str:
    packed = store.blobs.add_layer([text("hello", content)])
    layer = Layer(oci.descriptor(oci.LAYER_TAR, packed.digest, packed.size), packed.diff_id)
    return store.commit(
        [layer], {"created": oci.EPOCH, "architecture": "amd64", "os": "linux", "config": {"Cmd": ["x"]}, "history": []}
    )


def test_a_tag_moves_and_leaves_the_old_image_without_a_name(tmp_path: Path) -> None:
    store = ImageStore(tmp_path)
    first, second = simple(store, "1"), simple(store, "2")
    store.tag(first, "app:1")
    store.tag(second, "app:1")
    assert store.resolve("app:1").digest == second
    assert sorted((row.name, row.digest) for row in store.images()) == sorted([("", first), ("app:1", second)])
    assert garbage.prune(store, young=0).images == (first,)
    assert not store.blobs.has(first)
    assert store.resolve("app:1").layers[0].exists()


def test_an_image_is_found_by_name_digest_and_id(tmp_path: Path) -> None:
    store = ImageStore(tmp_path)
    digest = simple(store)
    store.tag(digest, "127.0.0.1:5000/team/app:1")
    image = store.resolve("127.0.0.1:5000/team/app:1")
    assert store.resolve(f"127.0.0.1:5000/team/app@{digest}").digest == digest
    assert store.resolve(image.config_digest).digest == digest
    assert store.resolve(oci.hex_of(image.config_digest)[:12]).digest == digest
    assert image.image_id == f"127.0.0.1:5000/team/app@{digest}"
    assert (image.layers[0] / "hello").read_text() == "hello"


def test_an_unknown_image_says_what_can_be_had(tmp_path: Path) -> None:
    store = ImageStore(tmp_path)
    store.tag(simple(store), "my-own:1")
    with pytest.raises(
        ImageError,
        match=r"image web:1: not found; this machine can provide .*ubuntu.*; built or pulled here: my-own:1; or build it",
    ):
        store.resolve("web:1")


@pytest.mark.parametrize("name", ["busybox:no-such-tag", "nginx:2", "ubuntu:hardy", "python:2.7"])
def test_a_tag_that_no_such_image_ever_had_is_not_found(tmp_path: Path, name: str) -> None:
    with pytest.raises(ImageError, match="is provided with the tags"):
        ImageStore(tmp_path).resolve(name)


def test_a_damaged_layer_is_not_used(tmp_path: Path) -> None:
    store = ImageStore(tmp_path)
    digest = simple(store)
    store.tag(digest, "app:1")
    layer = store.manifest(digest)["layers"][0]["digest"]
    garbage.layers.remove_tree(store.blobs.extracted / oci.hex_of(layer))
    store.blobs.path(layer).write_bytes(b"\0" * 10240)
    with pytest.raises(ImageError, match="the image is damaged"):
        store.resolve("app:1")
    assert list(store.blobs.temporary.iterdir()) == []


def test_what_a_killed_process_left_is_swept(tmp_path: Path) -> None:
    ImageStore(tmp_path)
    script = (
        "import os, sys; from pathlib import Path; from halab.images.blobs import Blobs\n"
        "with Blobs(Path(sys.argv[1])).workspace() as work:\n"
        "    (work / 'half').write_text('made'); os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    assert len(list((tmp_path / "tmp").iterdir())) == 1
    store = ImageStore(tmp_path)
    with store.blobs.workspace() as mine:
        assert store.blobs.sweep() == []
        assert mine.exists()
    assert list((tmp_path / "tmp").iterdir()) == []


def _tag_many(root: str, number: int) -> None:
    store = ImageStore(Path(root))
    digest = simple(store, str(number))
    for index in range(5):
        store.tag(digest, f"app-{number}:{index}")


def test_processes_that_tag_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    ImageStore(tmp_path)
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_tag_many, args=(str(tmp_path), number)) for number in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(row.name for row in ImageStore(tmp_path).images()) == [
        f"app-{number}:{index}" for number in range(3) for index in range(5)
    ]


@pytest.mark.needs("busybox")
def test_the_busybox_image_has_its_applets_and_its_digest_is_stable(tmp_path: Path) -> None:
    first, second = ImageStore(tmp_path / "a").resolve("busybox:1.36"), ImageStore(tmp_path / "b").resolve("busybox:1.36")
    assert first.digest == second.digest
    assert first.command == ["sh"]
    top = first.layers[0]
    folder = Path(os.path.realpath("/bin")).relative_to("/")
    names = "sh wget nc nslookup sleep cat ls hostname id stat cut readlink timeout tail grep sed sort find head touch env tr wc mkdir rm"
    scripted = set(scripts(Path(shutil.which("busybox") or ""), ("wget", "nc"), folder))  # what this machine's busybox lacks
    found = {name for name in names.split() if (top / folder / name).is_symlink()}
    assert found == set(names.split()) - scripted
    assert all(os.access(top / folder / name, os.X_OK) for name in scripted)


@pytest.mark.needs("nginx")
def test_the_nginx_image_is_laid_out_like_the_official_one(tmp_path: Path) -> None:
    image = ImageStore(tmp_path).resolve("nginx:1.17.10")
    assert (image.entrypoint, image.command) == (["/docker-entrypoint.sh"], ["nginx", "-g", "daemon off;"])
    assert image.config["ExposedPorts"] == {"80/tcp": {}}
    assert (image.stop_signal, image.environment["NGINX_VERSION"]) == ("SIGQUIT", "1.17.10")
    assert (image.layers[0] / "var/log/nginx/access.log").readlink() == Path("/dev/stdout")
    assert "Welcome to nginx!" in (image.layers[0] / "usr/share/nginx/html/index.html").read_text()
    assert "nginx" in image.borrows
    assert "worker_processes  1" in (image.layers[0] / "etc/nginx/nginx.conf").read_text()


def test_what_was_not_installed_is_hidden_in_a_distribution_image(tmp_path: Path) -> None:
    image = ImageStore(tmp_path).resolve("ubuntu:18.04")
    assert all(path.startswith("/") for path in image.hides)
    assert "Ubuntu" in (image.layers[0] / "etc/os-release").read_text()


def test_libraries_are_those_that_the_loader_would_take() -> None:
    program = Path("/bin/ls").resolve()
    done = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=True)
    expected = {word for line in done.stdout.splitlines() for word in line.split() if word.startswith("/")}
    found = {os.path.realpath(path) for path in elf.libraries([program])}
    assert {os.path.realpath(path) for path in expected} <= found
