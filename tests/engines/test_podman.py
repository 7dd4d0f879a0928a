"""The same cluster on Podman, by its Docker-compatible socket: what it does in its own way is done right all the same."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from . import podman
from .runtime import Containers, cluster, pod

pytestmark = pytest.mark.needs("podman", "runc", "kubectl", "busybox")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Containers]:
    with podman.engine() as host, cluster(host, tmp_path_factory.mktemp("podman") / "home", nodes=1) as found:
        yield found


def test_a_pod_has_its_name_its_restarts_and_its_exit_codes(shared: Containers) -> None:
    assert shared.get("node", "node-1")["status"]["nodeInfo"]["containerRuntimeVersion"].startswith("podman://")
    shared.apply(pod("mortal", "hostname; while [ ! -e /tmp/end ]; do sleep 0.1; done; exit 3"))
    shared.ready("mortal")
    assert shared.until(lambda: shared.kubectl("logs", "mortal")) == "mortal\n"
    assert "exit code 4" in shared.kubectl("exec", "mortal", "--", "sh", "-c", "touch /tmp/end; exit 4", fails=True)
    status = shared.until(lambda: (found := shared.status("mortal"))["restartCount"] == 1 and found["ready"] and found)
    assert status["lastState"]["terminated"]["exitCode"] == 3


def test_a_service_leads_to_pods_and_policies_limit_them(shared: Containers) -> None:
    serve = "mkdir /www; echo here > /www/index.html; exec httpd -f -p 8080 -h /www"
    service = {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]}
    shared.apply(
        pod("web", serve),
        pod("asker", "sleep 1000"),
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": service},
    )
    shared.ready("web", "asker")
    ask = ("exec", "asker", "--", "sh", "-c", "wget -T 2 -qO- http://web 2>&1 || echo not answered")
    shared.until(lambda: shared.kubectl(*ask) == "here\n")
    if shared.config.no_firewall.exists():
        pytest.skip(f"this kernel has no nftables: {shared.config.no_firewall.read_text()}")
    meta = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "closed"}}
    shared.apply({**meta, "spec": {"podSelector": {"matchLabels": {"app": "web"}}}})
    shared.until(lambda: "not answered" in shared.kubectl(*ask))
