"""How fast an autoscaler may move: stabilisation windows, policies, and the limits' words. Pure, except that ``History`` remembers.

https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#configurable-scaling-behavior has the rules.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from halab.cluster.kube.types import Obj

DOWN_WINDOW = 300
DEFAULT_UP: Obj = {
    "stabilizationWindowSeconds": 0,
    "selectPolicy": "Max",
    "policies": [{"type": "Pods", "value": 4, "periodSeconds": 15}, {"type": "Percent", "value": 100, "periodSeconds": 15}],
}
DEFAULT_DOWN: Obj = {
    "stabilizationWindowSeconds": DOWN_WINDOW,
    "selectPolicy": "Max",
    "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
}


@dataclass
class History:
    """Of one autoscaler: (time, recommendation) and (time, change) of what was done; older than an hour is forgotten."""

    recommendations: list[tuple[float, int]] = field(default_factory=list)
    ups: list[tuple[float, int]] = field(default_factory=list)
    downs: list[tuple[float, int]] = field(default_factory=list)

    def note_scale(self, before: int, after: int, now: float) -> None:
        (self.ups if after > before else self.downs).append((now, abs(after - before)))
        for each in (self.ups, self.downs):
            each[:] = [entry for entry in each if entry[0] > now - 3600]


@dataclass(frozen=True)
class Limited:
    """The number allowed, and the conditions AbleToScale and ScalingLimited as (status, reason, message)."""

    replicas: int
    able: tuple[str, str, str]
    limited: tuple[str, str, str]


def rules(behavior: Obj | None, direction: str) -> Obj:
    """``scaleUp`` or ``scaleDown`` with Kubernetes' defaults for what is left out."""
    default = DEFAULT_UP if direction == "scaleUp" else DEFAULT_DOWN
    return {**default, **{key: value for key, value in ((behavior or {}).get(direction) or {}).items() if value is not None}}


def limit(behavior: Obj | None, history: History, current: int, proposed: int, low: int, high: int, now: float) -> Limited:
    """``proposed`` within the windows, the policies' rates and [low, high]. Notes the proposal in ``history``."""
    if behavior is None:
        return _limit_plainly(history, current, proposed, low, high, now)
    up, down = rules(behavior, "scaleUp"), rules(behavior, "scaleDown")
    stable, able = _stabilize(history, current, proposed, up, down, now)
    replicas, reason, message = _rate(history, current, stable, low, high, up, down, now)
    return Limited(replicas, able, ("False" if replicas == stable else "True", reason, message))


def _limit_plainly(history: History, current: int, proposed: int, low: int, high: int, now: float) -> Limited:
    """Of an autoscaler that says nothing of its behaviour: down only to the highest of five minutes, up to the double, or 4, at once."""
    recent = [count for time, count in history.recommendations if time > now - DOWN_WINDOW]
    history.recommendations = [entry for entry in history.recommendations if entry[0] > now - DOWN_WINDOW] + [(now, proposed)]
    stable = max([proposed, *recent])
    able = ("True", "ReadyForNewScale", "recommended size matches current size")
    if stable != proposed:
        message = "recent recommendations were higher than current one, applying the highest recent recommendation"
        able = ("True", "ScaleDownStabilized", message)
    fastest = max(2 * current, 4)
    least, few = low, "the desired replica count is less than the minimum replica count"
    if not low:
        least, few = 1, "the desired replica count is zero"
    most, reason, many = high, "TooManyReplicas", "the desired replica count is more than the maximum replica count"
    if high > fastest:
        most, reason = fastest, "ScaleUpLimit"
        many = "the desired replica count is increasing faster than the maximum scale rate"
    if stable < least:
        return Limited(least, able, ("True", "TooFewReplicas", few))
    if stable > most:
        return Limited(most, able, ("True", reason, many))
    return Limited(stable, able, ("False", "DesiredWithinRange", "the desired count is within the acceptable range"))


def _stabilize(history: History, current: int, proposed: int, up: Obj, down: Obj, now: float) -> tuple[int, tuple[str, str, str]]:
    growing = proposed >= current
    window = (up if growing else down)["stabilizationWindowSeconds"]
    recent = [count for time, count in history.recommendations if time > now - window]
    stable = min([proposed, *recent]) if growing else max([proposed, *recent])
    longest = max(up["stabilizationWindowSeconds"], down["stabilizationWindowSeconds"])
    history.recommendations = [entry for entry in history.recommendations if entry[0] > now - longest] + [(now, proposed)]
    if stable == proposed:
        return stable, ("True", "ReadyForNewScale", "recommended size matches current size")
    if growing:
        message = "recent recommendations were lower than current one, applying the lowest recent recommendation"
        return stable, ("True", "ScaleUpStabilized", message)
    message = "recent recommendations were higher than current one, applying the highest recent recommendation"
    return stable, ("True", "ScaleDownStabilized", message)


def _rate(
    history: History, current: int, wanted: int, low: int, high: int, up: Obj, down: Obj, now: float
) -> tuple[int, str, str]:
    if wanted > current:
        fastest = max(current, _fastest_up(history.ups, current, up, now))
        most, reason, message = high, "TooManyReplicas", "the desired replica count is more than the maximum replica count"
        if most > fastest:
            most, reason = fastest, "ScaleUpLimit"
            message = "the desired replica count is increasing faster than the maximum scale rate"
        if wanted > most:
            return most, reason, message
    elif wanted < current:
        slowest = min(current, _fastest_down(history.downs, current, down, now))
        least, reason, message = low, "TooFewReplicas", "the desired replica count is less than the minimum replica count"
        if least < slowest:
            least, reason = slowest, "ScaleDownLimit"
            message = "the desired replica count is decreasing faster than the maximum scale rate"
        if wanted < least:
            return least, reason, message
    return wanted, "DesiredWithinRange", "the desired count is within the acceptable range"


def _changed(events: Sequence[tuple[float, int]], period: int, now: float) -> int:
    return sum(change for time, change in events if time > now - period)


def _fastest_up(ups: Sequence[tuple[float, int]], current: int, rule: Obj, now: float) -> int:
    if rule["selectPolicy"] == "Disabled":
        return current
    proposals: list[int] = []
    for policy in rule["policies"]:
        start = current - _changed(ups, policy["periodSeconds"], now)
        proposals.append(start + policy["value"] if policy["type"] == "Pods" else math.ceil(start * (1 + policy["value"] / 100)))
    return min(proposals) if rule["selectPolicy"] == "Min" else max(proposals)


def _fastest_down(downs: Sequence[tuple[float, int]], current: int, rule: Obj, now: float) -> int:
    if rule["selectPolicy"] == "Disabled":
        return current
    proposals: list[int] = []
    for policy in rule["policies"]:
        start = current + _changed(downs, policy["periodSeconds"], now)
        proposals.append(start - policy["value"] if policy["type"] == "Pods" else int(start * (1 - policy["value"] / 100)))
    return max(proposals) if rule["selectPolicy"] == "Min" else min(proposals)
