"""HorizontalPodAutoscalers: measure, propose, limit, scale. Only while an autoscaler exists is anything asked periodically.

``hpa_metrics.py`` proposes, ``hpa_behavior.py`` limits, this asks for metrics (metrics.k8s.io) and writes scale and status.
"""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from halab.cluster.client import Key, rfc3339
from halab.cluster.client.client import error_of
from halab.cluster.controllers.actions import with_status
from halab.cluster.controllers.base import Controller
from halab.cluster.controllers.hpa_behavior import History, limit
from halab.cluster.controllers.hpa_metrics import TOLERANCE, MetricError, Proposal, measures, propose
from halab.cluster.controllers.hpa_words import failure, unregistered
from halab.cluster.kube import quantity
from halab.cluster.kube.kinds import BUILTIN, HORIZONTAL_POD_AUTOSCALERS, PODS, Kind
from halab.cluster.kube.selectors import Selector, parse_label_selector
from halab.cluster.kube.status import ApiError
from halab.cluster.kube.types import Obj

PERIOD = 5.0  # seconds between two looks at an autoscaler; Kubernetes: 15, which is long for somebody who watches


def set_condition(status: Obj, type: str, value: str, reason: str, message: str, now: float) -> None:
    """As the HPA controller does: in place, the time changes with the status only."""
    conditions = status.setdefault("conditions", [])
    for i, each in enumerate(conditions):
        if each["type"] == type:
            time = each.get("lastTransitionTime") if each["status"] == value else rfc3339(now)
            conditions[i] = {"type": type, "status": value, "lastTransitionTime": time, "reason": reason, "message": message}
            return
    conditions.append({"type": type, "status": value, "lastTransitionTime": rfc3339(now), "reason": reason, "message": message})


def metric_status(metric: Obj, proposal: Proposal) -> Obj:
    """The entry of ``status.currentMetrics`` for a resource metric."""
    current: Obj = {"averageValue": quantity.spell_milli(proposal.average)}
    if proposal.utilization is not None:
        current = {"averageUtilization": proposal.utilization} | current
    if metric["type"] == "ContainerResource":
        source = metric["containerResource"]
        body = {"name": source["name"], "container": source["container"], "current": current}
        return {"type": "ContainerResource", "containerResource": body}
    return {"type": "Resource", "resource": {"name": metric["resource"]["name"], "current": current}}


