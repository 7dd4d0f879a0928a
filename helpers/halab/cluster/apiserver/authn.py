"""Who asks: bearer tokens of the configuration."""

from __future__ import annotations

from halab.cluster.apiserver.request import ANONYMOUS, Request, User
from halab.cluster.kube import status

AUTHENTICATED = "system:authenticated"
MASTERS = "system:masters"
NODES = "system:nodes"


def user_of_token(name: str) -> User:
    """The user behind a name of ``ClusterConfig.tokens``, with the groups that name implies."""
    if name in ("admin", "system:apiserver"):
        return User("kubernetes-admin" if name == "admin" else name, (MASTERS, AUTHENTICATED))
    if name.startswith("system:node:"):
        return User(name, (NODES, AUTHENTICATED))
    return User(name, (AUTHENTICATED,))


class Authenticator:
    """``tokens`` maps names of users to their tokens."""

    def __init__(self, tokens: dict[str, str]) -> None:
        self._static = {token.encode(): user_of_token(name) for name, token in tokens.items()}

    def authenticate(self, request: Request) -> User:
        """The user of a request; anonymous without credentials. Raises 401 for credentials that are wrong."""
        header = request.headers.get(b"authorization")
        if header is None:
            return ANONYMOUS
        scheme, _, token = header.partition(b" ")
        user = self._static.get(token.strip()) if scheme.lower() == b"bearer" else None
        if user is None:
            raise status.unauthorized()
        return user
