"""Checks of lab 08: evictions, a drain and a lost node, with users sending requests all the while."""

import time
from collections import Counter

from halab.backends.access import Obj
from halab.course.results import Failed, Passed, Result
from halab.course.scene import Scene, describe_pods, is_ready, serves
from halab.course.vocabulary import await_node, not_ready, scene_lacks, trouble_among
from halab.traffic.availability import summarize

NAME, PORT, WANTED, SELECTOR = "web", 80, 3, "app=web"
RATE = 20.0
REPLACED_WITHIN = 15.0  # seconds for a pod that was evicted: its replacement needs 2 s to start
DETECT = 10  # seconds of silence until the lost node counts as lost (Kubernetes' own default: tens of seconds)
RECOVERED_WITHIN = 27.0  # seconds from the loss of the node until three pods are ready on the others
MOST_FAILED = 0.5  # of the requests until the lost node is noticed: with one of three pods gone it is a third


def spread_over_nodes(scene: Scene) -> Result:
    pods = scene.pods_of("deployments", NAME)
    ready = [pod for pod in pods if is_ready(pod)]
    if len(pods) != WANTED or len(ready) != WANTED:
        return not_ready(pods, WANTED)
    places = Counter(pod["spec"]["nodeName"] for pod in ready)
    if len(places) < WANTED:
        node, count = places.most_common(1)[0]
        return Failed(
            f"{count} of {WANTED} pods are on {node}: who loses {node}, loses {'all' if count == WANTED else 'most'} of {NAME}",
            "kubectl get pods -o wide; what tells the scheduler to keep pods of the same kind apart?",
        )
    return Passed(f"one pod each on {', '.join(sorted(places))}")


def budget_refuses_then_allows(scene: Scene) -> Result:
    pods = _rested(scene)
    if isinstance(pods, Failed):
        return pods
    first, second, *_ = (pod["metadata"]["name"] for pod in pods)
    refused = scene.api.evict(first)
    if refused:
        return Failed(
            f"{len(pods)} pods are ready, and not even one may be evicted: {refused}",
            "a budget that never allows anything blocks every maintenance; how many of three must always be there?",
        )
    refused = scene.api.evict(second)
    if not refused:
        scene.wait_for_ready("deployments", NAME, WANTED)
        budgets = ", ".join(b["metadata"]["name"] for b in scene.list("poddisruptionbudgets")) or "none"
        return Failed(
            f"{first} was evicted, and {second} a moment later too, though the first was not replaced yet",
            f"PodDisruptionBudgets here: {budgets}; does one select these pods, and how many may be missing at a time?",
        )
    ready = scene.wait_for_ready("deployments", NAME, WANTED, REPLACED_WITHIN)
    if len(ready) != WANTED:
        return Failed(f"{first} was evicted and not replaced within {REPLACED_WITHIN:.0f} s: {_trouble(scene)}", "")
    allowed = scene.api.wait("poddisruptionbudgets", _one_may_go, 5)  # its status follows the pods a moment later
    late = scene.api.evict(second)
    scene.wait_for_ready("deployments", NAME, WANTED, REPLACED_WITHIN)
    if late or not _one_may_go(allowed):
        return Failed(f"{first} is replaced and three pods are ready, but {second} may still not be evicted: {late}", "")
    return Passed(f"{first} was evicted; {second} was refused ({refused}), and allowed once the first was replaced")


