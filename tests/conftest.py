"""What tests need. Each says so itself with ``@pytest.mark.needs("chromium")``; where that is missing the test is skipped, with the command.

==========  =====================================================================================
unit/       nothing: pure functions, milliseconds
cluster/    real processes on loopback; each test has its own ``halab_home``, so they run side by side
labs/       a cluster; every lab's scene, solution and mistakes
notebooks/  a cluster and a Jupyter kernel
widgets/    nothing: the Python side of the widgets
browser/    ``chromium``, for the widgets in a real JupyterLab
engines/    ``skopeo``, ``dockerd``, ``podman``, ``kind``: other people's tools on our images
==========  =====================================================================================
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = {"chromium": "chromium", "skopeo": "skopeo", "dockerd": "docker.io iptables", "kubectl": "kubernetes-client"}
COMMANDS = {"kind": "python3 tools/kind.py"}  # where apt-get install of the package is not enough
FETCHED = ROOT / ".tools" / "kind" / "usr" / "bin"  # by tools/kind.py
SERVERS = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin", str(FETCHED)))


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(*programs): programs of the host that the test runs; skipped without them")
    # Whatever a test forgets, it never touches the learner's own cluster.
    os.environ["HALAB_HOME"] = tempfile.mkdtemp(prefix="halab-tests-")
    os.environ.pop("KUBECONFIG", None)
    os.environ.pop("HALAB_CLUSTER", None)
    # A shell that starts the tests in the background has its jobs ignore Ctrl-C, and so would every program that they start.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_unconfigure() -> None:
    shutil.rmtree(os.environ["HALAB_HOME"], ignore_errors=True)


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("needs"):
        for program in mark.args:
            if not shutil.which(program, path=SERVERS):
                command = COMMANDS.get(program) or f"sudo apt-get install {PACKAGES.get(program, program)}"
                pytest.skip(f"{program} is not installed; run: {command}")


@pytest.fixture
def halab_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home of its own for this test's clusters, which are stopped and removed at its end."""
    from halab.backends import belongings
    from halab.cluster.supervisor import manage

    home = tmp_path / "home"
    home.mkdir()
    compiled = ROOT / ".tools" / "test-cache"  # the sandbox's programs need not be compiled for every test
    compiled.mkdir(parents=True, exist_ok=True)
    (home / "cache").symlink_to(compiled)
    monkeypatch.setenv("HALAB_HOME", str(home))
    yield home
    monkeypatch.setenv("HALAB_HOME", str(home))
    for folder in (home / "clusters").glob("*"):
        manage.down(folder.name, purge=True)
    belongings.end(home)
