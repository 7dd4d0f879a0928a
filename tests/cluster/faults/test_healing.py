"""No failure outlives its time, whoever injected it, or `heal --all`; and bad input leaves the cluster unharmed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from halab.aio.processes import start_time
from halab.backends.controls import Vanished
from halab.errors import ClusterError, UsageError
from halab.faults import api as faults
from halab.faults import engine
from halab.faults.base import Options, Place, Plan
from halab.faults.catalogue.errors import Errors
from halab.faults.catalogue.readiness_failing import ReadinessFailing
from halab.faults.records import load_all

from .conftest import NAMESPACE, Shop, ready, restarts, until


def broken(shop: Shop) -> bool:
    return shop.ask().status == 503


def halab(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "halab.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def cli(*arguments: str) -> subprocess.CompletedProcess[str]:
    return halab("fault", *arguments)


def test_a_failure_heals_by_itself_when_its_time_is_over(shop: Shop) -> None:
    shop.inject("errors", "web", percent=100, duration=1.5)
    assert until(lambda: broken(shop))
    assert until(lambda: not faults.active(shop.backend))
    assert until(lambda: shop.ask().status == 200)


def test_a_failure_heals_when_the_process_that_injected_it_is_killed(shop: Shop) -> None:
    script = (
        "import sys, time\nfrom halab.backends.embedded import Embedded\nfrom halab.faults import api\n"
        f"api.inject(Embedded(), 'errors', 'web', namespace={NAMESPACE!r}, percent=100, duration=600)\nprint('in', flush=True)\ntime.sleep(600)"
    )
    kernel = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert kernel.stdout is not None
    with kernel.stdout as said:
        assert said.readline() == "in\n"
    assert until(lambda: broken(shop))
    kernel.kill()
    kernel.wait()
    assert until(lambda: shop.ask().status == 200)
    assert until(lambda: not faults.active(shop.backend))


def test_heal_all_works_even_after_the_guard_was_killed(shop: Shop) -> None:
    shop.inject("errors", "web", percent=100, duration=600)
    record = load_all(shop.backend.controls().records())[0]
    os.kill(record.guard[0], signal.SIGKILL)
    assert until(lambda: broken(shop))
    done = cli("heal", "--all", "--json")
    assert done.returncode == 0, done.stderr
    assert [one["id"] for one in json.loads(done.stdout)["healed"]] == [record.id]
    assert until(lambda: shop.ask().status == 200)


def test_what_outlived_its_guard_is_healed_by_the_next_look(shop: Shop) -> None:
    shop.inject("errors", "web", percent=100, duration=1)
    record = load_all(shop.backend.controls().records())[0]
    os.kill(record.guard[0], signal.SIGKILL)
    assert until(lambda: not engine.active(shop.backend))
    assert until(lambda: shop.ask().status == 200)


def test_a_failure_whose_guard_was_killed_before_its_time_gets_another(shop: Shop) -> None:
    shop.inject("errors", "web", percent=100, duration=600)
    record = load_all(shop.backend.controls().records())[0]
    os.kill(record.guard[0], signal.SIGKILL)
    assert until(lambda: start_time(record.guard[0]) != record.guard[1])
    again = engine.active(shop.backend)[0]
    assert again.guard != record.guard
    assert start_time(again.guard[0]) == again.guard[1]


def test_bringing_the_cluster_up_heals_what_is_overdue(shop: Shop) -> None:
    shop.inject("errors", "web", percent=100, duration=1)
    record = load_all(shop.backend.controls().records())[0]
    os.kill(record.guard[0], signal.SIGKILL)
    assert until(lambda: time.time() > record.until)
    done = halab("up")
    assert done.returncode == 0, done.stderr
    assert f"healed {record.id}, which was left from before" in done.stderr
    assert load_all(shop.backend.controls().records()) == []
    assert until(lambda: shop.ask().status == 200)


def test_a_cluster_that_was_stopped_comes_up_without_its_failures(shop: Shop) -> None:
    shop.inject("controllers-down", duration=600)
    shop.inject("errors", "web", percent=100, duration=600)
    assert halab("down").returncode == 0
    done = halab("up")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("which was left from before") == 2
    assert load_all(shop.backend.controls().records()) == []
    assert until(lambda: shop.ask().status == 200)


def test_heal_all_starts_the_api_server_before_what_needs_it(shop: Shop) -> None:
    shop.inject("errors", "web", percent=100)
    shop.inject("apiserver-down")
    healed = faults.heal_all(shop.backend)
    assert [one.fault for one in healed] == ["apiserver-down", "errors"]
    assert until(lambda: shop.ask().status == 200)


def test_the_command_line_injects_lists_and_heals(shop: Shop) -> None:
    looked = cli("inject", "errors", "web", "-n", NAMESPACE, "--dry-run")
    assert f"every request for service {NAMESPACE}/web" in looked.stdout
    assert shop.ask().status == 200
    done = cli("inject", "errors", "web", "-n", NAMESPACE, "--set", "percent=100", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["id"]
    listed = json.loads(cli("list", "--json").stdout)
    assert [one["id"] for one in listed["active"]] == [found]
    assert len(listed["faults"]) == 24
    assert cli("heal", found).returncode == 0
    again = cli("heal", found)
    assert again.returncode == 2
    assert "was healed already" in again.stderr


def test_the_command_line_plays_a_game_day_to_its_end(shop: Shop, tmp_path: Path) -> None:
    file = tmp_path / "day.yaml"
    file.write_text("{length: 1, between: 0.6, failures: [{fault: errors, target: web, lasts: 1, set: {percent: 100}}]}")
    told = cli("play", str(file), "--dry-run", "-n", NAMESPACE)
    assert "errors on web for 1 s" in told.stdout
    assert not broken(shop)
    with shop.users() as users:
        done = cli("play", str(file), "-n", NAMESPACE, "--json")
    assert done.returncode == 0, done.stderr
    assert [outcome["step"]["fault"] for outcome in json.loads(done.stdout)["outcomes"]] == ["errors"]
    seen = users.availability()
    assert seen.ok
    assert seen.failures.get("503", 0) >= 10
    assert until(lambda: not faults.active(shop.backend))


def test_unknown_failures_targets_and_options_are_refused(shop: Shop) -> None:
    for call, words in (
        (lambda: shop.inject("container-kiled", "web"), "did you mean container-killed"),
        (lambda: shop.inject("container-killed", "nobody"), "does not exist in namespace shop"),
        (lambda: shop.inject("errors", "nobody"), "does not exist in namespace shop"),
        (lambda: shop.inject("node-lost", "node-99"), "nodes: node-1"),
        (lambda: shop.inject("errors", "web", colour="red"), "has no option colour"),
        (lambda: shop.inject("errors", "web", percent=200), "is not between"),
        (lambda: shop.inject("errors", "web", duration=1e6), "is not between"),
        (lambda: shop.inject("dns-down", "web"), "takes no target"),
    ):
        expect(call, words)
    assert faults.active(shop.backend) == ()
    assert shop.ask().status == 200


def expect(call: Callable[[], object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        call()


def test_two_failures_of_one_thing_conflict(shop: Shop) -> None:
    handle = shop.inject("errors", "web", percent=100)
    with pytest.raises(UsageError, match=f"conflicts with {handle.injection.id}"):
        shop.inject("latency", "web")
    handle.heal()
    with shop.inject("latency", "web", seconds=0.1):
        pass


def test_a_target_that_vanishes_during_the_injection_leaves_nothing(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    pod = shop.pods()[0]["metadata"]["name"]
    plan = ReadinessFailing.plan

    def plan_then_lose(self: ReadinessFailing, place: Place, target: str, options: Options) -> Plan:
        found = plan(self, place, target, options)
        shop.api.delete("pods", pod, grace=0)
        assert until(lambda: shop.api.find("pods", pod) is None)
        return found

    monkeypatch.setattr(ReadinessFailing, "plan", plan_then_lose)
    with pytest.raises((Vanished, ClusterError), match="nothing is left of the failure"):
        shop.inject("readiness-failing", pod)
    assert faults.active(shop.backend) == ()


def test_an_injection_that_breaks_half_way_is_undone(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    inject = Errors.inject

    def break_after(self: Errors, place: Place, data: dict[str, object]) -> None:
        inject(self, place, data)
        raise KeyboardInterrupt

    monkeypatch.setattr(Errors, "inject", break_after)
    with pytest.raises(KeyboardInterrupt):
        shop.inject("errors", "web", percent=100)
    assert faults.active(shop.backend) == ()
    assert until(lambda: shop.ask().status == 200)


def test_all_pods_of_a_deployment_can_be_hit_at_once(shop: Shop) -> None:
    names = [pod["metadata"]["name"] for pod in shop.pods()]
    handle = shop.inject("container-killed", "deployment/web", pods="all", duration=2)
    assert len(handle.injection.hits) == len(names)
    shop.wait("pods", lambda pods: all(restarts(pod) == 1 and ready(pod) for pod in pods))
