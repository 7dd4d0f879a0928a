"""Every command works on somebody's cluster as it does on one's own."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from halab.backends import choice
from halab.cli import cli

from .conftest import Somebodys

pytestmark = pytest.mark.needs("kubectl", "nginx")
UP = ["up", "--backend", "existing", "--name", "term", "--namespace", "bob", "--load", "none"]


def halab(*words: str) -> Result:
    return CliRunner().invoke(cli, list(words), catch_exceptions=False)


@pytest.fixture
def term(somebodys: Somebodys, monkeypatch: pytest.MonkeyPatch) -> str:
    """Cluster ``term``: brought up from $KUBECONFIG, in a namespace that is made for it."""
    monkeypatch.setenv("KUBECONFIG", str(somebodys.admin))
    monkeypatch.setenv("HALAB_CLUSTER", "term")
    done = halab(*UP, "--ingress", somebodys.ingress)
    assert done.exit_code == 0 and "namespace bob" in done.output, done.output
    return "term"


def test_up_status_env_kubeconfig_and_doctor(term: str, somebodys: Somebodys) -> None:
    status = json.loads(halab("status", "--json").stdout)
    assert (status["name"], status["backend"], status["state"]) == (term, "existing", "running")
    assert "ingress" in status["features"] and len(status["nodes"]) == 3
    copy = halab("kubeconfig").stdout.strip()
    assert Path(copy) == choice.folder_of(term) / "kubeconfig" and Path(copy).stat().st_mode & 0o077 == 0
    env = halab("env").stdout
    assert f"KUBECONFIG={copy}" in env and f"HALAB_INGRESS={':'.join(somebodys.ingress.split(':')[:2])}" in env
    found: list[dict[str, Any]] = json.loads(halab("doctor", "--json").stdout)["findings"]
    (ours,) = [one for one in found if one["subject"] == f"cluster {term}"]
    assert ours["level"] == "ok" and ours["fact"] == "existing, running"


def test_up_again_finds_everything_without_being_told(term: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBECONFIG")
    assert halab("up").exit_code == 0
    assert json.loads(halab("status", "--json").stdout)["state"] == "running"


def test_jupyterlab_is_started_on_the_cluster_that_was_chosen(term: str, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[dict[str, str]] = []
    monkeypatch.setattr(os, "execve", lambda _program, _words, environment: started.append(environment))
    done = halab("lab", "--no-browser")
    assert done.exit_code == 0 and "(existing) is up with 3 nodes" in done.output
    (environment,) = started
    assert environment["HALAB_CLUSTER"] == term and Path(environment["KUBECONFIG"]) == choice.folder_of(term) / "kubeconfig"


def test_a_lab_is_played_and_the_cluster_left(term: str, somebodys: Somebodys) -> None:
    assert "namespace bob" in halab("start", "02").stdout
    assert halab("solve", "02").exit_code == 0
    done = halab("check", "02")
    assert done.exit_code == 0, done.output
    assert halab("reset", "02").exit_code == 0
    somebodys.kubectl("create", "namespace", "bystander")
    assert "is gone; the cluster itself goes on" in halab("down", "--purge").output
    somebodys.kubectl("wait", "--for=delete", "namespace/bob", "--timeout=30s")
    somebodys.kubectl("get", "namespace", "bystander")
    assert choice.read(term) is None
