"""What a learner may do: questions, rules and words."""

from __future__ import annotations

from halab.backends import rights


def test_every_right_of_the_published_role_is_asked_for() -> None:
    found = rights.wanted()
    assert (
        ("delete", "", "pods") in found and ("create", "", "pods/eviction") in found and ("list", "apps", "deployments") in found
    )
    assert not [right for right in found if "*" in right]


def test_a_rule_grants_what_it_names_and_what_a_star_takes_in() -> None:
    def rule(verbs: str, groups: str, resources: str, **more: list[str]) -> dict[str, object]:
        return {"verbs": verbs.split(), "apiGroups": [groups], "resources": resources.split(), **more}

    right = ("create", "", "pods/exec")
    assert rights.granted([rule("get create", "", "pods/exec")], right)
    assert rights.granted([rule("*", "*", "*")], right) and rights.granted([rule("*", "", "*/exec")], right)
    assert not rights.granted([rule("get", "", "pods/exec")], right), "another verb"
    assert not rights.granted([rule("create", "apps", "pods/exec")], right), "another group"
    assert not rights.granted([rule("create", "", "pods")], right), "a resource does not include its subresources"
    assert not rights.granted([rule("create", "", "pods/exec", resourceNames=["one"])], right), "one object alone"


def test_missing_rights_are_grouped_by_verbs_in_the_words_of_rbac() -> None:
    missing = [
        ("get", "", "pods"),
        ("list", "", "pods"),
        ("list", "", "services"),
        ("get", "", "services"),
        ("create", "apps", "x"),
    ]
    assert rights.in_words(missing) == ["get, list pods, services", "create x.apps"]


def test_the_remedy_names_the_command_and_the_file_of_the_role() -> None:
    text = rights.remedy("alice")
    assert "halab role --namespace alice" in text and str(rights.FILE) in text and rights.FILE.is_file()
