"""Who asks: bearer tokens of the configuration, service account tokens, and impersonation."""

from __future__ import annotations

import hashlib
from typing import Any
from urllib.parse import unquote

from halab.cluster.apiserver.authz import Authorizer
from halab.cluster.apiserver.request import ANONYMOUS, PlainError, Request, User
from halab.cluster.apiserver.tokens import AUDIENCES, Tokens
from halab.cluster.kube import kinds, status
from halab.cluster.kube.rbac import Attributes
from halab.cluster.store.store import Store

Obj = dict[str, Any]
AUTHENTICATED, UNAUTHENTICATED = "system:authenticated", "system:unauthenticated"
MASTERS = "system:masters"
NODES = "system:nodes"
ACCOUNT_PREFIX = "system:serviceaccount:"
EXTRA = "authentication.kubernetes.io/"
EXTRA_HEADER = b"impersonate-extra-"


def user_of_token(name: str) -> User:
    """The user behind a name of ``ClusterConfig.tokens``, with the groups that name implies."""
    if name == "admin":
        return User("kubernetes-admin", (MASTERS, AUTHENTICATED))
    if name == "system:apiserver":
        return User(name, (MASTERS, AUTHENTICATED))
    if name.startswith("system:node:"):
        return User(name, (NODES, AUTHENTICATED))
    return User(name, (AUTHENTICATED,))


