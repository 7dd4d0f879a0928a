"""``nginx``: the machine's nginx with the configuration and the places of the official image.

Kept from the official image: /usr/share/nginx/html, /etc/nginx/conf.d/default.conf, templates, /docker-entrypoint.d, logs on standard output
and error, SIGQUIT as stop signal, the variable NGINX_VERSION. Different: one worker process (memory), and the program's real version.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from halab.images.bases import nginx_files as written
from halab.images.bases.accounts import accounts, places
from halab.images.bases.base import PATH_VARIABLE, Base, Content, newest
from halab.images.bases.distro import essential
from halab.images.borrow import canonical, files, find
from halab.images.layers import Entry, directory, link, text, with_parents

DEFAULT_VERSION = "1.29.3"


def program() -> Path | None:
    found = find("nginx")
    return canonical(found) if found else None


def missing() -> str:
    return "" if program() else "it has no nginx (apt-get install nginx, or conda install -c conda-forge nginx)"


def version(path: Path) -> str:
    done = subprocess.run([str(path), "-v"], capture_output=True, text=True, timeout=10)
    found = re.search(r"nginx/(\S+)", done.stderr)
    return found.group(1) if found else "?"


def executable(path: Path) -> list[Entry]:
    """/usr/sbin/nginx where the machine's nginx stands elsewhere (conda): a wrapper that gives it the image's paths.

    Such an nginx has its own prefix compiled in, so it must be told where its configuration is; later options still win.
    """
    place = canonical(Path("/usr/sbin/nginx"))
    if path == place:
        return []
    return [text(str(place), f'#!/bin/sh\nexec {path} -p /etc/nginx/ -c /etc/nginx/nginx.conf "$@"\n', 0o755)]


def tree(tag_version: str, image: str) -> list[Entry]:
    """The image's own files; ``image`` is named on the welcome page."""
    return [
        text("etc/nginx/nginx.conf", written.NGINX_CONF),
        text("etc/nginx/conf.d/default.conf", written.DEFAULT_CONF),
        text("etc/nginx/mime.types", written.MIME_TYPES),
        text("etc/nginx/fastcgi_params", written.FASTCGI_PARAMS),
        text("usr/share/nginx/html/index.html", written.index_page(image)),
        text("usr/share/nginx/html/50x.html", written.ERROR_PAGE),
        text("docker-entrypoint.sh", written.ENTRYPOINT, 0o755),
        directory("docker-entrypoint.d"),
        directory("etc/nginx/templates"),
        directory("var/cache/nginx"),
        directory("var/lib/nginx"),
        link("var/log/nginx/access.log", "/dev/stdout"),
        link("var/log/nginx/error.log", "/dev/stderr"),
        *accounts({"nginx": 101}),
        *places(),
    ]


def make(tag: str) -> Content:
    path = program()
    assert path is not None
    real = version(path)
    numbers = re.match(r"\d+(?:\.\d+)*", tag)
    named = numbers.group(0) if numbers and "." in numbers.group(0) else DEFAULT_VERSION
    borrowed = files([*essential(), path])  # the official image is a Debian: probes and hooks call test, touch, rm there
    return Content(
        config={
            "Env": [PATH_VARIABLE, f"NGINX_VERSION={named}"],
            "Entrypoint": ["/docker-entrypoint.sh"],
            "Cmd": ["nginx", "-g", "daemon off;"],
            "ExposedPorts": {"80/tcp": {}},
            "StopSignal": "SIGQUIT",
        },
        own=with_parents([*tree(named, f"nginx:{tag}"), *executable(path)]),
        borrowed=borrowed,
        borrows=f"nginx {real}",
        created=newest([path]),
    )


BASE = Base(
    name="nginx",
    tags=r"(?:latest|stable|mainline|alpine|perl|1(?:\.\d+){0,2})(?:-(?:alpine|slim|perl|otel|bookworm|bullseye|buster|trixie|alpine-slim))*",
    offers="1.x",
    note="The program is this machine's nginx, whatever version the tag names; one worker process.",
    missing=missing,
    sources=lambda: [program()],
    make=make,
)
