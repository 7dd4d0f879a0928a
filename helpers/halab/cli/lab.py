"""halab lab: JupyterLab on the course, with the cluster up."""

from __future__ import annotations

import os
import shutil
import socket
import sys
from pathlib import Path

import click

from halab import backends
from halab.backends import choice
from halab.backends.embedded import Embedded
from halab.cli import leftovers
from halab.cli.cluster import name_option
from halab.cli.output import progress, say
from halab.course.catalog import course_root
from halab.errors import MachineError

# JupyterLab, where Ctrl-C during its imports is no traceback: its own handler comes later
JUPYTERLAB = """
import signal
if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
from jupyterlab.labapp import main
main()
"""
FIRST_PORT = 8888
PORTS = 50


@click.command()
@name_option
@click.option(
    "--port", type=click.IntRange(1024, 65535), help=f"JupyterLab's port  [default: the first free one from {FIRST_PORT}]"
)
@click.option("--ip", default="127.0.0.1", show_default=True, help="The address that JupyterLab listens on.")
@click.option("--no-browser", is_flag=True, help="Do not open a browser (none is opened where there is no display).")
def lab(name: str, port: int | None, ip: str, no_browser: bool) -> None:
    """Bring the cluster up and open JupyterLab on the course. Ctrl-C ends JupyterLab; the cluster stays (halab down stops it)."""
    root = course_root()
    chosen = _free_port(ip, port)
    backend = backends.connect(name)
    fresh = isinstance(backend, Embedded) and backend.summary().state in ("absent", "stopped")
    with progress() as shown:
        found = backend.up(shown.step)
    leftovers.heal(backend, fresh=fresh)
    lasts = "it is somebody's, and goes on" if found.backend == choice.EXISTING else "it keeps running, until: halab down"
    say(f"cluster {name} ({found.backend}) is up with {found.nodes} nodes; after JupyterLab {lasts}")
    environment = os.environ | {
        "KUBECONFIG": str(backend.kubeconfig()),
        "HALAB_CLUSTER": name,
        # so that `!halab` and `!kubectl` in a notebook are these
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
    }
    command = [
        *(sys.executable, "-c", JUPYTERLAB, f"--ip={ip}", f"--port={chosen}", "--ServerApp.port_retries=0"),
        *(f"--ServerApp.root_dir={root}", "--LabApp.default_url=/lab/tree/notebooks/00-start-here.ipynb"),
        # asks nobody on the Internet for news, updates or extensions
        *("--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"),
        "--LabApp.extension_manager=readonly",
        *(["--allow-root"] if os.geteuid() == 0 else []),
        *(["--no-browser"] if no_browser or not _has_display() else []),
    ]
    say(f"JupyterLab is starting on http://{ip}:{chosen}/lab; open the address with the token that it prints below")
    sys.stdout.flush()
    os.execve(sys.executable, command, environment)


def _has_display() -> bool:
    browsers = ("xdg-open", "firefox", "chromium", "google-chrome", "sensible-browser")
    display = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or os.environ.get("BROWSER")
    return bool(display) and any(shutil.which(one) for one in browsers)


def _free_port(ip: str, wanted: int | None) -> int:
    for port in [wanted] if wanted else range(FIRST_PORT, FIRST_PORT + PORTS):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((ip, port))
            except OSError:
                continue
        if wanted is None and port != FIRST_PORT:
            say(f"port {FIRST_PORT} is taken by another program; using {port}")
        return port
    if wanted:
        raise MachineError(
            f"port {wanted}", f"is taken on {ip}", "choose another: halab lab --port N (or none, and the first free one is used)"
        )
    raise MachineError(f"ports {FIRST_PORT}-{FIRST_PORT + PORTS - 1}", f"are all taken on {ip}", "name one: halab lab --port N")
