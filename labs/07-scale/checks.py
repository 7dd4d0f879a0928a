"""Checks of lab 07: load is sent, replicas and latency are watched; a recorded load is replayed on two scalers at once."""

import importlib.util
import json
import time
from pathlib import Path

from halab.backends.access import Obj
from halab.course.results import Failed, Passed, Result
from halab.course.scaling import Outcome, Scaler, replay
from halab.course.scene import Scene, describe_pods
from halab.traffic.availability import summarize
from halab.traffic.meter import Meter

WEB, AHEAD, PORT = "web", "ahead", 80
WORK = "/work?ms=3&wait=57"  # 60 ms, one at a time: a pod answers 16 a second
RATE = 24.0  # requests a second: more than one pod can answer
GROWS_WITHIN, SHRINKS_WITHIN = 30.0, 45.0
BACK_WITHIN = 20.0  # seconds from enough replicas until the queue of the overloaded pod is worked off
BOUND_MS = 400.0  # 90% of the answers, once there are enough replicas
FORECAST_BOUND_MS, MOST_POD_SECONDS = 400.0, 58
FAR_AHEAD = 3.0  # times as quick as the plain autoscaler
STEP = 1.5  # seconds of requests that one look at the latency takes in


def autoscaler_measures(scene: Scene) -> Result:
    found = _autoscaler(scene)
    if isinstance(found, Failed):
        return found
    current = found.get("status", {}).get("currentMetrics") or []
    values = [metric.get("resource", {}).get("current", {}) for metric in current if metric.get("type") == "Resource"]
    if not values:
        conditions = found.get("status", {}).get("conditions") or []
        trouble = next((c.get("message", "") for c in conditions if c["type"] == "ScalingActive" and c["status"] == "False"), "")
        return Failed(
            f"the autoscaler of {WEB} has measured nothing yet" + (f": {trouble}" if trouble else ""),
            "kubectl describe hpa shows what it lacks; a percentage needs something that it is a percentage of",
        )
    return Passed(
        f"it sees {values[0].get('averageUtilization', '?')}% of the requested CPU, {values[0].get('averageValue')} a pod"
    )


def load_brings_replicas(scene: Scene) -> Result:
    measured = autoscaler_measures(scene)
    if isinstance(measured, Failed):
        return measured
    if not _wait_for_replicas(scene, WEB, 1, 1, SHRINKS_WITHIN):
        return Failed(
            f"before any load is sent, {WEB} has {_replicas(scene, WEB)} replicas, not 1", "what are its least replicas?"
        )
    with scene.traffic(WEB, PORT, WORK, rate=RATE) as users:
        began = time.monotonic()
        grown = _wait_for_replicas(scene, WEB, 2, 99, GROWS_WITHIN)
        took = time.monotonic() - began
        if not grown:
            last = autoscaler_measures(scene)
            return Failed(
                f"{RATE:.0f} requests a second for {GROWS_WITHIN:.0f} s, and {WEB} still has one pod ({describe_pods(scene.pods(f'app={WEB}'))}); {last}",
                "from how many percent on should it add pods, and up to how many?",
            )
        latency = _latency_falls_below(users, BOUND_MS, BACK_WITHIN)
        most = _replicas(scene, WEB)
        users.stop()
    if latency > BOUND_MS:
        return Failed(
            f"{WEB} has {most} replicas, but 90% of the answers still take up to {latency:.0f} ms, {BACK_WITHIN:.0f} s later",
            "how many replicas may there be at most? And which share of its CPU may a pod use before another one is added?",
        )
    stopped = time.monotonic()
    if not _wait_for_replicas(scene, WEB, 1, 1, SHRINKS_WITHIN):
        return Failed(
            f"the load stopped {SHRINKS_WITHIN:.0f} s ago, and {WEB} still has {_replicas(scene, WEB)} replicas",
            "for how long must the measure stay low before replicas go? The default is five minutes",
        )
    return Passed(
        f"the second replica served after {took:.0f} s; with {most}, 90% within {latency:.0f} ms; one again {time.monotonic() - stopped:.0f} s after the load"
    )


def ahead_of_the_load(scene: Scene) -> Result:
    scaler = _load_scaler(scene.files / "scaler.py")
    if isinstance(scaler, Failed):
        return scaler
    record = json.loads((scene.files / "load.json").read_text())
    days = record["days"]
    try:  # on paper first: a scaler that never looks ahead is found out without a replay
        on_paper = _on_paper(scaler, days)
    except Exception as error:  # whatever the learner's function raises is what the learner must see
        return Failed(f"scaler.py: {type(error).__name__}: {error}", "what is in history, and how long is it?")
    if isinstance(on_paper, Failed):
        return on_paper
    for name in (WEB, AHEAD):
        if scene.get("deployments", name) is None:
            return Failed(f"there is no Deployment called {name}", "the scene has it; try: halab reset")
    scene.api.patch("deployments", AHEAD, {"spec": {"replicas": 1}}, subresource="scale")
    if not _wait_for_replicas(scene, AHEAD, 1, 1, 15) or not _wait_for_replicas(scene, WEB, 1, 1, SHRINKS_WITHIN):
        return Failed(
            f"before the replay {WEB} and {AHEAD} should have one ready pod each", "is there load on them? kubectl get hpa,pods"
        )
    services: dict[str, Scaler | None] = {AHEAD: scaler, WEB: None}
    found = replay(scene, days[-1], services, history=[rate for day in days[:-1] for rate in day], path=WORK)
    scene.api.patch("deployments", AHEAD, {"spec": {"replicas": 1}}, subresource="scale")
    return _verdict(found[AHEAD], found[WEB])


