"""One embedded cluster a module, which stands for somebody's: it is known to the tests by its kubeconfig alone."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from halab.backends import rights
from halab.backends.existing import Existing
from homes import at_home


@dataclass
class Somebodys:
    """``admin`` is its administrator's kubeconfig, ``learner`` that of a ServiceAccount with the published Role in namespace ``alice``."""

    admin: Path
    learner: Path
    ingress: str

    def kubectl(self, *words: str, text: str | None = None) -> str:
        done = subprocess.run(["kubectl", "--kubeconfig", str(self.admin), *words], input=text, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def somebodys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Somebodys]:
    from halab.cluster.supervisor import manage

    home = tmp_path_factory.mktemp("home")
    with at_home(home):
        config = manage.up("real").config
    assert config is not None
    ingress = f"{config.addresses.ingress}:{config.port(80)}:{config.port(443)}"
    found = Somebodys(config.kubeconfig, home / "learner.yaml", ingress)
    found.kubectl("apply", "-f", "-", text=rights.manifests("alice", "alice"))
    document = yaml.safe_load(config.kubeconfig.read_text())
    document["users"][0]["user"] = {"token": found.kubectl("-n", "alice", "create", "token", "alice").strip()}
    found.learner.write_text(yaml.safe_dump(document))
    yield found
    with at_home(home):
        manage.down("real", purge=True)


@pytest.fixture(autouse=True)
def _at_home(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "somebodys" in request.fixturenames:
        monkeypatch.setenv("HALAB_HOME", str(request.getfixturevalue("somebodys").learner.parent))


@pytest.fixture
def alice(somebodys: Somebodys) -> Existing:
    cluster = Existing(
        "class", {"kubeconfig": str(somebodys.learner), "namespace": "alice", "ingress": somebodys.ingress, "load": "none"}
    )
    cluster.up(lambda _text: None)
    return cluster
