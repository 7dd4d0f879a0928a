"""Who may ask a node agent, judged by certificates and by reviews of another API server."""

from __future__ import annotations

from typing import Any

import pytest

from halab.cluster.node.server.access import Access, Denied, User, user_of_certificate, user_of_review

SUBJECT = (
    (("organizationName", "system:masters"),),
    (("organizationName", "ops"),),
    (("commonName", "kube-apiserver-kubelet-client"),),
)
SCOPE: dict[str, Any] = {"method": "GET", "path": "/containerLogs/default/web/main", "extensions": {}}


class Judge:
    """An API server that knows one token and allows logs alone."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    async def create(self, kind: Any, review: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(review["spec"])
        if kind.kind == "TokenReview":
            known = review["spec"]["token"] == "good"
            return {"status": {"authenticated": known, "user": {"username": "alice", "groups": ["dev"]}} if known else {}}
        asked = review["spec"]["resourceAttributes"]
        return {"status": {"allowed": (asked["verb"], asked["subresource"]) == ("get", "proxy")}}


def test_a_certificate_names_a_user_and_groups() -> None:
    found = user_of_certificate({"subject": SUBJECT})
    assert found == User("kube-apiserver-kubelet-client", ("system:masters", "ops", "system:authenticated"))
    assert user_of_certificate({"subject": ()}) is None


def test_a_token_that_is_nobodys_names_nobody() -> None:
    assert user_of_review({"status": {"authenticated": False}}) is None
    assert user_of_review({}) is None


async def test_the_own_tokens_open_everything_without_a_question() -> None:
    judge = Judge()
    await Access("n", ["secret"], judge).check(SCOPE, "Bearer secret")  # type: ignore[arg-type]
    assert not judge.asked


async def test_without_another_server_to_ask_only_the_own_tokens_count() -> None:
    with pytest.raises(Denied) as denied:
        await Access("n", ["secret"]).check(SCOPE, "Bearer good")
    assert denied.value.status == 401


async def test_a_token_is_reviewed_once_and_what_it_may_is_asked_once() -> None:
    judge = Judge()
    access = Access("n", [], judge)  # type: ignore[arg-type]
    for _ in range(3):
        await access.check(SCOPE, "Bearer good")
    assert len(judge.asked) == 2
    assert judge.asked[1]["user"] == "alice" and judge.asked[1]["groups"] == ["dev"]
    assert judge.asked[1]["resourceAttributes"]["name"] == "n"


async def test_what_the_server_does_not_allow_is_forbidden_in_kubelets_words() -> None:
    with pytest.raises(Denied) as denied:
        await Access("n", [], Judge()).check({**SCOPE, "method": "POST", "path": "/exec/a/b/c"}, "Bearer good")  # type: ignore[arg-type]
    assert denied.value.status == 403
    assert denied.value.message == "Forbidden (user=alice, verb=create, resource=nodes, subresource(s)=[proxy])\n"


async def test_a_client_certificate_comes_before_a_token() -> None:
    judge = Judge()
    tls = {"tls": {"client_certificate": {"subject": SUBJECT}}}
    await Access("n", [], judge).check({**SCOPE, "extensions": tls}, "")  # type: ignore[arg-type]
    assert judge.asked[0]["user"] == "kube-apiserver-kubelet-client"
