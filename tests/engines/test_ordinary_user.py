"""A user who is not root: with the right to use the engine's socket everything works, without it the refusal says what to do."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.needs("dockerd", "kubectl", "busybox")

NOBODY = 65534
POD = """
apiVersion: v1
kind: Pod
metadata: {name: writer}
spec:
  terminationGracePeriodSeconds: 1
  volumes: [{name: scratch, emptyDir: {}}]
  containers:
  - name: main
    image: busybox:1.36
    command: [sh, -c, "mkdir /scratch/deep && echo x > /scratch/deep/file && chmod 700 /scratch/deep; while sleep 1; do :; done"]
    volumeMounts: [{name: scratch, mountPath: /scratch}]
    readinessProbe: {exec: {command: [test, -e, /scratch/deep/file]}, periodSeconds: 1}
"""


class User:
    """Runs programs as nobody, with a home of its own."""

    def __init__(self, home: Path, host: str) -> None:
        self.home, self.host = home, host

    def run(self, *command: str, text: str | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
        own = {"HOME": str(self.home), "HALAB_HOME": str(self.home / "halab"), "DOCKER_HOST": self.host}
        inherited = {key: os.environ[key] for key in ("PATH", "LANG") if key in os.environ}
        return subprocess.run(
            command,
            input=text,
            env=inherited | own | environment,
            cwd="/",
            user=NOBODY,
            group=NOBODY,
            extra_groups=[],
            capture_output=True,
            text=True,
            timeout=120,
        )

    def halab(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return self.run(str(Path(sys.executable).with_name("halab")), *words, **environment)


@pytest.fixture
def user(dockerd: str) -> Iterator[User]:
    home = Path(tempfile.mkdtemp(prefix="halab-nobody-"))
    home.chmod(0o755)
    os.chown(home, NOBODY, NOBODY)
    socket = Path(dockerd.removeprefix("unix://"))
    socket.parent.chmod(0o755)
    found = User(home, dockerd)
    if found.run(sys.executable, "-c", "import halab").returncode:
        pytest.skip("other users of this machine may not read this installation")
    before = socket.stat()
    yield found
    os.chown(socket, before.st_uid, before.st_gid)
    socket.chmod(before.st_mode)
    shutil.rmtree(home)


def test_without_the_right_to_the_socket_the_refusal_says_what_to_do(user: User) -> None:
    done = user.halab("up", "--runtime", "docker")
    assert done.returncode == 2
    assert "Docker engine: its socket" in done.stderr and "may not be opened by this user; sudo usermod -aG docker" in done.stderr
    assert not list((user.home / "halab" / "clusters").glob("*"))


def test_with_it_low_ports_work_and_nothing_that_containers_wrote_is_left(user: User, dockerd: str) -> None:
    os.chown(dockerd.removeprefix("unix://"), NOBODY, NOBODY)
    up = user.halab("up", "--runtime", "docker", "--nodes", "1")
    assert up.returncode == 0, up.stderr
    try:
        kubeconfig = user.halab("kubeconfig").stdout.strip()
        kubectl = ("kubectl", "--kubeconfig", kubeconfig, "--cache-dir", str(user.home / "kube"))
        assert user.run(*kubectl, "apply", "-f", "-", text=POD).returncode == 0
        ready = user.run(*kubectl, "wait", "--for=condition=Ready", "pod/writer", "--timeout=60s")
        assert ready.returncode == 0, ready.stderr
        lookup = user.run(*kubectl, "exec", "writer", "--", "nslookup", "kubernetes.default.svc.cluster.local")
        assert lookup.returncode == 0, lookup.stdout + lookup.stderr
        pods = user.home / "halab" / "clusters" / "default" / "nodes" / "node-1" / "pods"
        assert len(list(pods.iterdir())) == 1
        assert user.run(*kubectl, "delete", "pod", "writer", "--now").returncode == 0
        down = user.halab("down")
        assert down.returncode == 0 and not list(pods.iterdir())
    finally:
        user.halab("down", "--purge")
    assert not list((user.home / "halab" / "clusters").glob("*"))
