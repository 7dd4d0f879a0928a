"""Credentials that change: token files, and programs as clouds bring them."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from halab.cluster.client import kubeconfig
from halab.cluster.client.client import Client
from halab.cluster.client.credentials import VERSIONS, Credential, Plugin, TokenFile, parse
from halab.errors import ClusterError, HalabError, MachineError

V1 = VERSIONS[0]
PROGRAM = """#!{python}
import json, os, pathlib, sys
count = pathlib.Path(sys.argv[1]); n = int(count.read_text() or 0) + 1 if count.exists() else 1
count.write_text(str(n))
asked = json.loads(os.environ["KUBERNETES_EXEC_INFO"])
status = {{"token": f"token-{{n}}-{{os.environ.get('EXTRA', '')}}-{{(asked['spec'].get('cluster') or {{}}).get('server', '')}}"}}
if len(sys.argv) > 2: status["expirationTimestamp"] = sys.argv[2]
print(json.dumps({{"apiVersion": asked["apiVersion"], "kind": "ExecCredential", "status": status}}))
"""
Make = Callable[..., Plugin]


@pytest.fixture
def plugin(tmp_path: Path) -> Make:
    program = tmp_path / "cloud"
    program.write_text(PROGRAM.format(python=sys.executable))
    program.chmod(0o700)

    def make(*arguments: str, **more: Any) -> Plugin:
        spec = {"apiVersion": V1, "command": str(program), "args": [str(tmp_path / "count"), *arguments], **more}
        return Plugin("me", spec, {"server": "https://there"})

    return make


def now(source: Plugin | TokenFile) -> str:
    return asyncio.run(source.current()).token


def moment(seconds: float) -> str:
    return datetime.fromtimestamp(time.time() + seconds, UTC).isoformat().replace("+00:00", "Z")


def test_a_program_is_asked_once_until_its_answer_is_refused(plugin: Make) -> None:
    source = plugin(env=[{"name": "EXTRA", "value": "x"}], provideClusterInfo=True)
    assert now(source) == now(source) == "token-1-x-https://there"
    source.refused(Credential("another"))
    assert now(source).startswith("token-1")
    source.refused(Credential("token-1-x-https://there"))
    assert now(source).startswith("token-2")


def test_a_program_is_not_told_of_the_cluster_unless_it_wants_to_know(plugin: Make) -> None:
    assert now(plugin()) == "token-1--"


def test_an_answer_is_used_until_shortly_before_it_expires(plugin: Make) -> None:
    assert now(lasting := plugin(moment(3600))) == now(lasting) == "token-1--"
    assert now(passing := plugin(moment(2))) == "token-2--" and now(passing) == "token-3--"


def test_many_at_once_ask_the_program_once(plugin: Make) -> None:
    source = plugin()

    async def many() -> set[str]:
        return {one.token for one in await asyncio.gather(*(source.current() for _ in range(8)))}

    assert asyncio.run(many()) == {"token-1--"}


@pytest.mark.parametrize(
    ("spec", "kind", "words"),
    [
        ({"command": "no-such-cloud", "installHint": "install\nthe cloud"}, MachineError, "no-such-cloud.*install the cloud"),
        ({"command": "no-such-cloud"}, MachineError, "command -v no-such-cloud"),
        ({"command": "sh", "args": ["-c", "echo expired >&2; exit 3"]}, ClusterError, "status 3: expired; log in again"),
        ({"command": "echo", "args": ["hello"]}, ClusterError, "not an ExecCredential"),
        ({"command": "echo", "args": [json.dumps({"apiVersion": "x", "kind": "y"})]}, ClusterError, "answers as x y"),
    ],
)
def test_a_program_that_fails_is_named_with_what_to_do(spec: dict[str, Any], kind: type[HalabError], words: str) -> None:
    with pytest.raises(kind, match=words):
        asyncio.run(Plugin("me", {"apiVersion": V1, **spec}, {}).current())


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ({}, "neither"),
        ({"clientCertificateData": "C"}, "without its key"),
        ({"token": "t", "expirationTimestamp": "soon"}, "JSON"),
    ],
)
def test_a_half_answer_is_no_credential(status: dict[str, str], words: str) -> None:
    with pytest.raises(ClusterError, match=words):
        parse("x", json.dumps({"apiVersion": V1, "kind": "ExecCredential", "status": status}), V1)


def test_a_client_certificate_is_a_credential_too() -> None:
    status = {"clientCertificateData": "C", "clientKeyData": "K"}
    found, until = parse("x", json.dumps({"apiVersion": V1, "kind": "ExecCredential", "status": status}), V1)
    assert found.certificate == b"C\nK" and until == float("inf")


def test_a_token_s_file_is_read_again_when_its_token_is_refused(tmp_path: Path) -> None:
    (path := tmp_path / "token").write_text("one\n")
    source = TokenFile(path)
    assert now(source) == "one"
    path.write_text("two\n")
    assert now(source) == "one"
    source.refused(Credential("one"))
    assert now(source) == "two"
    path.unlink()
    source.refused(Credential("two"))
    assert now(source) == "two", "a file that is being replaced does not make one forget"


def test_a_request_that_is_refused_is_sent_again_with_a_new_credential(tmp_path: Path) -> None:
    """A server on loopback that takes the second token only."""
    (token := tmp_path / "token").write_text("old")
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            seen.append(next(line for line in head.split(b"\r\n") if line.startswith(b"Authorization")))
            token.write_text("new")
            good = seen[-1].endswith(b"new")
            body = b"{}" if good else b'{"message": "Unauthorized"}'
            line = b"HTTP/1.1 200 OK" if good else b"HTTP/1.1 401 Unauthorized"
            writer.write(line + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    async def main() -> int:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        client = Client.from_access(kubeconfig.Access(url, "", None, source=TokenFile(token)))
        status, _, _ = await client.request("GET", "/version")
        client.close()
        server.close()
        return status

    assert asyncio.run(main()) == 200
    assert seen == [b"Authorization: Bearer old", b"Authorization: Bearer new"]


def test_the_environment_of_a_program_is_this_process_s(plugin: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXTRA", "mine")
    assert now(plugin()) == "token-1-mine-" and os.environ["EXTRA"] == "mine"
