"""What a learner must be allowed in a namespace of somebody's cluster: one Role, published as YAML, and asked for before a lab begins."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson
import yaml

from halab.aio.portal import portal
from halab.backends.access import Api

Right = tuple[str, str, str]  # verb, group, resource with its subresource after a slash
FILE = Path(__file__).parent / "manifests" / "learner-role.yaml"
RULES = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
AT_ONCE = 16  # questions under way
REVIEW = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


def manifests(namespace: str, user: str = "learner") -> str:
    """The YAML for an administrator to apply: the namespace, the ServiceAccount ``user``, its Role, and the right to look at nodes."""
    return FILE.read_text().replace("NAMESPACE", namespace).replace("LEARNER", user)


def remedy(namespace: str) -> str:
    """What to do about a right that is missing: whom to give which file."""
    return f"give its administrator this Role, to apply: halab role --namespace {namespace} (made from {FILE})"


def wanted() -> list[Right]:
    """What the Role grants."""
    role: dict[str, Any] = next(doc for doc in yaml.safe_load_all(FILE.read_text()) if doc["kind"] == "Role")
    return [
        (verb, group, resource)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    ]


def lacking(api: Api, namespace: str) -> list[str]:
    """The rights of the Role that this user does not have, in words: ``create, delete deployments.apps``; verbs and resources as RBAC names them.

    One question gives all that the rules grant; what they do not show is asked for by itself, since not every cluster decides by rules alone.
    """
    return in_words(portal.run(_lacking(api, namespace), 30))


async def _lacking(api: Api, namespace: str) -> list[Right]:
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": {"namespace": namespace}}
    status, _, answer = await api.client.request("POST", RULES, body=body)
    rules = (orjson.loads(answer).get("status") or {}).get("resourceRules") or [] if status < 400 else []
    open_questions = [right for right in wanted() if not granted(rules, right)]
    few = asyncio.Semaphore(AT_ONCE)

    async def one(right: Right) -> bool:
        async with few:
            return await _denied(api, namespace, right)

    answers = await asyncio.gather(*map(one, open_questions))
    return [right for right, no in zip(open_questions, answers, strict=True) if no]


def denied(api: Api, namespace: str, right: Right) -> bool:
    return portal.run(_denied(api, namespace, right), 30)


async def _denied(api: Api, namespace: str, right: Right) -> bool:
    verb, group, resource = right
    name, _, sub = resource.partition("/")
    asked = {"namespace": namespace, "verb": verb, "group": group, "resource": name, "subresource": sub}
    if resource == "namespaces":
        asked["name"] = namespace
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {"resourceAttributes": asked}}
    status, _, answer = await api.client.request("POST", REVIEW, body=review)
    return status < 400 and not orjson.loads(answer)["status"].get("allowed")  # who may not ask finds out by trying


def granted(rules: Iterable[dict[str, Any]], right: Right) -> bool:
    """Whether one of a SelfSubjectRulesReview's rules covers it."""
    verb, group, resource = right
    _, slash, sub = resource.partition("/")
    names = {"*", resource} | ({f"*/{sub}"} if slash else set())
    return any(
        not rule.get("resourceNames")
        and {"*", verb} & set(rule.get("verbs") or ())
        and {"*", group} & set(rule.get("apiGroups") or ())
        and names & set(rule.get("resources") or ())
        for rule in rules
    )


def in_words(rights: Iterable[Right]) -> list[str]:
    """Grouped, so that a person can read it: ``get, list pods, services``."""
    verbs: dict[str, list[str]] = {}
    for verb, group, resource in rights:
        verbs.setdefault(f"{resource}.{group}" if group else resource, []).append(verb)
    together: dict[tuple[str, ...], list[str]] = {}
    for resource, some in verbs.items():
        together.setdefault(tuple(sorted(set(some))), []).append(resource)
    return [f"{', '.join(some)} {', '.join(resources)}" for some, resources in together.items()]
