"""What a deployment does next, object by object."""

from __future__ import annotations

import pytest
from controller_objects import NOW, brief, condition_in, deployment, pod, replica_set, status_in

from halab.cluster.client import rfc3339
from halab.cluster.controllers import deployment_sizes as sizes
from halab.cluster.controllers.actions import Create, Update
from halab.cluster.controllers.deployment_plan import plan
from halab.cluster.kube.status import ApiError


def test_a_new_deployment_makes_a_full_replica_set_and_says_so() -> None:
    actions = plan(deployment(3), [], [], NOW)
    create = actions[0]
    assert isinstance(create, Create)
    name = create.obj["metadata"]["name"]
    assert brief(actions) == [
        f"create ReplicaSet {name} x3",
        f"ScalingReplicaSet: Scaled up replica set {name} from 0 to 3",
        "status of Deployment web",
    ]
    assert create.obj["metadata"]["annotations"] == {
        "deployment.kubernetes.io/revision": "1",
        "deployment.kubernetes.io/desired-replicas": "3",
        "deployment.kubernetes.io/max-replicas": "4",
    }
    hash = create.obj["metadata"]["labels"]["pod-template-hash"]
    assert name == f"web-{hash}" and create.obj["spec"]["selector"]["matchLabels"]["pod-template-hash"] == hash
    assert condition_in(status_in(actions), "Progressing") == (
        "True",
        "NewReplicaSetCreated",
        f'Created new replica set "{name}"',
    )


def test_the_template_hash_depends_on_the_template_alone() -> None:
    names = {plan(deployment(n, version=v), [], [], NOW)[0].obj["metadata"]["name"] for n in (1, 2) for v in ("1", "2")}  # type: ignore[union-attr]
    assert len(names) == 2


def test_a_rollout_starts_with_the_surge_and_then_lets_old_pods_go() -> None:
    web = deployment(4, version="2")
    old = replica_set(web, "1", 4)
    first = plan(web, [old], [], NOW)
    assert brief(first)[0].endswith("x1") and "from 0 to 1" in brief(first)[1]
    new = replica_set(web, "2", 1, available=1, revision=2)
    assert brief(plan(web, [old, new], [], NOW))[:2] == [
        "update ReplicaSet web-h1 x2",
        "ScalingReplicaSet: Scaled down replica set web-h1 from 4 to 2",
    ]


def test_with_nothing_to_spare_an_old_pod_waits_for_a_new_one() -> None:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    web = deployment(2, version="2", strategy=strategy)
    old, new = replica_set(web, "1", 2), replica_set(web, "2", 1, available=0, revision=2)
    assert [line for line in brief(plan(web, [old, new], [], NOW)) if "status" not in line] == []


def test_unhealthy_old_pods_go_first() -> None:
    web = deployment(4, version="3")
    broken, old = replica_set(web, "2", 2, available=0, revision=2, age=50), replica_set(web, "1", 3, age=90)
    new = replica_set(web, "3", 0, available=0, revision=3, age=10)
    assert sizes.old_sizes(web, [broken, old], new) == {"web-h2": 0}


def test_recreate_waits_until_the_old_pods_are_gone() -> None:
    web = deployment(2, version="2", strategy={"type": "Recreate"})
    old = replica_set(web, "1", 2)
    assert brief(plan(web, [old], [], NOW))[0] == "update ReplicaSet web-h1 x0"
    gone = replica_set(web, "1", 0)
    left = pod("p", deleting=True)
    left["metadata"]["ownerReferences"] = [{"kind": "ReplicaSet", "name": "web-h1", "uid": "uid-web-h1", "controller": True}]
    assert not [a for a in plan(web, [gone], [left], NOW) if isinstance(a, Create)]
    assert brief(plan(web, [gone], [], NOW))[0].endswith("x2")


def test_a_new_count_in_mid_rollout_is_shared_in_proportion() -> None:
    web = deployment(10, version="2")
    old, new = replica_set(web, "1", 4, desired=5), replica_set(web, "2", 2, revision=2, desired=5)
    for rs in (old, new):
        rs["metadata"]["annotations"]["deployment.kubernetes.io/max-replicas"] = "7"
    # 10 and a surge of 3 allow 13, seven more than the 6 there are.
    assert sizes.proportional_sizes(web, [old, new], new) == {"web-h1": 9, "web-h2": 4}


