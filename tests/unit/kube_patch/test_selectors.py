"""Label and field selectors: what they parse, match and refuse."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from halab.cluster.kube import fields, kinds
from halab.cluster.kube.selectors import (
    SelectorError,
    from_label_selector,
    from_labels,
    parse_field_selector,
    parse_label_selector,
)


@dataclass(frozen=True)
class K:
    group: str
    kind: str


@pytest.mark.parametrize(
    ("text", "labels", "expected"),
    [
        ("a=1", {"a": "1"}, True),
        ("a==1", {"a": "2"}, False),
        ("a!=1", {}, True),
        ("a in (1, 2),b", {"a": "2", "b": ""}, True),
        ("a notin (1,2)", {}, True),
        ("!a", {"a": "x"}, False),
        ("a in (,x)", {"a": ""}, True),
        ("a in ()", {"a": ""}, True),
        ("a=", {"a": ""}, True),
        ("in in (in)", {"in": "in"}, True),
        ("n>3", {"n": "10"}, True),
        ("n<3", {"n": "x"}, False),
        ("", {"x": "y"}, True),
        ("example.com/a=b", {"example.com/a": "b"}, True),
    ],
)
def test_a_label_selector_matches_as_kubernetes_does(text: str, labels: dict[str, str], expected: bool) -> None:
    assert parse_label_selector(text).matches(labels) is expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tier in web", "unable to parse requirement: found 'web' expected: '('"),
        ("a=b=c", "found '=', expected: ',' or 'end of string'"),
        ("a,", "found '', expected: identifier after ','"),
        ("=a", "found '=', expected: !, identifier, or 'end of string'"),
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        (
            "a>x",
            "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value must be an integer",
        ),
    ],
)
def test_a_label_selector_that_does_not_parse_says_where(text: str, message: str) -> None:
    with pytest.raises(SelectorError) as caught:
        parse_label_selector(text)
    assert str(caught.value) == message


def test_an_absent_object_selector_selects_nothing_and_an_empty_one_everything() -> None:
    assert not from_label_selector(None).matches({"a": "b"})
    assert from_label_selector({}).matches({})
    assert from_labels({"a": "b"}).matches({"a": "b", "c": "d"})


def test_expressions_of_an_object_selector_are_conjoined() -> None:
    selector = from_label_selector(
        {
            "matchLabels": {"a": "b"},
            "matchExpressions": [{"key": "c", "operator": "NotIn", "values": ["x"]}, {"key": "d", "operator": "Exists"}],
        }
    )
    assert selector.matches({"a": "b", "d": ""})
    assert not selector.matches({"a": "b", "c": "x", "d": ""})
    assert str(selector) == "a=b,c notin (x),d"


def test_field_selectors_unescape_their_values() -> None:
    selector = parse_field_selector(r"a=b\,c,d!=e\=f")
    assert [(term.path, term.equal, term.value) for term in selector.terms] == [("a", True, "b,c"), ("d", False, "e=f")]


def test_a_field_that_a_kind_does_not_offer_is_refused_in_its_own_words() -> None:
    with pytest.raises(SelectorError, match=r"^field label not supported: spec.containers$"):
        fields.check_fields(K("", "Pod"), parse_field_selector("spec.containers=x"))
    with pytest.raises(
        SelectorError, match=r'"data.a" is not a known field selector: only "metadata.name", "metadata.namespace"'
    ):
        fields.check_fields(K("", "ConfigMap"), parse_field_selector("data.a=x"))


def test_fields_of_pods_have_their_texts() -> None:
    pod = {"metadata": {"name": "p"}, "spec": {"nodeName": "n"}, "status": {"phase": "Running"}}
    kind = K("", "Pod")
    assert fields.matches(kind, parse_field_selector("spec.nodeName=n,status.phase!=Failed,spec.hostNetwork=false"), pod)
    assert fields.matches(kind, parse_field_selector("status.podIP="), pod)


def test_a_label_that_is_too_long_is_counted_in_characters_and_values_are_quoted() -> None:
    with pytest.raises(SelectorError) as refused:
        parse_label_selector(f"{'a' * 64}=b")
    assert str(refused.value).endswith("name part must be no more than 63 characters")
    with pytest.raises(SelectorError) as refused:
        parse_label_selector('a="')
    assert 'values[0][a]: Invalid value: "\\"": a valid label' in str(refused.value)


def test_fields_of_custom_resources_have_their_own_refusal() -> None:
    with pytest.raises(SelectorError, match=r"^field label not supported: spec\.size$"):
        fields.check_fields(kinds.CONFIG_MAPS, parse_field_selector("spec.size=3"), frozenset())
    with pytest.raises(SelectorError, match=r'^"spec\.size" is not a known field selector'):
        fields.check_fields(kinds.CONFIG_MAPS, parse_field_selector("spec.size=3"))
