"""Reading kubeconfigs of other clusters."""

from __future__ import annotations

from pathlib import Path

import pytest

from halab.cluster.client import kubeconfig
from halab.errors import UsageError

TEXT = """
apiVersion: v1
kind: Config
current-context: one
contexts:
- {name: one, context: {cluster: c, user: token, namespace: team}}
- {name: two, context: {cluster: c, user: plugin}}
- {name: three, context: {cluster: c, user: nobody}}
clusters:
- {name: c, cluster: {server: "http://127.0.0.1:8080"}}
users:
- {name: token, user: {token: secret}}
- {name: plugin, user: {exec: {command: cloud}}}
"""


def test_the_current_context_gives_server_token_and_namespace(tmp_path: Path) -> None:
    (path := tmp_path / "config").write_text(TEXT)
    access = kubeconfig.load(path)
    assert (access.server, access.token, access.namespace, access.tls) == ("http://127.0.0.1:8080", "secret", "team", None)


@pytest.mark.parametrize(
    ("context", "words"), [("two", "exec plug-in"), ("three", "no user named 'nobody'"), ("four", "no context named 'four'")]
)
def test_what_cannot_be_used_is_said(tmp_path: Path, context: str, words: str) -> None:
    (path := tmp_path / "config").write_text(TEXT)
    with pytest.raises(UsageError, match=words):
        kubeconfig.load(path, context)


def test_a_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        kubeconfig.load(tmp_path / "absent")
