"""Who may ask a node agent: kubelet's authentication and authorization (https://kubernetes.io/docs/reference/access-authn-authz/kubelet-authn-authz/).

In its own cluster the agent knows two tokens, the API server's and the administrator's. At another API server it proves a client by a
certificate of that cluster's authority (what kube-apiserver comes with) or by a TokenReview, and asks that server with a
SubjectAccessReview what the client may do. Answers are remembered for a short while, as kubelet does.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from halab.aio.http import Scope
from halab.cluster.client import Client
from halab.cluster.kube.kinds import SUBJECT_ACCESS_REVIEWS, TOKEN_REVIEWS
from halab.cluster.kube.types import Obj

ALLOWED_SECONDS, REFUSED_SECONDS, TOKEN_SECONDS = 300.0, 30.0, 120.0  # kubelet's defaults
MAX_KEPT = 1000
VERBS = {"POST": "create", "GET": "get", "HEAD": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
SUBRESOURCES = {
    "stats": ("stats",), "metrics": ("metrics",), "logs": ("log",), "pods": ("pods", "proxy"), "runningpods": ("pods", "proxy"),
    "configz": ("configz", "proxy"), "healthz": ("healthz", "proxy"),
}  # fmt: skip  # any other path is nodes/proxy


class Denied(Exception):
    """``status`` 401 (who are you) or 403 (you may not)."""

    def __init__(self, status: int, message: str) -> None:
        self.status, self.message = status, message
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class User:
    name: str
    groups: tuple[str, ...] = ()


class Access:
    """``tokens`` open everything; with ``client`` everybody else is judged by the API server that it leads to."""

    def __init__(self, node: str, tokens: Iterable[str], client: Client | None = None) -> None:
        self.node = node
        self.client = client
        self._own = [f"Bearer {token}".encode() for token in tokens]
        self._users: dict[str, tuple[float, User | None]] = {}
        self._answers: dict[tuple[User, str, str], tuple[float, bool]] = {}

    async def check(self, scope: Scope, authorization: str) -> None:
        """Raises Denied."""
        given = authorization.encode()
        if any(hmac.compare_digest(given, token) for token in self._own):
            return
        user = await self._user(scope, authorization) if self.client is not None else None
        if user is None:
            raise Denied(401, "Unauthorized")
        verb = VERBS.get(scope["method"], "")
        subresources = SUBRESOURCES.get(scope["path"].strip("/").partition("/")[0], ("proxy",))
        for subresource in subresources:
            if await self._may(user, verb, subresource):
                return
        shown = " ".join(subresources)
        raise Denied(403, f"Forbidden (user={user.name}, verb={verb}, resource=nodes, subresource(s)=[{shown}])\n")

    async def _user(self, scope: Scope, authorization: str) -> User | None:
        certificate = scope["extensions"].get("tls", {}).get("client_certificate")
        if certificate:
            return user_of_certificate(certificate)
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token or self.client is None:
            return None
        now = time.monotonic()
        known = self._users.get(token)
        if known is None or known[0] < now:
            review = await self.client.create(TOKEN_REVIEWS, {"spec": {"token": token}})
            known = self._users[token] = (now + TOKEN_SECONDS, user_of_review(review))
            _trim(self._users)
        return known[1]

    async def _may(self, user: User, verb: str, subresource: str) -> bool:
        assert self.client is not None
        now, key = time.monotonic(), (user, verb, subresource)
        known = self._answers.get(key)
        if known is None or known[0] < now:
            asked = {"verb": verb, "version": "v1", "resource": "nodes", "subresource": subresource, "name": self.node}
            spec = {"user": user.name, "groups": list(user.groups), "resourceAttributes": asked}
            review = await self.client.create(SUBJECT_ACCESS_REVIEWS, {"spec": spec})
            allowed = bool((review.get("status") or {}).get("allowed"))
            known = self._answers[key] = (now + (ALLOWED_SECONDS if allowed else REFUSED_SECONDS), allowed)
            _trim(self._answers)
        return known[1]


def _trim(kept: dict[Any, Any]) -> None:
    while len(kept) > MAX_KEPT:
        del kept[next(iter(kept))]


def user_of_review(review: Obj) -> User | None:
    """The user that a TokenReview found; None if the token is nobody's."""
    status = review.get("status") or {}
    if not status.get("authenticated"):
        return None
    user = status.get("user") or {}
    return User(user.get("username") or "", tuple(user.get("groups") or ()))


def user_of_certificate(certificate: dict[str, Any]) -> User | None:
    """Common name and organisations of a client's certificate (as ``ssl`` decodes it) are its user and groups."""
    pairs = [pair for part in certificate.get("subject") or () for pair in part]
    name = next((value for key, value in pairs if key == "commonName"), "")
    groups = tuple(value for key, value in pairs if key == "organizationName")
    return User(name, (*groups, "system:authenticated")) if name else None
