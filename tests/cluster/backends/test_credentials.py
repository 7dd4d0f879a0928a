"""A cloud's kubeconfig: a program gives the credentials, to halab, to its ways into the cluster and to kubectl alike."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from halab.backends import choice
from halab.backends.existing import Existing
from halab.course.requests import fetch
from halab.errors import HalabError

from .conftest import Somebodys

pytestmark = pytest.mark.needs("kubectl", "nginx")
PROGRAM = """#!{python}
import json, os, pathlib, time
here = pathlib.Path(__file__).parent
(here / "asked").open("a").write(json.loads(os.environ["KUBERNETES_EXEC_INFO"])["spec"].get("cluster", {{}}).get("server", "") + "\\n")
until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
status = {{"token": (here / "token").read_text(), "expirationTimestamp": until}}
print(json.dumps({{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}}))
"""


@pytest.fixture
def cloud(somebodys: Somebodys, tmp_path: Path) -> Path:
    """A folder with the cloud's program, and a kubeconfig that names it by a relative path and trusts nobody's certificate."""
    document: dict[str, Any] = yaml.safe_load(somebodys.learner.read_text())
    (tmp_path / "token").write_text(document["users"][0]["user"]["token"])
    (program := tmp_path / "cloud-login").write_text(PROGRAM.format(python=sys.executable))
    program.chmod(0o700)
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "./cloud-login",
        "interactiveMode": "Never",
        "provideClusterInfo": True,
    }
    document["users"][0]["user"] = {"exec": plugin}
    cluster = document["clusters"][0]["cluster"]
    cluster.pop("certificate-authority-data", None)
    cluster.pop("certificate-authority", None)
    cluster["insecure-skip-tls-verify"] = True
    document["contexts"].append({"name": "another", "context": {"cluster": "nowhere", "user": "nobody"}})
    (tmp_path / "config").write_text(yaml.safe_dump(document))
    return tmp_path


def test_one_login_serves_the_api_the_ways_into_the_cluster_and_kubectl(cloud: Path, somebodys: Somebodys) -> None:
    cluster = Existing("cloud", {"kubeconfig": str(cloud / "config"), "namespace": "alice", "load": "none"})
    assert cluster.up(lambda _text: None).state == "running"
    somebodys.kubectl("-n", "alice", "run", "page", "--image=nginx:1.27", "--port=80")
    somebodys.kubectl("-n", "alice", "wait", "pod/page", "--for=condition=Ready", "--timeout=30s")
    assert fetch(cluster.pod("alice", "page", 80)).status == 200
    asked = (cloud / "asked").read_text().split()
    assert len(asked) == 1 and asked[0].startswith("https://"), "once for all clients of this process"
    done = subprocess.run(
        ["kubectl", "--kubeconfig", str(cluster.kubeconfig()), "get", "pods"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and "page" in done.stdout, "kubectl looks at the learner's namespace with the same credentials"
    contexts = yaml.safe_load(cluster.kubeconfig().read_text())["contexts"]
    assert len(contexts) == 1
    somebodys.kubectl("-n", "alice", "delete", "pod", "page", "--grace-period=0", "--force")


def test_a_login_that_has_expired_is_asked_for_again_and_one_that_is_refused_is_said(cloud: Path) -> None:
    good = (cloud / "token").read_text()
    (cloud / "token").write_text("expired")
    options = {"kubeconfig": str(cloud / "config"), "namespace": "alice", "load": "none"}
    with pytest.raises(HalabError, match=r"does not know you \(401\)"):
        Existing("expired", options).up(lambda _text: None)
    assert choice.read("expired") is None, "nothing is remembered of a cluster that did not come up"
    (cloud / "token").write_text(good)
    cluster = Existing("expired", options)
    assert cluster.up(lambda _text: None).state == "running"


def test_a_program_that_is_not_there_is_named(cloud: Path) -> None:
    (cloud / "cloud-login").unlink()
    with pytest.raises(HalabError, match=r"come from the program .*cloud-login, which cannot be run"):
        Existing("lost", {"kubeconfig": str(cloud / "config"), "namespace": "alice"}).up(lambda _text: None)
