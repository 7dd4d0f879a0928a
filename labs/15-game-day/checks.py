"""Checks of lab 15: the failures are drawn from a seed, the verdict comes from the probe's own record."""

import os
import re
import time
from collections import Counter
from pathlib import Path
from typing import Any, cast

from halab.backends.access import Obj
from halab.backends.base import Backend
from halab.backends.caller import Caller
from halab.course.requests import statuses
from halab.course.results import Failed, Passed, Result
from halab.course.scene import Scene, describe_pods, is_ready, serves
from halab.course.vocabulary import trouble_among, until
from halab.faults import api as faults
from halab.faults import scenario
from halab.traffic.availability import longest_outage, summarize
from halab.traffic.meter import Meter
from halab.traffic.record import Request

HOST, RATE, TARGET = "shop.game.example", 40.0, 0.999
LONGEST = 1.0  # seconds that users may be without any answer
BUDGET = 5.0  # seconds until a disruption budget has counted the pods that are ready again
SETTLE, REST = 2.0, 25.0  # seconds of traffic after the last failure; seconds until everything must be as it was
DAY = Path(__file__).parent / "start" / "game-day.yml"
PLAYED, PASSED_OVER = "game-day", "passed over"


def fit_for_it(scene: Scene) -> Result:
    pods = scene.pods_of("deployments", "shop")
    if not pods or not all(is_ready(pod) for pod in pods):
        return Failed(
            f"shop: {describe_pods(pods)}; all should be ready. {trouble_among(pods)}".strip(), "kubectl describe deployment shop"
        )
    places = Counter(pod["spec"]["nodeName"] for pod in pods)
    if len(places) < 2:
        return Failed(
            f"all {len(pods)} of shop run on {next(iter(places))}: who loses that node, loses the shop",
            "how many replicas are there, and what tells the scheduler to spread them?",
        )
    answers = scene.ask_ingress(HOST, count=20, together=4)
    if bad := [answer for answer in answers if not answer.ok]:
        return Failed(
            f"{len(bad)} of 20 requests for {HOST} fail in peace already: {statuses(bad)}", "kubectl describe httproute"
        )
    names = {pod["metadata"]["name"] for pod in scene.pods_of("deployments", "shop")}
    if strangers := {answer.headers.get("x-served-by", "somebody without a name") for answer in answers} - names:
        return Failed(
            f"{HOST} is answered by {', '.join(sorted(strangers))}, not by the Deployment shop, whose pods the day will hit",
            "to which Service does the route lead, and which pods does it select?",
        )
    return Passed(f"{len(pods)} pods on {len(places)} nodes; {HOST} answers")


def target_held(scene: Scene) -> Result:
    fit = fit_for_it(scene)
    if isinstance(fit, Failed):
        return fit
    played = scene.memory[PLAYED] = play(scene)
    seen = summarize(played["requests"])
    story = "; ".join(f"{at:.0f} s {text}" for at, text in played["failures"])
    if seen.success_rate < TARGET:
        worst = _worst(played)
        return Failed(f"{seen.sentence()}; the target is {TARGET:.1%}. Most failed after: {worst}", _hint(worst, seen.failures))
    if played["refused"]:
        return Failed(
            f"{seen.sentence()}, but the drain gave up: {', '.join(played['refused'])} could not be evicted, nor now that all is well",
            "a budget that allows nothing is no budget: how many pods may be missing at a time?",
        )
    return Passed(f"{seen.sentence()}. What happened: {story}")


def back_in_shape(scene: Scene) -> Result:
    played = scene.memory.get(PLAYED)
    if played is None:
        return Failed("no game day has been played since this notebook was opened", "check target-held first")
    outage = longest_outage(played["requests"])
    if outage > LONGEST:
        return Failed(f"for {outage:.1f} s nobody was served", f"most failed after: {_worst(played)}")
    pods = scene.pods_of("deployments", "shop")
    if not pods or not all(serves(pod) for pod in pods):
        return Failed(f"shop: {describe_pods(pods)}", "kubectl get pods; kubectl get events")
    return Passed(
        f"longest time without an answer: {outage:.2f} s; now {describe_pods(pods)}, {played['rested']:.0f} s after the last failure"
    )