def _verdict(ours: Outcome, plain: Outcome) -> Result:
    told = f"\n{ours.row('your scaler')}\n{plain.row('HorizontalPodAutoscaler')}"
    # A machine that is overloaded itself slows both down; then the one that looks ahead must still be far ahead.
    far_ahead = ours.slow_ms < float("inf") and ours.slow_ms * FAR_AHEAD <= plain.slow_ms
    if ours.slow_ms > FORECAST_BOUND_MS and not far_ahead:
        return Failed(
            f"the peak came, and the pods came later: 90% should be answered within {FORECAST_BOUND_MS:.0f} ms{told}", ""
        )
    if ours.pod_seconds > MOST_POD_SECONDS:
        return Failed(
            f"quick, but too dear: at most {MOST_POD_SECONDS} pod-seconds{told}",
            "pods that wait all day for one peak are paid for, too",
        )
    return Passed(f"the pods were there before the load{told}")


def _on_paper(scaler: Scaler, days: list[list[float]]) -> Failed | None:
    """What the scaler would ask for on the recorded day."""
    seen = [rate for day in days[:-1] for rate in day]
    today = days[-1]
    wanted = []
    for rate in today:
        wanted.append(scaler(list(seen)))
        seen.append(rate)
    wrong = [count for count in wanted if not isinstance(count, int) or not 1 <= count <= 10]
    if wrong:
        return Failed(f"scaler.py asks for {wrong[0]!r} replicas", "a whole number from 1 to 10")
    rise = next(second for second, rate in enumerate(today) if rate > 2 * max(today[0], 1.0))
    text = "".join(map(str, wanted))
    if max(wanted[: rise - 2]) < 2:
        return Failed(
            f"the load rises in second {rise} of the day; second by second your scaler asks for {text} pods, no sooner than the load itself",
            "a pod takes some seconds until it serves; the days before tell what comes",
        )
    if sum(wanted) > MOST_POD_SECONDS:
        return Failed(
            f"second by second your scaler asks for {text} pods, {sum(wanted)} pod-seconds; {MOST_POD_SECONDS} must do",
            "pods that wait all day for one peak are paid for, too",
        )
    return None


def _load_scaler(file: Path) -> Scaler | Failed:
    """The learner's function."""
    if not file.is_file():
        return Failed("there is no file scaler.py in your folder", "the scene brings one; try: halab reset")
    spec = importlib.util.spec_from_file_location("learners_scaler", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # a fault of the learner's file is what the learner must see
        return Failed(f"scaler.py cannot be read: {type(error).__name__}: {error}")
    scaler: Scaler | None = getattr(module, "replicas", None)
    return scaler if callable(scaler) else Failed("scaler.py has no function replicas(history)")


def _autoscaler(scene: Scene) -> Obj | Failed:
    for found in scene.list("horizontalpodautoscalers"):
        if found["spec"]["scaleTargetRef"].get("name") == WEB:
            return found
    return Failed(f"nothing scales {WEB}: there is no HorizontalPodAutoscaler for it", "kubectl get hpa")


def _replicas(scene: Scene, name: str) -> int:
    return _counts(scene.api.get("deployments", name))[0]


def _counts(deployment: Obj) -> tuple[int, int]:
    """Pods that are there, pods that are ready."""
    status = deployment.get("status", {})
    return int(status.get("replicas", 0)), int(status.get("readyReplicas", 0))


def _wait_for_replicas(scene: Scene, name: str, least: int, most: int, timeout: float) -> bool:
    """Watch until so many pods are wanted, there and ready; whether it came to that."""

    def so_many(found: list[Obj]) -> bool:
        for one in found:
            if one["metadata"]["name"] == name:
                there, ready = _counts(one)
                return least <= min(there, ready) and there <= most
        return False

    return so_many(scene.api.wait("deployments", so_many, timeout))


def _latency_falls_below(users: Meter, bound: float, timeout: float) -> float:
    """Milliseconds within which 90% of the newest answers came, as soon as that is below ``bound`` or ``timeout`` is over."""
    deadline = time.monotonic() + timeout
    while True:
        users.wait(STEP / 2)
        newest = time.time()
        found = summarize([request for request in list(users.requests) if request.at > newest - STEP])
        latency = found.latency_ms.get("90", float("inf")) if found.ok > STEP * RATE * 0.5 else float("inf")
        if latency <= bound or time.monotonic() > deadline:
            return latency
