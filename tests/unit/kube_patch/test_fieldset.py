"""The algebra of field sets, against plain sets of paths."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from halab.cluster.kube.fieldset import (
    FieldSet,
    difference,
    from_path,
    has,
    intersection,
    path_text,
    paths,
    union,
    without_subtrees,
)

PATHS = st.lists(st.lists(st.sampled_from(["f:a", "f:b", 'k:{"n":"x"}']), min_size=1, max_size=3).map(tuple), max_size=6)


def build(members: list[tuple[str, ...]]) -> FieldSet:
    result: FieldSet = {}
    for path in members:
        result = union(result, from_path(path))
    return result


@given(PATHS, PATHS)
def test_sets_behave_as_sets_of_paths(left: list[tuple[str, ...]], right: list[tuple[str, ...]]) -> None:
    a, b = build(left), build(right)
    assert set(paths(a)) == set(left)
    assert set(paths(union(a, b))) == set(left) | set(right)
    assert set(paths(intersection(a, b))) == set(left) & set(right)
    assert set(paths(difference(a, b))) == set(left) - set(right)
    assert set(paths(without_subtrees(a, b))) == {p for p in left if not any(p[: len(q)] == q for q in right)}
    assert all(has(a, path) for path in left)


def test_paths_are_written_as_messages_write_them() -> None:
    assert (
        path_text(("f:spec", "f:ports", 'k:{"port":80,"protocol":"TCP"}', "f:name")) == '.spec.ports[port=80,protocol="TCP"].name'
    )
    assert path_text(("f:metadata", "f:finalizers", 'v:"a"')) == '.metadata.finalizers[="a"]'
