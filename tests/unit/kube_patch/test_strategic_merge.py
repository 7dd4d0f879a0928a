"""Strategic merge patches of built-in kinds: keys, directives, order."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from halab.cluster.kube import kinds
from halab.cluster.kube.schema import node_for
from halab.cluster.kube.status import ApiError
from halab.cluster.kube.strategic import strategic_merge

POD = node_for(kinds.PODS)
CONFIG_MAP = node_for(kinds.CONFIG_MAPS)
ONE = {"name": "one", "image": "a", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}], "command": ["sleep"]}
LIVE = {
    "spec": {
        "containers": [ONE, {"name": "two", "image": "b"}],
        "nodeSelector": {"a": "1"},
        "volumes": [{"name": "v", "emptyDir": {}}],
    }
}


def merged(patch: Any) -> Any:
    live = deepcopy(LIVE)
    result = strategic_merge(live, {"spec": patch}, POD)["spec"]
    assert live == LIVE
    return result


def test_containers_merge_by_name_and_new_ones_follow() -> None:
    result = merged({"containers": [{"name": "two", "image": "c"}, {"name": "three", "image": "d"}]})
    assert [(c["name"], c["image"]) for c in result["containers"]] == [("one", "a"), ("two", "c"), ("three", "d")]


def test_env_merges_by_name_and_null_removes_a_field() -> None:
    container = merged({"containers": [{"name": "one", "command": None, "env": [{"name": "B", "value": "new"}, {"name": "C"}]}]})[
        "containers"
    ][0]
    assert container["env"] == [{"name": "A", "value": "1"}, {"name": "B", "value": "new"}, {"name": "C"}]
    assert "command" not in container


def test_an_item_is_deleted_by_its_key() -> None:
    assert [c["name"] for c in merged({"containers": [{"name": "one", "$patch": "delete"}]})["containers"]] == ["two"]


def test_a_list_and_a_map_are_replaced_on_demand() -> None:
    result = merged({"containers": [{"name": "only"}, {"$patch": "replace"}], "nodeSelector": {"$patch": "replace", "c": "3"}})
    assert result["containers"] == [{"name": "only"}]
    assert result["nodeSelector"] == {"c": "3"}


def test_retained_keys_clear_the_others() -> None:
    assert merged({"volumes": [{"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/"}}]})["volumes"] == [
        {"name": "v", "hostPath": {"path": "/"}}
    ]
    with pytest.raises(ApiError) as caught:
        merged({"volumes": [{"name": "v", "$retainKeys": ["name"], "hostPath": {"path": "/"}}]})
    assert caught.value.code == 400


def test_the_given_order_rules_the_merged_list() -> None:
    order = [{"name": "two"}, {"name": "mid"}, {"name": "one"}]
    result = merged({"$setElementOrder/containers": order, "containers": [{"name": "mid"}]})
    assert [c["name"] for c in result["containers"]] == ["two", "mid", "one"]


def test_sets_of_plain_values_are_merged_and_items_taken_out() -> None:
    live = {"metadata": {"finalizers": ["a", "b"]}}
    patch = {"metadata": {"finalizers": ["c"], "$deleteFromPrimitiveList/finalizers": ["a"]}}
    assert strategic_merge(live, patch, CONFIG_MAP) == {"metadata": {"finalizers": ["c", "b"]}}


def test_an_item_without_its_merge_key_is_an_error_that_names_it() -> None:
    with pytest.raises(ApiError) as caught:
        merged({"containers": [{"image": "x"}]})
    assert (caught.value.code, caught.value.message) == (500, "map: map[image:x] does not contain declared merge key: name")


def test_what_is_new_is_taken_without_nulls_and_directives() -> None:
    assert merged({"securityContext": {"runAsUser": None, "fsGroup": 1}})["securityContext"] == {"fsGroup": 1}
    assert "affinity" not in merged({"affinity": {"$patch": "delete"}})


def test_long_lists_are_not_compared_item_by_item() -> None:
    """Each item of one list against each of the other took minutes for what one request may carry."""
    compared = 0

    class Name(str):
        __hash__ = str.__hash__

        def __eq__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return str.__eq__(self, str(other))

    count = 500
    live = {"spec": {"containers": [{"name": "c", "env": [{"name": Name(f"n{n}")} for n in range(count)]}]}}
    changed = [{"name": Name(f"n{n}"), "value": "x"} for n in range(0, count, 2)]
    gone = [{"name": Name(f"n{n}"), "$patch": "delete"} for n in range(1, count, 2)]
    result = strategic_merge(live, {"spec": {"containers": [{"name": "c", "env": [*changed, *gone]}]}}, POD)
    assert result["spec"]["containers"][0]["env"] == changed
    assert compared < 20 * count
