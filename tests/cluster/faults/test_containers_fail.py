"""Failures of containers: what is declared is seen, users' requests show it, healing restores."""

from __future__ import annotations

import os
import subprocess

import pytest

from halab.errors import UsageError

from .conftest import NAMESPACE, Shop, ready, restarts, until, waiting


def first(shop: Shop) -> str:
    name: str = shop.pods()[0]["metadata"]["name"]
    return name


def test_a_killed_container_is_restarted_and_its_users_are_refused_meanwhile(shop: Shop) -> None:
    pod = first(shop)
    with shop.users(pod, rate=200) as users:
        with shop.inject("container-killed", pod):
            shop.wait_for_pod(pod, lambda found: restarts(found) == 1 and ready(found))
        users.wait(0.3)
    seen = users.availability()
    assert seen.failures and seen.ok
    assert shop.pod(pod)["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] == 137


def test_users_of_a_hung_container_wait_in_vain_until_it_leaves_its_service(shop: Shop) -> None:
    pod = first(shop)
    with shop.inject("container-hung", pod):
        assert shop.ask(pod, timeout=0.5).status == 0
        shop.wait_for_pod(pod, lambda found: not ready(found))
        with shop.users() as users:
            users.wait(0.5)
    assert pod not in users.availability().by
    assert until(lambda: shop.ask(pod).status == 200)
    shop.wait_for_pod(pod, ready)


def test_a_crash_loop_backs_off_and_its_pod_leaves_the_service(shop: Shop) -> None:
    pod = first(shop)
    with shop.inject("crash-loop", pod):
        shop.wait_for_pod(pod, lambda found: waiting(found) == "CrashLoopBackOff")
        assert shop.ask(pod).status == 0
        assert until(lambda: shop.ask().status == 200)
    assert not ready(shop.pod(pod))


def test_a_failing_liveness_probe_restarts_a_healthy_container(shop: Shop) -> None:
    pod = first(shop)
    with shop.users(pod, rate=100) as users, shop.inject("liveness-failing", pod):
        shop.wait_for_pod(pod, lambda found: restarts(found) >= 1)
    assert users.availability().failures
    reasons = {event["reason"] for event in shop.api.list("events", fields=f"involvedObject.name={pod}")}
    assert "Unhealthy" in reasons


def test_a_failing_readiness_probe_takes_a_healthy_pod_out_of_its_service(shop: Shop) -> None:
    pod = first(shop)
    with shop.inject("readiness-failing", pod):
        shop.wait_for_pod(pod, lambda found: not ready(found))
        assert shop.ask(pod).status == 200
        assert until(lambda: shop.ask().status == 200)
        with shop.users() as users:
            users.wait(0.3)
        assert not users.availability().failures
        assert restarts(shop.pod(pod)) == 0
    shop.wait_for_pod(pod, ready)


def test_a_slow_start_is_refused_to_users_and_ends_when_healed(shop: Shop) -> None:
    pod = first(shop)
    with shop.users(pod) as users:
        with shop.inject("slow-start", pod, seconds=300):
            shop.wait_for_pod(pod, lambda found: restarts(found) == 1 and not ready(found))
            users.wait(0.5)
        shop.wait_for_pod(pod, ready)
    assert users.availability().failures


def test_burnt_cpu_shows_in_the_metrics_while_users_are_served(shop: Shop) -> None:
    pod = first(shop)

    def cores() -> float:
        return _usage(shop, pod)

    before = cores()
    with shop.inject("cpu-burn", pod), shop.users() as users:
        assert until(lambda: cores() > before + 0.1)
    assert users.availability().ok
    assert until(lambda: cores() < 0.1)


def _usage(shop: Shop, pod: str) -> float:
    """Cores, as `kubectl top pod` has them."""
    from halab.aio.portal import portal

    path = f"/apis/metrics.k8s.io/v1beta1/namespaces/{NAMESPACE}/pods/{pod}"
    status, _, body = portal.run(shop.api.client.request("GET", path))
    if status != 200:
        return 0.0
    import json

    text = json.loads(body)["containers"][0]["usage"]["cpu"]
    units = {"n": 1e9, "u": 1e6, "m": 1e3}
    return float(text[:-1]) / units[text[-1]] if text[-1] in units else float(text)


def test_memory_growth_ends_in_an_oom_kill_and_a_restart(shop: Shop) -> None:
    pod = first(shop)
    with shop.users(pod, rate=100) as users:
        with shop.inject("memory-growth", pod, rate=100):
            shop.wait_for_pod(pod, lambda found: restarts(found) == 1 and ready(found))
        users.wait(0.2)
    terminated = shop.pod(pod)["status"]["containerStatuses"][0]["lastState"]["terminated"]
    assert (terminated["reason"], terminated["exitCode"]) == ("OOMKilled", 137)
    assert users.availability().failures


@pytest.mark.needs("kubectl")
def test_a_full_volume_refuses_writes_and_gives_back_what_it_held(shop: Shop) -> None:
    pod = first(shop)

    def run(script: str) -> subprocess.CompletedProcess[str]:
        command = ["kubectl", "-n", NAMESPACE, "exec", pod, "--", "sh", "-c", script]
        environment = {**os.environ, "KUBECONFIG": str(shop.backend.kubeconfig())}
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)

    assert run("echo before > /data/kept").returncode == 0
    with shop.inject("disk-full", pod), shop.users() as users:
        refused = run("cat /data/kept; dd if=/dev/zero of=/data/new bs=1024 count=64")
        assert refused.stdout.startswith("before")
        assert refused.returncode != 0
        assert "No space left" in refused.stderr
    assert not users.availability().failures  # this application only reads
    after = run("ls /data; echo more > /data/new")
    assert after.returncode == 0
    assert after.stdout.split() in (["kept"], ["kept", "new"])


def test_what_a_container_cannot_suffer_is_refused_with_the_reason(shop: Shop) -> None:
    pod = first(shop)
    with pytest.raises(UsageError, match="has no container nobody"):
        shop.inject("container-killed", pod, container="nobody")
    with pytest.raises(UsageError, match="no volume that can be written at /nowhere"):
        shop.inject("disk-full", pod, path="/nowhere")
    with pytest.raises(UsageError, match="is not a number"):
        shop.inject("slow-start", pod, seconds="soon")
    assert restarts(shop.pod(pod)) == 0
