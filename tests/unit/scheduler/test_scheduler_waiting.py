from __future__ import annotations

from scheduler_objects import node, pod

from halab.cluster.scheduler.waiting import Queue
from halab.cluster.scheduler.wakeups import node_events


def test_the_higher_priority_goes_first_then_the_older() -> None:
    queue = Queue()
    for each in (pod("first"), pod("second"), pod("urgent", priority=5)):
        queue.add(each)
    found = [entry.pod.name for entry in iter(queue.pop, None)]
    assert found == ["urgent", "first", "second"]


def test_only_events_that_may_help_wake_a_pod() -> None:
    queue = Queue()
    queue.add(pod("big"))
    entry = queue.pop()
    assert entry is not None
    entry.refused_by = frozenset({"NodeResourcesFit"})
    assert not queue.happened("node-label")
    assert queue.pop() is None
    assert queue.happened("pod-delete")
    assert queue.pop() is entry


def test_a_held_pod_is_tried_after_its_release_if_something_happened() -> None:
    queue = Queue()
    wanted = pod("high")
    queue.add(wanted)
    queue.pop()
    queue.hold(wanted.uid)
    queue.happened("pod-delete")
    assert queue.pop() is None
    queue.release(wanted.uid)
    assert queue.pop() is not None
    queue.hold(wanted.uid)
    queue.release(wanted.uid)
    assert queue.pop() is None


def test_a_heartbeat_of_a_node_is_no_event() -> None:
    old = node("a").node
    beat = {**old, "status": {**old["status"], "conditions": [{"type": "Ready"}]}}
    assert node_events(old, beat) == set()
    assert node_events(old, {**old, "spec": {"unschedulable": True}}) == {"node-taint"}
    labelled = {**old, "metadata": {"name": "a", "labels": {"x": "y"}}}
    assert node_events(old, labelled) == {"node-label"}
    assert node_events(None, old) == {"node-add"}
