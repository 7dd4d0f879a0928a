"""Where no cgroup may be divided (most shared machines, containers, Binder) the agent watches a container's memory itself: the same fault, the same end."""

from __future__ import annotations

from pathlib import Path

import pytest

from halab.backends.access import Api, Obj
from halab.backends.embedded import Embedded
from halab.cluster.supervisor import manage
from halab.faults import api as faults

from .conftest import PATIENCE, ready, restarts

POD: Obj = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "web"},
    "spec": {"containers": [{"name": "web", "image": "nginx:1.22", "resources": {"limits": {"memory": "96Mi"}}}]},
}


def test_memory_growth_ends_in_an_oom_kill_without_cgroups(halab_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HALAB_CGROUPS", "none")  # for the agents, which are started from here
    manage.up(nodes=1, without=("dataplane",))
    backend = Embedded()
    api = Api(backend.kubeconfig())
    api.wait("serviceaccounts", bool, PATIENCE)
    api.create(POD)
    assert all(map(ready, api.wait("pods", lambda pods: bool(pods) and all(map(ready, pods)), PATIENCE)))
    with faults.inject(backend, "memory-growth", "web", rate=200):
        (pod,) = api.wait("pods", lambda pods: any(restarts(pod) == 1 and ready(pod) for pod in pods), PATIENCE)
    terminated = pod["status"]["containerStatuses"][0]["lastState"]["terminated"]
    assert (terminated["reason"], terminated["exitCode"]) == ("OOMKilled", 137)
    assert faults.active(backend) == ()
