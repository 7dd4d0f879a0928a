"""What a learner must be allowed in a namespace of somebody's cluster: one Role, published as YAML, and asked for before a lab begins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from halab.aio.portal import portal
from halab.backends.access import Api

FILE = Path(__file__).parent / "manifests" / "learner-role.yaml"
REVIEW = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


def manifests(namespace: str, user: str = "learner") -> str:
    """The YAML for an administrator to apply: the namespace, the ServiceAccount ``user``, its Role, and the right to look at nodes."""
    return FILE.read_text().replace("NAMESPACE", namespace).replace("LEARNER", user)


def wanted() -> list[tuple[str, str, str]]:
    """(verb, group, resource) of the Role, resources with their subresource after a slash."""
    role: dict[str, Any] = next(doc for doc in yaml.safe_load_all(FILE.read_text()) if doc["kind"] == "Role")
    return [
        (verb, group, resource)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    ]


def lacking(api: Api, namespace: str) -> list[str]:
    """The rights of the Role that this user does not have, in words: ``create deployments.apps``."""
    questions = sorted(
        {
            (("create" if "create" in verb else verb), group, resource)
            for verb, group, resource in wanted()
            if verb in ("create", "get", "watch")
        }
    )

    async def ask() -> list[str]:
        import asyncio

        import orjson

        async def one(verb: str, group: str, resource: str) -> str:
            name, _, sub = resource.partition("/")
            attributes = {"namespace": namespace, "verb": verb, "group": group, "resource": name, "subresource": sub}
            body = {
                "apiVersion": "authorization.k8s.io/v1",
                "kind": "SelfSubjectAccessReview",
                "spec": {"resourceAttributes": attributes},
            }
            status, _, answer = await api.client.request("POST", REVIEW, body=orjson.dumps(body))
            allowed = status >= 400 or orjson.loads(answer)["status"].get("allowed")  # who cannot ask finds out by trying
            return "" if allowed else f"{verb} {resource}{'.' + group if group else ''}"

        return [answer for answer in await asyncio.gather(*(one(*question) for question in questions)) if answer]

    return portal.run(ask(), 30)
