"""JSON patch and merge patch: all or nothing, never changing what they are given."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from halab.cluster.kube.patch import json_patch, merge_patch
from halab.cluster.kube.status import ApiError

OBJECT = {"metadata": {"name": "c", "labels": {"x": "y"}, "finalizers": ["a"]}, "data": {"a": "1", "b": "2"}}


def test_operations_are_applied_in_order_and_the_object_is_left_alone() -> None:
    before = deepcopy(OBJECT)
    after = json_patch(
        OBJECT,
        [
            {"op": "test", "path": "/data/a", "value": "1"},
            {"op": "replace", "path": "/data/a", "value": "one"},
            {"op": "remove", "path": "/data/b"},
            {"op": "copy", "from": "/data/a", "path": "/data/d"},
            {"op": "move", "from": "/data/a", "path": "/data/e"},
            {"op": "add", "path": "/metadata/labels/example.com~1team", "value": "red"},
            {"op": "add", "path": "/metadata/finalizers/-", "value": "z"},
            {"op": "add", "path": "/metadata/finalizers/0", "value": "0"},
        ],
    )
    assert after == {
        "metadata": {"name": "c", "labels": {"x": "y", "example.com/team": "red"}, "finalizers": ["0", "a", "z"]},
        "data": {"d": "one", "e": "one"},
    }
    assert before == OBJECT


@pytest.mark.parametrize(
    ("operation", "code"),
    [
        ({"op": "remove", "path": "/data/zz"}, 422),
        ({"op": "replace", "path": "/nowhere/x", "value": 1}, 422),
        ({"op": "frobnicate", "path": "/data/a"}, 422),
        ({"op": "add", "path": "/metadata/finalizers/7", "value": "x"}, 422),
        ({"op": "test", "path": "/data/a", "value": "2"}, 422),
        ({"op": "add", "path": "/data/q"}, 422),
        ({"op": 1}, 400),
        ("remove", 400),
    ],
)
def test_an_operation_that_cannot_be_applied_refuses_the_whole_patch(operation: Any, code: int) -> None:
    with pytest.raises(ApiError) as caught:
        json_patch(OBJECT, [operation])
    assert caught.value.code == code


def test_a_patch_that_is_no_list_is_a_bad_request() -> None:
    with pytest.raises(ApiError) as caught:
        json_patch(OBJECT, {"op": "remove"})
    assert (caught.value.code, caught.value.reason) == (400, "BadRequest")


def test_test_compares_as_json_does() -> None:
    with pytest.raises(ApiError):
        json_patch({"a": 1}, [{"op": "test", "path": "/a", "value": True}])
    assert json_patch({"a": None}, [{"op": "test", "path": "/a", "value": None}]) == {"a": None}


def test_a_merge_patch_removes_with_null_merges_objects_and_replaces_lists() -> None:
    patched = merge_patch(OBJECT, {"data": {"a": None, "c": {"d": None}}, "metadata": {"finalizers": ["q"]}})
    assert patched == {"metadata": {"name": "c", "labels": {"x": "y"}, "finalizers": ["q"]}, "data": {"b": "2", "c": {}}}
    with pytest.raises(ApiError):
        merge_patch(OBJECT, [1])


def test_copies_cannot_double_an_object_without_end() -> None:
    copies = [{"op": "copy", "from": "/metadata", "path": f"/metadata/annotations/a{n}"} for n in range(60)]
    live = {"metadata": {"annotations": {"note": "x" * 100}}}
    assert len(json_patch(live, copies[:5])["metadata"]["annotations"]) == 6
    with pytest.raises(ApiError) as refused:
        json_patch(live, copies)
    assert refused.value.code == 422


def test_copies_that_nest_too_deeply_are_refused() -> None:
    nested = [{"op": "copy", "from": "", "path": "/a" + "/a" * n} for n in range(60)]
    with pytest.raises(ApiError):
        json_patch({"a": {}}, nested)
