import io
import stat
from pathlib import Path

import pytest

from halab.images import layers
from halab.images.layers import Entry, directory, link, text
from halab.images.rootfs import RootView


def packed(entries: list[Entry], *, compress: bool = False) -> bytes:
    out = io.BytesIO()
    layers.pack(entries, out, compress=compress)
    return out.getvalue()


def lay(target: Path, entries: list[Entry]) -> Path:
    target.mkdir()
    layers.unpack(layers.contents(layers.with_parents(entries)), target)
    return target


def test_the_same_entries_give_the_same_bytes() -> None:
    entries = [directory("a"), text("a/b", "hello"), link("a/c", "b")]
    assert packed(entries) == packed(entries)
    assert packed(entries, compress=True) == packed(entries, compress=True)


def test_a_layer_survives_packing_and_unpacking(tmp_path: Path) -> None:
    entries = [directory("a", 0o750), text("a/b", "hello", 0o640), link("a/c", "b"), Entry("a/d", "hardlink", target="a/b")]
    target = tmp_path / "t"
    target.mkdir()
    layers.unpack(layers.read(io.BytesIO(packed(entries))), target)
    assert (target / "a/b").read_text() == "hello"
    assert stat.S_IMODE((target / "a/b").stat().st_mode) == 0o640
    assert (target / "a/c").readlink() == Path("b")
    assert (target / "a/d").stat().st_ino == (target / "a/b").stat().st_ino
    assert [(entry.path, entry.kind) for entry in layers.scan(target)] == [
        ("a", "directory"),
        ("a/b", "file"),
        ("a/c", "link"),
        ("a/d", "hardlink"),
    ]


def test_whiteouts_and_opaque_directories_come_through(tmp_path: Path) -> None:
    entries = [directory("d"), Entry("d", "opaque"), Entry("gone", "whiteout")]
    names = [entry.path for entry, _ in layers.read(io.BytesIO(packed(entries)))]
    assert names == ["d", "d", "gone"]
    target = tmp_path / "t"
    target.mkdir()
    assert layers.unpack(layers.read(io.BytesIO(packed(entries))), target) == []
    assert layers.is_whiteout((target / "gone").lstat())


def test_nothing_is_written_outside_the_target(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    evil = [
        link("a", str(outside)),
        text("a/planted", "x"),
        text("../../up", "y"),
        Entry("h", "hardlink", target="../outside/none"),
    ]
    target = tmp_path / "t"
    target.mkdir()
    with pytest.raises(OSError):
        layers.unpack(layers.read(io.BytesIO(packed(evil))), target)
    assert list(outside.iterdir()) == []
    assert not (tmp_path / "up").exists()


def test_a_tree_with_closed_directories_can_be_removed(tmp_path: Path) -> None:
    deep = tmp_path / "a" / "b" / "c"
    deep.mkdir(parents=True)
    (deep / "f").touch()
    for path in (deep, deep.parent):
        path.chmod(0)
    layers.remove_tree(tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_a_view_follows_links_and_honours_whiteouts(tmp_path: Path) -> None:
    lower = lay(
        tmp_path / "lower", [link("bin", "usr/bin"), text("usr/bin/sh", "#!"), text("etc/motd", "old"), text("var/x", "1")]
    )
    upper = lay(tmp_path / "upper", [text("etc/motd", "new"), Entry("var/x", "whiteout"), text("usr/bin/app", "a")])
    view = RootView([upper, lower], host=False)
    assert view.resolve("/bin/sh") == "usr/bin/sh"
    assert view.read_text("/etc/motd") == "new"
    assert view.find("/var/x") is None
    assert view.names("usr/bin") == ["app", "sh"]
    assert view.resolve("/bin/../bin/new") == "usr/bin/new"
    assert sorted(entry.path for entry in view.walk("usr")) == ["usr", "usr/bin", "usr/bin/app", "usr/bin/sh"]


def test_a_view_does_not_loop_on_links_that_turn_in_circles(tmp_path: Path) -> None:
    view = RootView([lay(tmp_path / "l", [link("a", "b"), link("b", "a")])], host=False)
    assert view.resolve("/a/x")


def test_owners_come_from_the_images_own_accounts(tmp_path: Path) -> None:
    passwd = "root:x:0:0::/root:/bin/sh\nweb:x:101:102::/:/bin/sh\n"
    view = RootView([lay(tmp_path / "l", [text("etc/passwd", passwd), text("etc/group", "staff:x:50:\n")])], host=False)
    assert view.owner("web") == (101, 102)
    assert view.owner("web:staff") == (101, 50)
    assert view.owner("1000") == (1000, 0)
    assert view.owner("1000:7") == (1000, 7)
    assert view.owner("nobody-here") is None


def test_parents_keep_the_mode_that_the_image_gave_them(tmp_path: Path) -> None:
    lower = lay(tmp_path / "l", [directory("tmp", 0o1777)])
    found = RootView([lower], host=False).parents([text("tmp/f", "x"), text("new/f", "y")])
    assert [(entry.path, oct(entry.mode)) for entry in found if entry.kind == "directory"] == [
        ("new", "0o755"),
        ("tmp", "0o1777"),
    ]


def test_the_machines_files_show_only_where_a_sandbox_shows_them(tmp_path: Path) -> None:
    layer = lay(tmp_path / "l", [text("etc/hello", "x")])
    assert RootView([layer], host=True).find("/etc/passwd") is not None
    assert RootView([layer], host=True).find(str(tmp_path)) is None
    assert RootView([layer], host=False).find("/etc/passwd") is None
