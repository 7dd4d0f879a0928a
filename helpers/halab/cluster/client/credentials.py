"""How a client proves who it is, where that changes while it runs: a token in a file, a program that gives credentials.

``current`` says what to use now, ``refused`` that the server answered 401 to it. The program is started as kubectl starts it
(client.authentication.k8s.io/v1 and v1beta1), and what it gave is kept until shortly before it expires, for all clients of the process.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import threading
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from halab.errors import ClusterError, MachineError, UsageError

GROUP = "client.authentication.k8s.io"
VERSIONS = (f"{GROUP}/v1", f"{GROUP}/v1beta1")
PLUGIN_SECONDS = 60.0
REREAD_SECONDS = 60.0  # of a token's file, as client-go does: it is replaced before it expires
LEEWAY = 10.0  # seconds before its expiry at which a credential is no longer used


@dataclass(frozen=True, slots=True)
class Credential:
    """``token`` goes into the Authorization header; ``certificate`` is the client's, as PEM with its key. Either may be empty."""

    token: str = ""
    certificate: bytes = b""


class Source(Protocol):
    async def current(self) -> Credential:
        """Raises HalabError where there is none to be had."""

    def refused(self, credential: Credential) -> None:
        """The server does not take it: the next ``current`` asks anew."""


class TokenFile:
    """A bearer token in a file that somebody renews (a pod's ServiceAccount token, a sidecar's)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known, self._read_at = Credential(), -REREAD_SECONDS

    def read(self) -> Credential:
        try:
            self._known = Credential(self.path.read_text().strip())
        except OSError as error:
            if not self._known.token:
                raise UsageError(f"token file {self.path}", f"cannot be read: {error.strerror}", "correct tokenFile") from error
        self._read_at = time.monotonic()
        return self._known

    async def current(self) -> Credential:
        return self._known if time.monotonic() - self._read_at < REREAD_SECONDS else self.read()

    def refused(self, credential: Credential) -> None:
        if credential == self._known:
            self._read_at = -REREAD_SECONDS


class Plugin:
    """The program of a user's ``exec`` entry. Use ``plugin_of``: one program is asked once, whoever wants to know."""

    def __init__(self, user: str, spec: dict[str, Any], cluster: dict[str, Any]) -> None:
        self._user, self._spec, self._cluster = user, spec, cluster
        self._asking = threading.Lock()  # held while the program runs, which may take long: never in a loop's own thread
        self._known: tuple[Credential, float] | None = None

    async def current(self) -> Credential:
        kept = self._kept()
        return kept if kept is not None else await asyncio.to_thread(self._ask)

    def refused(self, credential: Credential) -> None:
        if self._known is not None and self._known[0] == credential:
            self._known = None

    def _kept(self) -> Credential | None:
        known = self._known
        return known[0] if known is not None and time.time() < known[1] - LEEWAY else None

    def _ask(self) -> Credential:
        with self._asking:
            if kept := self._kept():  # another thread has asked meanwhile
                return kept
            self._known = parse(self._subject, self._run(), str(self._spec["apiVersion"]))
            return self._known[0]

    @property
    def _subject(self) -> str:
        return f"credentials of user {self._user}"

    def _run(self) -> str:
        command = [str(self._spec["command"]), *map(str, self._spec.get("args") or ())]
        asked: dict[str, Any] = {"interactive": False}
        if self._spec.get("provideClusterInfo"):
            asked["cluster"] = self._cluster
        info = {"apiVersion": self._spec["apiVersion"], "kind": "ExecCredential", "spec": asked}
        settings = {str(one["name"]): str(one.get("value", "")) for one in self._spec.get("env") or ()}
        environment = {**os.environ, **settings, "KUBERNETES_EXEC_INFO": json.dumps(info)}
        hint = str(self._spec.get("installHint") or "").strip().replace("\n", " ")
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                env=environment,
                timeout=PLUGIN_SECONDS,
                check=False,
            )
        except OSError as error:
            fact = f"come from the program {command[0]}, which cannot be run: {error.strerror}"
            raise MachineError(self._subject, fact, hint or f"install it, or correct PATH: command -v {command[0]}") from error
        except subprocess.TimeoutExpired as error:
            fact = f"come from {command[0]}, which has not answered in {PLUGIN_SECONDS:.0f} s"
            raise ClusterError(self._subject, fact, f"try it by hand: {' '.join(command)}") from error
        if done.returncode:
            said = (done.stderr or done.stdout).strip()[-400:] or "it said nothing"
            fact = f"{command[0]} ended with status {done.returncode}: {said}"
            raise ClusterError(self._subject, fact, hint or "log in again with the cloud's own program")
        return done.stdout


_plugins: dict[str, Plugin] = {}


def plugin_of(user: str, spec: dict[str, Any], cluster: dict[str, Any]) -> Plugin:
    """``spec`` is the ``exec`` entry of ``user``, ``cluster`` what a program that asks for it is told. Raises UsageError."""
    subject = f"credentials of user {user}"
    version, mode = str(spec.get("apiVersion", "")), spec.get("interactiveMode")
    if not spec.get("command"):
        raise UsageError(subject, "the exec entry names no command", "look at: kubectl config view")
    if version not in VERSIONS:
        fact = f"the exec entry speaks {version or 'no apiVersion'}, which no longer exists"
        raise UsageError(subject, fact, f"renew the kubeconfig; {VERSIONS[0]} is the current one")
    if mode == "Always":
        fact = f"{spec['command']} must ask somebody at a terminal, and nobody is there"
        raise UsageError(subject, fact, "use a token or a client certificate")
    key = json.dumps([spec, cluster], sort_keys=True, default=str)
    return _plugins.setdefault(key, Plugin(user, spec, cluster))


def parse(subject: str, text: str, version: str) -> tuple[Credential, float]:
    """What a program answered, and when that expires (Unix time; infinite where it does not say)."""
    remedy = "is it the right program? look at: kubectl config view"
    try:
        answer = json.loads(text)
        said = answer.get("apiVersion"), answer.get("kind")
        status = answer.get("status") or {}
        expires = status.get("expirationTimestamp")
        until = datetime.fromisoformat(str(expires).replace("Z", "+00:00")).timestamp() if expires else float("inf")
    except (ValueError, AttributeError) as error:
        raise ClusterError(subject, "the program's answer is not an ExecCredential in JSON", remedy) from error
    if said != (version, "ExecCredential"):
        raise ClusterError(subject, f"the program answers as {said[0]} {said[1]}, not {version} ExecCredential", remedy)
    token = str(status.get("token") or "")
    certificate, key = str(status.get("clientCertificateData") or ""), str(status.get("clientKeyData") or "")
    if bool(certificate) != bool(key):
        raise ClusterError(subject, "the program gave a client certificate without its key, or a key alone", remedy)
    if not token and not certificate:
        raise ClusterError(subject, "the program gave neither a token nor a client certificate", remedy)
    return Credential(token, f"{certificate}\n{key}".encode() if certificate else b""), until