def play(scene: Scene, *, seed: int | None = None, learner: str = "") -> dict[str, Any]:
    """One game day under traffic: the requests, and what broke (seconds since the beginning, in words)."""
    backend = cast(Backend, scene.reach)
    series = scenario.steps(scenario.load(DAY), seed=seed, learner=learner)
    host, port = scene.reach.ingress()
    failures: list[tuple[float, str]] = []
    refused: list[str] = []
    with Meter(f"http://{host}:{port}", rate=RATE, host=HOST) as users:
        users.wait(1)
        began = time.time()

        def told(outcome: scenario.Outcome) -> None:
            hit = outcome.text if outcome.id else f"{PASSED_OVER} ({outcome.text})"
            failures.append((time.time() - began, f"{outcome.step.fault}: {hit.replace(f'pod {scene.namespace}/', '')}"))
            if outcome.step.fault == "node-drained" and outcome.id:
                refused.extend(not_evicted(outcome.text, scene.pods()))

        try:
            scenario.play(backend, series, namespace=scene.namespace, owner=os.getpid(), confirmed=True, report=told)
            users.wait(SETTLE)
        finally:
            faults.heal_all(backend)
        since = time.monotonic()
        wanted = int(scene.api.get("deployments", "shop")["spec"].get("replicas", 1))
        scene.wait_for_ready("deployments", "shop", wanted, REST)
        rested = time.monotonic() - since
        refused = [pod for pod in refused if not until(lambda pod=pod: _may_go(scene, pod), BUDGET)]  # type: ignore[misc]
        users.wait(1)
        users.stop()
    return {"requests": list(users.requests), "failures": failures, "refused": refused, "began": began, "rested": rested}


def _may_go(scene: Scene, pod: str) -> bool:
    """Whether an eviction would be granted, or is no longer needed. What a budget refuses during a failure may be right; in peace it is not."""
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": scene.namespace}}
    path = f"/api/v1/namespaces/{scene.namespace}/pods/{pod}/eviction"
    status, _ = Caller.learner(scene.api).attempt("POST", path, body)
    return status != 429  # too many requests: the budget says no


def not_evicted(hits: str, pods: list[Obj]) -> list[str]:
    """Of the pods that a drain named in ``hits``, those that nobody has told to go. Pure."""
    kept = {str(pod["metadata"]["name"]) for pod in pods if "deletionTimestamp" not in pod["metadata"]}
    return sorted(kept & set(re.findall(r"pod [^/;]+/([^;\s]+)", hits)))


def _worst(played: dict[str, Any]) -> str:
    """The failure after which most requests failed, in words."""
    count: Counter[str] = Counter()
    for request in cast(list[Request], played["requests"]):
        before = [text for at, text in played["failures"] if PASSED_OVER not in text and played["began"] + at <= request.at]
        if not request.ok and before:
            count[before[-1]] += 1
    if not count:
        return "nothing that was injected"
    text, failed = count.most_common(1)[0]
    return f"{text} ({failed} requests)"


def _hint(worst: str, failures: dict[str, int]) -> str:
    kinds = ", ".join(f"{number} x {why}" for why, number in failures.items())
    if worst.startswith("container-hung") or max(failures, key=lambda why: failures[why]) == "504":
        return f"{kinds}: a hung program takes the connection and answers nobody. How long does the route wait for one try, before the next?"
    if worst.startswith("node-drained"):
        return (
            f"{kinds}: a drain evicts. What makes it go pod by pod, and what does a pod do between the order to stop and its end?"
        )
    return f"{kinds}: a request that meets a dying pod has failed, unless somebody asks again. Who could?"