def drained_without_loss(scene: Scene) -> Result:
    pods = _rested(scene)
    if isinstance(pods, Failed):
        return pods
    node = pods[0]["spec"]["nodeName"]
    there = [pod["metadata"]["name"] for pod in pods if pod["spec"]["nodeName"] == node]
    try:
        with scene.traffic(NAME, PORT, rate=RATE) as users:
            users.wait(0.5)
            drained = scene.kubectl(
                "drain", node, f"--pod-selector={SELECTOR}", "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=20s"
            )
            ready = scene.wait_for_ready("deployments", NAME, WANTED, REPLACED_WITHIN)
            users.wait(0.5)
            seen = users.stop()
    finally:
        scene.kubectl("uncordon", node)
    if drained.returncode:
        last = drained.stderr.strip().splitlines()[-1:]
        return Failed(
            f"draining {node} did not end within 20 s: {' '.join(last)}", "does the budget leave room for one pod to go?"
        )
    if seen.ok < seen.sent:
        return Failed(
            f"while {node} with {len(there)} pods of {NAME} was drained, {seen.sent - seen.ok} of {seen.sent} requests failed: {seen.failures}",
            "were there always ready pods? A budget and pods on different nodes both help",
        )
    if len(ready) != WANTED:
        return Failed(
            f"{node} was drained, and {REPLACED_WITHIN:.0f} s later: {describe_pods(scene.pods(SELECTOR))}. {_trouble(scene)}",
            "where may the missing pod go while one node takes no pods? Read what the scheduler says about each node",
        )
    if not _kept_some(scene):
        return Failed(
            f"{node} was drained without loss, but nothing made the drain go pod by pod",
            "a drain asks the PodDisruptionBudgets before it evicts; is there one for these pods?",
        )
    return Passed(f"{node} was drained: {seen.sent} requests, none failed; {WANTED} pods are ready on other nodes")


def lost_node_is_survived(scene: Scene) -> Result:
    pods = _rested(scene)
    if isinstance(pods, Failed):
        return pods
    places = Counter(pod["spec"]["nodeName"] for pod in pods)
    node, count = min(places.items(), key=lambda item: (item[1], item[0]))
    if count == WANTED:
        return Failed(f"all {WANTED} pods are on {node}: who loses {node}, loses all of {NAME}", "the first task is about that")
    lost = next(pod["metadata"]["name"] for pod in pods if pod["spec"]["nodeName"] == node)
    with scene.traffic(NAME, PORT, rate=RATE) as users:
        users.wait(0.5)
        with scene.fault("node-lost", node, duration=90, detect=DETECT):
            began = time.monotonic()
            back = len(
                scene.api.wait("pods", lambda found: len(_elsewhere(found, node)) == WANTED, RECOVERED_WITHIN, selector=SELECTOR)
            )
            elsewhere = _elsewhere(scene.pods(SELECTOR), node)
            took = time.monotonic() - began
            trouble = _trouble(scene)
            if len(elsewhere) == WANTED:
                users.wait(1)
            after = time.time()
            users.wait(1)
        seen = users.stop()
    await_node(scene, node, True, 20)  # the next check begins when it is back
    late = summarize([request for request in users.requests if after < request.at < after + 1])
    if len(elsewhere) != WANTED:
        return Failed(
            f"{node} was lost with {lost}, and {RECOVERED_WITHIN:.0f} s later {len(elsewhere)} pods of {NAME} are ready elsewhere, not {WANTED}. "
            + (trouble or f"{lost} still waits for its node to come back"),
            "a pod tolerates that its node is unreachable for 300 s, if it does not say otherwise; and a replacement needs a node that may take it",
        )
    if seen.success_rate < 1 - MOST_FAILED or late.ok < late.sent:
        return Failed(f"{node} was lost; meanwhile {seen.sentence()}; in the end {late.sent - late.ok} of {late.sent} failed", "")
    return Passed(
        f"{node} was lost; {back and WANTED} pods were ready elsewhere after {took:.0f} s; {seen.ok} of {seen.sent} requests were answered"
    )


def _rested(scene: Scene) -> list[Obj] | Failed:
    """The three ready pods, when nothing is under way any more."""
    if (lacks := scene_lacks(scene, NAME)) is not None:
        return lacks
    ready = scene.wait_for_ready("deployments", NAME, WANTED, 12)
    if len(ready) != WANTED:
        return not_ready(scene.pods(SELECTOR), WANTED)
    return sorted(ready, key=lambda pod: str(pod["metadata"]["name"]))


def _kept_some(scene: Scene) -> bool:
    """Whether a budget watches over the pods that are there now."""
    return any(budget.get("status", {}).get("expectedPods") == WANTED for budget in scene.list("poddisruptionbudgets"))


def _one_may_go(budgets: list[Obj]) -> bool:
    return any(budget.get("status", {}).get("disruptionsAllowed", 0) > 0 for budget in budgets)


def _elsewhere(pods: list[Obj], node: str) -> list[Obj]:
    return [pod for pod in pods if serves(pod) and pod["spec"].get("nodeName") != node]


def _trouble(scene: Scene) -> str:
    return trouble_among(scene.pods(SELECTOR))
