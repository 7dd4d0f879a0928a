"""Reading kubeconfigs of other clusters."""

from __future__ import annotations

import base64
import ssl
from pathlib import Path
from typing import Any

import pytest
import yaml

from halab.cluster.client import kubeconfig, kubeconfig_files
from halab.errors import UsageError

TEXT = """
apiVersion: v1
kind: Config
current-context: one
contexts:
- {name: one, context: {cluster: c, user: token, namespace: team}}
- {name: two, context: {cluster: c, user: old}}
- {name: three, context: {cluster: c, user: nobody}}
- {name: five, context: {cluster: far, user: token}}
- {name: six, context: {cluster: c, user: typist}}
- {name: seven, context: {cluster: c, user: shouter}}
- {name: eight, context: {cluster: c, user: password}}
- {name: nine, context: {cluster: c, user: file}}
clusters:
- {name: c, cluster: {server: "http://127.0.0.1:8080"}}
- {name: far, cluster: {server: "https://far", proxy-url: "http://proxy:3128"}}
users:
- {name: token, user: {token: secret}}
- {name: old, user: {exec: {command: cloud, apiVersion: client.authentication.k8s.io/v1alpha1}}}
- {name: typist, user: {exec: {command: cloud, apiVersion: client.authentication.k8s.io/v1, interactiveMode: Always}}}
- {name: shouter, user: {auth-provider: {name: gcp}}}
- {name: password, user: {username: me, password: secret}}
- {name: file, user: {tokenFile: sub/token}}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (path := tmp_path / "config").write_text(TEXT)
    return path


def test_the_current_context_gives_server_token_and_namespace(config: Path) -> None:
    access = kubeconfig.load(config)
    assert (access.server, access.token, access.namespace, access.tls) == ("http://127.0.0.1:8080", "secret", "team", None)


@pytest.mark.parametrize(
    ("context", "words"),
    [
        ("two", "v1alpha1, which no longer exists"),
        ("three", "no user named 'nobody'; it has: token, "),
        ("four", "no context named 'four'; it has: one, two"),
        ("five", "through the proxy http://proxy:3128"),
        ("six", "somebody at a terminal"),
        ("seven", "auth-provider"),
        ("eight", "a password, which API servers have not taken"),
        ("nine", "sub/token: cannot be read"),
    ],
)
def test_what_cannot_be_used_is_said(config: Path, context: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        kubeconfig.load(config, context)


def test_a_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        kubeconfig.load(tmp_path / "absent")


@pytest.mark.parametrize("text", ["{", "just words", "contexts: {a: b}"])
def test_what_is_no_kubeconfig_is_said(tmp_path: Path, text: str) -> None:
    (path := tmp_path / "config").write_text(text)
    with pytest.raises(UsageError, match="is not"):
        kubeconfig.load(path)


def test_of_a_list_of_files_the_first_that_names_something_wins_and_absent_ones_are_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_text("users: [{name: me, user: {token: a}}]\n")
    second.write_text(
        "current-context: x\n"
        "contexts: [{name: x, context: {cluster: c, user: me}}]\n"
        "clusters: [{name: c, cluster: {server: 'http://there'}}]\n"
        "users: [{name: me, user: {token: b}}, {name: you, user: {token: c}}]\n"
    )
    monkeypatch.setenv("KUBECONFIG", f"{first}:{tmp_path / 'absent'}::{second}")
    access = kubeconfig.load()
    assert (access.server, access.token) == ("http://there", "a")
    assert kubeconfig_files.places() == [first, tmp_path / "absent", second]


def test_paths_are_relative_to_their_file_and_one_context_can_be_taken_elsewhere(tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "ca.pem").write_text("CA")
    (folder / "sub" / "token").write_text("t1\n")
    document = yaml.safe_load(TEXT)
    document["clusters"][0]["cluster"]["certificate-authority"] = "sub/ca.pem"
    document["users"][1]["user"]["exec"] = {"command": "./bin/cloud", "apiVersion": "client.authentication.k8s.io/v1"}
    (folder / "config").write_text(yaml.safe_dump(document))
    taken = kubeconfig_files.minified(kubeconfig_files.read(folder / "config"), "nine")
    assert [len(taken[kind]) for kind in ("contexts", "clusters", "users")] == [1, 1, 1] and taken["current-context"] == "nine"
    assert base64.b64decode(taken["clusters"][0]["cluster"]["certificate-authority-data"]) == b"CA"
    (elsewhere := tmp_path / "copy").write_text(yaml.safe_dump(taken))
    access = kubeconfig.load(elsewhere)
    assert access.source is not None
    plugin = kubeconfig_files.minified(kubeconfig_files.read(folder / "config"), "two")["users"][0]["user"]["exec"]
    assert plugin["command"] == f"{folder}/bin/cloud"


def test_without_a_current_context_the_contexts_are_named(tmp_path: Path) -> None:
    (path := tmp_path / "config").write_text("contexts: [{name: a, context: {}}, {name: b, context: {}}]")
    with pytest.raises(UsageError, match="its contexts: a, b"):
        kubeconfig.load(path)


def test_inside_a_cluster_the_pod_s_account_is_what_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in (("token", "t"), ("namespace", "mine"), ("ca.crt", "")):
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(kubeconfig_files, "ACCOUNT", tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(UsageError, match="is not there"):
        kubeconfig_files.read()
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    found = kubeconfig_files.read()
    assert found["clusters"][0]["cluster"]["server"] == "https://10.0.0.1:443"
    assert found["contexts"][0]["context"]["namespace"] == "mine"


def test_a_certificate_without_its_key_is_refused(tmp_path: Path) -> None:
    document = yaml.safe_load(TEXT)
    document["users"][0]["user"] = {"client-certificate-data": base64.b64encode(b"C").decode()}
    (path := tmp_path / "config").write_text(yaml.safe_dump(document))
    with pytest.raises(UsageError, match="no client-key"):
        kubeconfig.load(path)


def test_an_authority_without_key_identifiers_is_one_as_it_is_to_kubectl(monkeypatch: pytest.MonkeyPatch) -> None:
    real = ssl.create_default_context

    def as_from_python_3_13_on(**options: Any) -> ssl.SSLContext:
        context = real(**options)
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        return context

    monkeypatch.setattr(ssl, "create_default_context", as_from_python_3_13_on)
    context = kubeconfig.tls_context()
    assert not context.verify_flags & ssl.VERIFY_X509_STRICT
    assert context.verify_mode is ssl.CERT_REQUIRED and context.check_hostname