def test_a_paused_deployment_makes_no_set_but_follows_its_count() -> None:
    web = deployment(5, version="2", paused=True)
    old = replica_set(web, "1", 3, desired=3)
    actions = plan(web, [old], [], NOW)
    assert brief(actions)[0] == "update ReplicaSet web-h1 x5"
    assert condition_in(status_in(actions), "Progressing") == ("Unknown", "DeploymentPaused", "Deployment is paused")


def test_going_back_reuses_the_former_set_with_the_next_revision() -> None:
    web = deployment(1, version="1")
    former, later = replica_set(web, "1", 0, revision=1), replica_set(web, "2", 1, revision=2)
    update = plan(web, [former, later], [], NOW)[0]
    assert isinstance(update, Update)
    annotations = update.obj["metadata"]["annotations"]
    assert annotations["deployment.kubernetes.io/revision"] == "3"
    assert annotations["deployment.kubernetes.io/revision-history"] == "1"


def test_history_beyond_the_limit_goes_but_never_a_set_with_pods() -> None:
    done = {"replicas": 1, "updatedReplicas": 1, "availableReplicas": 1, "observedGeneration": 1}
    web = deployment(1, version="4", revisionHistoryLimit=1, status=done)
    sets = [replica_set(web, "1", 0, revision=1), replica_set(web, "2", 0, revision=2), replica_set(web, "3", 0, revision=3)]
    actions = plan(web, [*sets, replica_set(web, "4", 1, revision=4)], [], NOW)
    assert [line for line in brief(actions) if line.startswith("delete")] == [
        "delete ReplicaSet web-h1",
        "delete ReplicaSet web-h2",
    ]


@pytest.mark.parametrize(("age", "reason"), [(599.0, "ReplicaSetUpdated"), (601.0, "ProgressDeadlineExceeded")])
def test_a_rollout_that_stands_still_times_out(age: float, reason: str) -> None:
    progressing = {
        "type": "Progressing",
        "status": "True",
        "reason": "ReplicaSetUpdated",
        "message": "",
        "lastUpdateTime": rfc3339(NOW - age),
        "lastTransitionTime": rfc3339(NOW - age),
    }
    counts = {"replicas": 1, "updatedReplicas": 1, "unavailableReplicas": 1, "observedGeneration": 1}
    web = deployment(1, status=counts | {"conditions": [progressing]})
    actions = plan(web, [replica_set(web, "1", 1, available=0)], [], NOW)
    assert condition_in(status_in(actions), "Progressing")[1] == reason


def test_a_refused_replica_set_is_told_in_the_conditions() -> None:
    create = plan(deployment(1), [], [], NOW)[0]
    assert isinstance(create, Create) and create.on_error is not None
    instead = create.on_error(ApiError(403, "replicasets is forbidden", "Forbidden"))
    assert instead is not None
    assert condition_in(status_in(list(instead)), "Progressing")[:2] == ("False", "ReplicaSetCreateError")
    assert create.on_error(ApiError(409, "exists", "AlreadyExists")) is None  # the cache was behind: look again


def test_a_name_that_somebody_elses_set_has_counts_as_a_collision_and_gives_another_hash() -> None:
    web = deployment(1)
    create = plan(web, [], [], NOW)[0]
    assert isinstance(create, Create)
    name = create.obj["metadata"]["name"]
    exists = ApiError(409, f'replicasets.apps "{name}" already exists', "AlreadyExists")
    assert create.on_error is not None and create.on_error(exists) is None  # the cache may be behind: look again
    create = plan(web, [], [], NOW, {name})[0]
    assert isinstance(create, Create) and create.on_error is not None
    (update,) = create.on_error(exists) or ()
    assert isinstance(update, Update) and update.obj["status"]["collisionCount"] == 1
    again = plan(update.obj, [], [], NOW, {name})[0]
    assert isinstance(again, Create) and again.obj["metadata"]["name"] != name


def test_a_selector_of_everything_is_refused() -> None:
    assert brief(plan(deployment(1, selector={}), [], [], NOW))[0].startswith("SelectingAll: ")


@pytest.mark.parametrize(
    ("value", "up", "expected"),
    [("25%", True, 1), ("25%", False, 0), ("50%", False, 1), (2, True, 2), (None, True, 0), ("0%", True, 0)],
)
def test_percentages_round_as_they_are_meant(value: int | str | None, up: bool, expected: int) -> None:
    assert sizes.scaled(value, 3, up=up) == expected