class Authenticator:
    """``tokens`` maps names of users to their tokens."""

    def __init__(self, static: dict[str, str], tokens: Tokens, store: Store, authorizer: Authorizer) -> None:
        self._static = {token.encode(): user_of_token(name) for name, token in static.items()}
        self.tokens = tokens
        self.store = store
        self.authorizer = authorizer

    def authenticate(self, request: Request) -> User:
        """The user of a request; anonymous without credentials. Raises 401 for credentials that are wrong, 403 for an impersonation that
        is not allowed."""
        user = self._bearer(request)
        if (
            b"impersonate-user" in request.headers
            or b"impersonate-group" in request.headers
            or b"impersonate-uid" in request.headers
        ):
            return self._impersonate(request, user)
        return user

    def _bearer(self, request: Request) -> User:
        header = request.headers.get(b"authorization")
        token = b""
        if header is not None:
            scheme, _, token = header.partition(b" ")
            if scheme.lower() != b"bearer":
                raise status.unauthorized()
        elif b"sec-websocket-protocol" in request.headers:
            token = _websocket_token(request.headers[b"sec-websocket-protocol"])
        if not token and header is None:
            return self._certified(request) or ANONYMOUS
        token = token.strip()
        user = self._static.get(token)
        if user is None:
            found = self.account(token)
            if found is None:
                raise status.unauthorized()
            user = found[0]
        return user

    @staticmethod
    def _certified(request: Request) -> User | None:
        """The user of a client certificate, which TLS has verified: its common name, and its organizations as groups."""
        connection = request.scope["extensions"].get("tls", {})
        certificate = connection.get("client_certificate")
        if not certificate:
            return None
        subject = [pair for names in certificate.get("subject", ()) for pair in names]
        name = next((value for key, value in subject if key == "commonName"), "")
        groups = [value for key, value in subject if key == "organizationName"]
        if not name:
            return None
        seen = hashlib.sha256(connection["transport"].get_extra_info("ssl_object").getpeercert(True)).hexdigest()
        return User(name, (*groups, AUTHENTICATED), "", {EXTRA + "credential-id": [f"X509SHA256={seen}"]})

    # -- service accounts

    def account(self, token: bytes, audiences: tuple[str, ...] = AUDIENCES) -> tuple[User, list[str]] | None:
        """(user, the audiences that fit) of a service account token, if the account and what the token is bound to still exist."""
        claims = self.tokens.verify(token)
        if claims is None:
            return None
        fitting = [audience for audience in audiences if audience in claims["aud"]]
        if not fitting:
            return None
        private = claims.get("kubernetes.io") or {}
        namespace, account = private.get("namespace", ""), private.get("serviceaccount") or {}
        if not self._exists(kinds.SERVICE_ACCOUNTS, namespace, account):
            return None
        extra = {EXTRA + "credential-id": [f"JTI={claims['jti']}"]}
        for kind, field in ((kinds.PODS, "pod"), (kinds.SECRETS, "secret")):
            bound = private.get(field)
            if bound is not None and not self._exists(kind, namespace, bound):
                return None
        for field in ("pod", "node"):
            if private.get(field):
                extra[f"{EXTRA}{field}-name"] = [private[field]["name"]]
                extra[f"{EXTRA}{field}-uid"] = [private[field]["uid"]]
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", AUTHENTICATED)
        return User(claims["sub"], groups, account.get("uid", ""), extra), fitting

    def user_of(self, token: bytes, audiences: tuple[str, ...]) -> tuple[User, list[str]] | None:
        """For TokenReview: any token of this cluster."""
        user = self._static.get(token)
        if user is not None:
            return user, list(audiences)
        return self.account(token, audiences)

    def _exists(self, kind: kinds.Kind, namespace: str, reference: Obj) -> bool:
        entry = self.store.get(kind.storage, namespace, reference.get("name", ""))
        if entry is None or f'"{reference.get("uid", "")}"'.encode() not in entry.value:
            return False
        return bool(entry.obj()["metadata"]["uid"] == reference.get("uid"))

    # -- impersonation

    def _impersonate(self, request: Request, user: User) -> User:
        name = request.header(b"impersonate-user")
        groups = request.header_values(b"impersonate-group")
        uid = request.header(b"impersonate-uid")
        extra: dict[str, list[str]] = {}
        for key, value in request.scope["headers"]:
            if key.startswith(EXTRA_HEADER):
                extra.setdefault(unquote(key[len(EXTRA_HEADER) :].decode("latin-1")).lower(), []).append(
                    value.decode("utf-8", "replace")
                )
        if not name:
            wanted = [f"{{Group  {group}    }}" for group in groups]
            wanted += [
                f"{{UserExtra  {value}  authentication.k8s.io/v1  {key}}}" for key, values in extra.items() for value in values
            ]
            wanted += [f"{{UID  {uid}  authentication.k8s.io/v1  }}"] if uid else []
            raise PlainError(
                500, f'Internal Server Error: "{request.path}": requested [{" ".join(wanted)}] without impersonating a user'
            )
        namespace, account = _account_name(name)
        if account:
            self._check(user, Attributes("impersonate", "", "serviceaccounts", "", namespace, account))
        else:
            self._check(user, Attributes("impersonate", "", "users", "", "", name))
        for group in groups:
            self._check(user, Attributes("impersonate", "", "groups", "", "", group))
        if uid:
            self._check(user, Attributes("impersonate", "authentication.k8s.io", "uids", "", "", uid))
        for key, values in extra.items():
            for value in values:
                self._check(user, Attributes("impersonate", "authentication.k8s.io", "userextras", key, "", value))
        if account and not groups:
            groups = ["system:serviceaccounts", f"system:serviceaccounts:{namespace}"]
        if name == ANONYMOUS.name:
            groups = [*groups, UNAUTHENTICATED] if UNAUTHENTICATED not in groups else groups
        elif AUTHENTICATED not in groups:
            groups = [*groups, AUTHENTICATED]
        return User(name, tuple(groups), uid, extra)

    def _check(self, user: User, attributes: Attributes) -> None:
        error = self.authorizer.refusal(user, attributes)
        if error is not None:
            raise error


def _account_name(user: str) -> tuple[str, str]:
    """(namespace, name) of a service account's user name, else empty strings."""
    if not user.startswith(ACCOUNT_PREFIX):
        return "", ""
    namespace, _, name = user[len(ACCOUNT_PREFIX) :].partition(":")
    return (namespace, name) if namespace and name and ":" not in name else ("", "")


def _websocket_token(protocols: bytes) -> bytes:
    """Browsers cannot set headers on a WebSocket: the token may come as a subprotocol (``base64url.bearer.authorization.k8s.io.TOKEN``)."""
    import base64
    import binascii

    prefix = b"base64url.bearer.authorization.k8s.io."
    for protocol in protocols.split(b","):
        if protocol.strip().startswith(prefix):
            text = protocol.strip()[len(prefix) :]
            try:
                return base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))
            except binascii.Error:
                return b"?"
    return b""
