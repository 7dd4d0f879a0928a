"""YAML bodies: aliases are plain copies, and a few bytes never become gigabytes."""

from __future__ import annotations

import pytest

from halab.cluster.kube.parse import Malformed, parse_yaml


def laughs(levels: int) -> bytes:
    """The "billion laughs": each level names the one before it nine times."""
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    for level in range(levels):
        before, name = chr(ord("a") + level), chr(ord("b") + level)
        lines.append(f"{name}: &{name} [{', '.join(['*' + before] * 9)}]")
    return "\n".join(lines).encode()


def test_what_aliases_name_is_there_as_often_as_it_is_named_and_never_shared() -> None:
    value = parse_yaml(b"a: &l {app: web}\nb: *l\nc: [*l, *l]\n").value
    assert value == {"a": {"app": "web"}, "b": {"app": "web"}, "c": [{"app": "web"}] * 2}
    value["b"]["app"] = "other"
    assert value["a"] == value["c"][0] == {"app": "web"}


def test_merge_keys_still_merge() -> None:
    assert parse_yaml(b"a: &a {k: 1}\nb: {<<: *a, l: 2}\n").value["b"] == {"k": 1, "l": 2}


@pytest.mark.parametrize("levels", [3, 9, 20])
def test_a_document_that_aliases_blow_up_is_refused_in_gos_words(levels: int) -> None:
    with pytest.raises(Malformed, match="document contains excessive aliasing"):
        parse_yaml(laughs(levels))


def test_a_value_that_contains_itself_is_refused() -> None:
    with pytest.raises(Malformed, match="contains itself"):
        parse_yaml(b"a: &a [*a]")


def test_an_asterisk_is_no_alias() -> None:
    assert parse_yaml(b'a: 1*2\nb: "*x"\n').value == {"a": "1*2", "b": "*x"}
