"""``ubuntu``, ``debian`` and ``alpine``: an image whose shell and tools are this machine's, and in which packages can be installed.

What the machine has but a fresh image has not (nginx, curl, ...) is hidden until a package brings it, so that a Dockerfile that forgets
its ``RUN apt-get install`` fails here as it does with Docker.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from halab.images.bases import busybox
from halab.images.bases.accounts import accounts, places
from halab.images.bases.base import PATH_VARIABLE, Base, Content, newest
from halab.images.borrow import canonical, files, find
from halab.images.layers import Entry, directory, text, with_parents

UBUNTU = {
    "bionic": "18.04",
    "focal": "20.04",
    "jammy": "22.04",
    "noble": "24.04",
    "rolling": "25.10",
    "latest": "24.04",
}
DEBIAN = {
    "buster": "10",
    "bullseye": "11",
    "bookworm": "12",
    "trixie": "13",
    "latest": "13",
    "stable": "13",
    "testing": "14",
    "sid": "14",
}

_ESSENTIAL = """
sh bash dash awk mawk sed grep egrep fgrep find xargs tar gzip gunzip hostname ps kill sleep mount umount su login
getent ldconfig perl useradd groupadd adduser addgroup usermod userdel passwd chroot diff cmp which run-parts [ arch
b2sum base32 base64 basename cat chgrp chmod chown cksum comm cp csplit cut date dd df dir dircolors dirname du echo env
expand expr factor false fmt fold groups head hostid id install join link ln logname ls md5sum mkdir mkfifo mknod mktemp
mv nice nl nohup nproc numfmt od paste pathchk pr printenv printf pwd readlink realpath rm rmdir seq sha1sum sha256sum
sha512sum shred shuf sort split stat stdbuf stty sum sync tac tail tee test timeout touch tr true truncate tsort tty
uname unexpand uniq unlink users vdir wc who whoami yes
"""
ESSENTIAL = _ESSENTIAL.split()

# Programs that a fresh image does not have; an installed package (or COPY) brings them back.
_ABSENT = """
nginx apache2 httpd redis-server redis-cli curl wget git node npm python python3 pip pip3 gcc cc make vim nano less ping
dig nslookup nc netcat ip ss ssh docker dockerd kubectl skopeo bwrap envoy haproxy postgres psql mysql busybox
"""
ABSENT = _ABSENT.split()


def hidden(keep: set[str] = frozenset()) -> tuple[str, ...]:  # type: ignore[assignment]
    """Canonical paths of the machine's programs that the image must not show."""
    found: list[str] = []
    for name in ABSENT:
        if name in keep:
            continue
        for folder in ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin"):
            path = Path(folder) / name
            if path.exists() or path.is_symlink():
                found.append(str(canonical(path)))
    return tuple(dict.fromkeys(found))


def host_name() -> str:
    try:
        fields = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
        return fields.get("PRETTY_NAME", "Linux").strip('"')
    except OSError:
        return "Linux"


def essential() -> list[Path]:
    path = "/usr/sbin:/usr/bin:/sbin:/bin"
    return [Path(found) for name in ESSENTIAL if (found := shutil.which(name, path=path))]


def _release(name: str, ident: str, version: str, codename: str = "") -> Entry:
    lines = [
        f'NAME="{name}"',
        f"ID={ident}",
        f'VERSION_ID="{version}"',
        f'PRETTY_NAME="{name} {version} (programs borrowed from {host_name()})"',
    ]
    if ident == "ubuntu":
        lines.append("ID_LIKE=debian")
    if codename:
        lines.append(f"VERSION_CODENAME={codename}")
    return text("etc/os-release", "\n".join(lines) + "\n")


def _apt(tag: str, name: str, ident: str, names: dict[str, str]) -> Content:
    word = tag.split("-")[0]
    version = names.get(word, word)
    codename = next(
        (code for code, number in names.items() if number == version and code not in ("latest", "rolling", "stable")), ""
    )
    programs = essential()
    own = [
        _release(name, ident, version, codename),
        text("etc/debian_version", f"{version}\n"),
        text("etc/apt/sources.list", f"# Packages are borrowed from this machine ({host_name()}); there is no network.\n"),
        directory("var/lib/apt/lists"),
        directory("var/cache/apt/archives"),
        directory("var/lib/dpkg/info"),
        text("var/lib/dpkg/status", ""),
        *accounts(shell="/bin/bash"),
        *places(),
        *(Entry(path.strip("/"), "whiteout") for path in hidden()),
    ]
    return Content(
        config={"Env": [PATH_VARIABLE], "Cmd": ["/bin/bash"] if ident == "ubuntu" else ["bash"]},
        own=with_parents(own),
        borrowed=files(programs),
        borrows=f"shell and tools of {host_name()}",
        hides=hidden(),
        created=newest([find("bash"), find("ls")]),
    )


def _alpine(tag: str) -> Content:
    path = busybox.program()
    assert path is not None
    version = tag if re.match(r"\d", tag) else "3.22"
    content = busybox.make(tag)
    own = [
        *content.own,
        _release("Alpine Linux", "alpine", version),
        text("etc/alpine-release", f"{version}\n"),
        directory("etc/apk"),
        *accounts(shell="/bin/sh"),
        *(Entry(item.strip("/"), "whiteout") for item in hidden({"busybox", *busybox.applets(path, path.stat().st_mtime)})),
    ]
    return Content(
        config={"Env": [PATH_VARIABLE], "Cmd": ["/bin/sh"]},
        own=with_parents(own),
        borrowed=content.borrowed,
        borrows=content.borrows,
        hides=hidden({"busybox", *busybox.applets(path, path.stat().st_mtime)}),
        created=content.created,
    )


NOTE = "Shell and tools are this machine's; packages are borrowed from it, so their versions are this machine's too."


def _sources() -> list[Path | None]:
    return [Path("/etc/os-release"), find("bash"), find("ls")]


BASES = (
    Base(
        name="ubuntu",
        tags=r"latest|rolling|bionic|focal|jammy|noble|\d\d\.(?:04|10)",
        offers="18.04, 20.04, 22.04, 24.04 ...",
        note=NOTE,
        missing=lambda: "",
        sources=_sources,
        make=lambda tag: _apt(tag, "Ubuntu", "ubuntu", UBUNTU),
    ),
    Base(
        name="debian",
        tags=r"(?:latest|stable|testing|sid|buster|bullseye|bookworm|trixie|(?:8|9|1[0-4])(?:\.\d+)?)(?:-slim)?",
        offers="bookworm, bookworm-slim, 12, 12-slim ...",
        note=NOTE,
        missing=lambda: "",
        sources=_sources,
        make=lambda tag: _apt(tag, "Debian GNU/Linux", "debian", DEBIAN),
    ),
    Base(
        name="alpine",
        tags=r"latest|edge|3(?:\.\d+){0,2}",
        offers="3.x",
        note="The tools are this machine's busybox (glibc, not musl); packages are borrowed from this machine.",
        missing=busybox.missing,
        sources=lambda: [busybox.program(), Path("/etc/os-release")],
        make=_alpine,
    ),
)
