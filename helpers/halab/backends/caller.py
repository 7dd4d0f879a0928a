"""Somebody's requests, tried out: what the API server says to them, for checks of who may do what.

``Api`` does what the learner may do; a ``Caller`` asks whether somebody may. Nothing is changed: every write is a dry run.
"""

from __future__ import annotations

import json

from halab.aio.portal import portal
from halab.backends.access import Api, Obj
from halab.cluster.client import kubeconfig, kubeconfig_files
from halab.cluster.client.client import PATCH_CONTENT_TYPES, Client, error_of

TOKEN_SECONDS = 600  # the shortest life of a token that the API server gives


class Caller:
    """One user's requests."""

    def __init__(self, client: Client) -> None:
        self._client = client

    @classmethod
    def learner(cls, api: Api) -> Caller:
        return cls(api.client)

    @classmethod
    def account(cls, api: Api, name: str) -> Caller:
        """Nobody but the service account ``name`` of ``api``'s namespace. Raises ApiError where there is no token to be had for it."""
        path = f"/api/v1/namespaces/{api.namespace}/serviceaccounts/{name}/token"
        wanted = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": TOKEN_SECONDS}}
        status, _, body = portal.run(api.client.request("POST", path, body=wanted))
        if status >= 400:
            raise error_of(status, body)
        document = kubeconfig_files.read(api.kubeconfig)
        for user in document["users"]:
            user["user"] = {"token": json.loads(body)["status"]["token"]}
        return cls(Client.from_access(kubeconfig.access_of(document), user_agent="halab-course"))

    def attempt(self, method: str, path: str, body: Obj | None = None) -> tuple[int, str]:
        """One request to a path of the API: its status, and what the API server says (empty where it only gives what was asked for).

        A write is a dry run, a PATCH a strategic merge; of a list one object is asked for."""
        query = {"dryRun": "All"} if method != "GET" else {"limit": 1}
        headers = {"Content-Type": PATCH_CONTENT_TYPES["strategic"]} if method == "PATCH" else {}
        status, _, answer = portal.run(self._client.request(method, path, query=query, body=body, headers=headers))
        return status, str(error_of(status, answer)) if status >= 400 else ""

    def rules(self, namespace: str) -> list[Obj]:
        """All that the caller may do to objects of ``namespace``, as the API server itself lists it (``SelfSubjectRulesReview``)."""
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectRulesReview",
            "spec": {"namespace": namespace},
        }
        path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
        status, _, body = portal.run(self._client.request("POST", path, body=review))
        if status >= 400:
            raise error_of(status, body)
        found: list[Obj] = json.loads(body)["status"].get("resourceRules") or []
        return found
