"""``busybox``: the machine's busybox with a link for each of its applets, at the places where the machine's own programs stand.

The official image has its applets in a plain /bin. Here /bin may be a link to /usr/bin, and the machine's files lie below the image's, so
an applet is linked wherever the search path would otherwise meet the machine's program first.
"""

from __future__ import annotations

import subprocess
from functools import lru_cache
from pathlib import Path

from halab.images.bases.accounts import accounts, places
from halab.images.bases.base import PATH_VARIABLE, Base, Content, newest
from halab.images.bases.busybox_gaps import scripts
from halab.images.borrow import SYSTEM_PATH, canonical, files, find
from halab.images.layers import Entry, link, text, with_parents

ORIGINS = ("bin", "sbin", "usr/bin", "usr/sbin")


def program() -> Path | None:
    found = find("busybox")
    return canonical(found) if found else None


def missing() -> str:
    return "" if program() else "it has no busybox (apt-get install busybox, or busybox-static)"


@lru_cache(maxsize=4)
def applets(path: Path, _stamp: float = 0.0) -> tuple[str, ...]:
    """The names that this busybox answers to. Raises CalledProcessError for a file that is no busybox."""
    done = subprocess.run([str(path), "--list"], capture_output=True, text=True, check=True, timeout=10)
    return tuple(sorted(name for name in done.stdout.split() if name and "/" not in name and name != "busybox"))


def version(path: Path) -> str:
    done = subprocess.run([str(path)], capture_output=True, text=True, timeout=10)
    words = done.stdout.split()
    return words[1].removeprefix("v") if len(words) > 1 and words[0] == "BusyBox" else "?"


def applet_links(path: Path, names: tuple[str, ...]) -> list[Entry]:
    """Links to busybox in /bin (wherever that really is) and in front of same-named programs of the machine."""
    home = canonical(Path("/bin/busybox")).parent
    around = scripts(path, names, home)
    found = []
    for name in names:
        shadowing = [canonical(Path(folder) / name) for folder in SYSTEM_PATH.split(":") if (Path(folder) / name).exists()]
        for place in dict.fromkeys([home / name, *shadowing]):
            target = "busybox" if place.parent == home else str(home / "busybox")
            found.append(text(str(place), around[name], 0o755) if name in around else link(str(place), target))
    if path != home / "busybox":
        found.append(link(str(home / "busybox"), str(path)))
    return found


def make(tag: str) -> Content:
    path = program()
    assert path is not None
    release = version(path)
    names = applets(path, path.stat().st_mtime)
    own = [
        *applet_links(path, names),
        *accounts(shell="/bin/sh"),
        *places(),
        text("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"),
        text(
            "etc/os-release",
            f'NAME="BusyBox"\nID=busybox\nVERSION_ID="{tag}"\nPRETTY_NAME="BusyBox {tag} (borrowed: {release})"\n',
        ),
    ]
    return Content(
        config={"Env": [PATH_VARIABLE], "Cmd": ["sh"]},
        own=with_parents(own),
        borrowed=files([path]),
        borrows=f"busybox {release}",
        created=newest([path]),
    )


BASE = Base(
    name="busybox",
    tags=r"latest|stable|musl|glibc|uclibc|(?:1(?:\.\d+){0,2}|stable)(?:-(?:musl|glibc|uclibc))?",
    offers="1.x",
    note="The applets are this machine's busybox, whatever version the tag names; what it lacks of wget and nc is made up for by scripts.",
    missing=missing,
    sources=lambda: [program()],
    make=make,
)