class HpaController(Controller):
    name = "horizontal-pod-autoscaler"
    workers = 2

    def setup(self) -> None:
        self.hpas, self.pods = self.informers(HORIZONTAL_POD_AUTOSCALERS), self.informers(PODS)
        self.hpas.add_handler(self._hpa_changed)
        self._histories: dict[Key, History] = {}
        self._selectors: dict[Key, Selector] = {}  # of the targets that could be measured

    def _hpa_changed(self, old: Obj | None, new: Obj | None) -> None:
        """Not for its own status: that would be a loop as fast as the machine."""
        if new is not None and (old is None or old["spec"] != new["spec"]):
            self.queue.add((new["metadata"]["namespace"], new["metadata"]["name"]))

    async def reconcile(self, key: Key) -> None:
        hpa = self.hpas.get(*key)
        if hpa is None:
            self._histories.pop(key, None)
            self._selectors.pop(key, None)
            return
        self.queue.add_after(key, PERIOD)
        old: Obj = hpa.get("status") or {}
        status: Obj = {**old, "conditions": list(old.get("conditions") or ())}
        await self._autoscale(key, hpa, status)
        if status != old:
            await self.context.update(HORIZONTAL_POD_AUTOSCALERS, with_status(hpa, status), subresource="status")

    async def _autoscale(self, key: Key, hpa: Obj, status: Obj) -> None:
        now, spec = self.now(), hpa["spec"]
        target = spec["scaleTargetRef"]
        try:
            kind, scale = await self._scale_of(key[0], target)
        except (ApiError, LookupError) as exc:
            message = str(exc.args[0] if exc.args else exc)
            self.emit(hpa, "Warning", "FailedGetScale", message)
            told = f"the HPA controller was unable to get the target's current scale: {message}"
            set_condition(status, "AbleToScale", "False", "FailedGetScale", told, now)
            return
        told = "the HPA controller was able to get the target's current scale"
        set_condition(status, "AbleToScale", "True", "SucceededGetScale", told, now)
        current = int((scale.get("spec") or {}).get("replicas", 0))
        low, high = int(spec.get("minReplicas", 1)), int(spec["maxReplicas"])
        history = self._histories.setdefault(key, History(recommendations=[(now, current)]))
        desired, reason, metrics = current, "", None
        if current == 0 and low != 0:
            told = "scaling is disabled since the replica count of the target is zero"
            set_condition(status, "ScalingActive", "False", "ScalingDisabled", told, now)
        elif current > high:
            desired, reason = high, "Current number of replicas above Spec.MaxReplicas"
        elif current < low:
            desired, reason = low, "Current number of replicas below Spec.MinReplicas"
        else:
            found = await self._measure(hpa, scale, current, status)
            if found is None:
                self._counts(status, current, status.get("desiredReplicas", 0), status.get("currentMetrics"))
                return
            proposed, name, metrics = found
            reason = f"{name} above target" if proposed > current else "All metrics below target"
            limited = limit(spec.get("behavior"), history, current, proposed, low, high, now)
            set_condition(status, "AbleToScale", *limited.able, now)
            set_condition(status, "ScalingLimited", *limited.limited, now)
            desired = limited.replicas
        if desired != current:
            if not await self._rescale(hpa, kind, scale, desired, reason, status):
                self._counts(status, current, status.get("desiredReplicas", 0), status.get("currentMetrics"))
                return
            history.note_scale(current, desired, now)
            status["lastScaleTime"] = rfc3339(now)
        self._counts(status, current, desired, metrics)

    def _counts(self, status: Obj, current: int, desired: int, metrics: Sequence[Obj] | None) -> None:
        status["desiredReplicas"], status["currentMetrics"] = desired, metrics or None
        if current:
            status["currentReplicas"] = current
        else:
            status.pop("currentReplicas", None)

    async def _scale_of(self, namespace: str, target: Obj) -> tuple[Kind, Obj]:
        kind = next((k for k in BUILTIN if (k.api_version, k.kind) == (target.get("apiVersion"), target["kind"])), None)
        if kind is None:
            raise LookupError(
                f'no matches for kind "{target["kind"]}" in group "{target.get("apiVersion", "").rpartition("/")[0]}"'
            )
        return kind, await self.context.client.get(kind, target["name"], namespace, subresource="scale")

    async def _rescale(self, hpa: Obj, kind: Kind, scale: Obj, desired: int, reason: str, status: Obj) -> bool:
        body = {**scale, "spec": {**(scale.get("spec") or {}), "replicas": desired}}
        try:
            await self.context.update(kind, body, subresource="scale")
        except ApiError as exc:
            self.emit(hpa, "Warning", "FailedRescale", f"New size: {desired}; reason: {reason}; error: {exc}")
            told = f"the HPA controller was unable to update the target scale: {exc}"
            set_condition(status, "AbleToScale", "False", "FailedUpdateScale", told, self.now())
            return False
        told = f"the HPA controller was able to update the target scale to {desired}"
        set_condition(status, "AbleToScale", "True", "SucceededRescale", told, self.now())
        self.emit(hpa, "Normal", "SuccessfulRescale", f"New size: {desired}; reason: {reason}")
        return True

    # Metrics

    async def _measure(self, hpa: Obj, scale: Obj, current: int, status: Obj) -> tuple[int, str, list[Obj]] | None:
        """(replicas, name of the metric that asks for most, statuses); None after an error that forbids to act."""
        selector = (scale.get("status") or {}).get("selector", "")
        namespace, now = hpa["metadata"]["namespace"], self.now()
        if not selector:
            self.emit(hpa, "Warning", "SelectorRequired", "selector is required")
            told = "the HPA target's scale is missing a selector"
            set_condition(status, "ScalingActive", "False", "InvalidSelector", told, now)
            return None
        matcher = parse_label_selector(selector)
        pods = [pod for pod in self.pods.objects(namespace) if matcher.matches(pod["metadata"].get("labels") or {})]
        self._selectors[namespace, hpa["metadata"]["name"]] = matcher
        rivals = self._claimants(namespace, pods)
        if len(rivals) > 1:
            told = f"pods by selector {selector} are controlled by multiple HPAs: [{' '.join(rivals)}]"
            self.emit(hpa, "Warning", "AmbiguousSelector", told)
            set_condition(status, "ScalingActive", "False", "AmbiguousSelector", told, now)
            self.emit(hpa, "Warning", "FailedComputeMetricsReplicas", told)
            return None
        best: tuple[int, str] | None = None
        statuses: list[Obj] = []
        failures: list[tuple[str, str, str]] = []  # (reason, words for the condition, words for the event)
        specs = hpa["spec"].get("metrics") or []
        for metric in specs:
            try:
                proposal, name = await self._propose(hpa, metric, namespace, selector, current, pods, now)
            except (MetricError, ApiError) as exc:
                failures.append(failure(metric, str(exc)))
                continue
            statuses.append(metric_status(metric, proposal))
            if best is None or proposal.replicas > best[0]:
                best = proposal.replicas, name
        for reason, text, _ in failures:
            self.emit(hpa, "Warning", reason, text)
        if failures and (best is None or best[0] < current):  # with a metric missing, shrinking is not safe
            reason, text, event = failures[0]
            told = f"the HPA was unable to compute the replica count: {text}"
            set_condition(status, "ScalingActive", "False", reason, told, now)
            message = f"invalid metrics ({len(failures)} invalid out of {len(specs)}), first error is: {event}"
            self.emit(hpa, "Warning", "FailedComputeMetricsReplicas", message)
            return None
        if best is None:
            best = 0, ""
        told = f"the HPA was able to successfully calculate a replica count from {best[1]}"
        set_condition(status, "ScalingActive", "True", "ValidMetricFound", told, now)
        return best[0], best[1], statuses

    def _claimants(self, namespace: str, pods: Sequence[Obj]) -> list[str]:
        """The autoscalers of the namespace whose targets' selectors match one of ``pods``."""
        return sorted(
            f"{namespace}/{name}"
            for (place, name), matcher in self._selectors.items()
            if place == namespace and any(matcher.matches(pod["metadata"].get("labels") or {}) for pod in pods)
        )

    async def _propose(
        self, hpa: Obj, metric: Obj, namespace: str, selector: str, current: int, pods: Sequence[Obj], now: float
    ) -> tuple[Proposal, str]:
        if metric["type"] == "Resource":
            source, container, kind = metric["resource"], "", "resource"
        elif metric["type"] == "ContainerResource":
            source, container, kind = metric["containerResource"], metric["containerResource"]["container"], "container resource"
        else:
            raise MetricError(unregistered(metric, namespace))
        target, resource = source["target"], source["name"]
        items = await self._pod_metrics(namespace, selector, resource)
        found = measures(items, resource, container)
        if not found:
            raise MetricError(f"unable to get metrics for resource {resource}: no metrics returned from resource metrics API")
        behavior = hpa["spec"].get("behavior") or {}
        growing = (behavior.get("scaleUp") or {}).get("tolerance")
        tolerance = float(quantity.parse(growing)) if growing is not None else TOLERANCE
        if target.get("averageValue") is not None:
            average = quantity.to_milli(target["averageValue"])
            proposal = propose(current, pods, found, resource, now, average=average, container=container, tolerance=tolerance)
            return proposal, f"{resource} {kind}"
        percent = int(target["averageUtilization"])
        proposal = propose(current, pods, found, resource, now, utilization=percent, container=container, tolerance=tolerance)
        return proposal, f"{resource} {kind} utilization (percentage of request)"

    async def _pod_metrics(self, namespace: str, selector: str, resource: str) -> list[Obj]:
        path = f"/apis/metrics.k8s.io/v1beta1/namespaces/{namespace}/pods"
        status, _, body = await self.context.client.request("GET", path, query={"labelSelector": selector})
        if status >= 400:
            error = error_of(status, body)
            words = f"{error} (get pods.metrics.k8s.io)" if "pods.metrics.k8s.io" not in str(error) else str(error)
            raise MetricError(
                f"unable to get metrics for resource {resource}: unable to fetch metrics from resource metrics API: {words}"
            )
        items: list[Obj] = orjson.loads(body).get("items") or []
        return items
