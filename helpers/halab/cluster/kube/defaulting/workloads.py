"""Defaults of apps, batch, autoscaling and policy."""

from __future__ import annotations

from halab.cluster.kube.defaulting.pods import claim_spec, pod_template
from halab.cluster.kube.types import Obj

INT32_MAX = 2**31 - 1
TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"


def deployment(obj: Obj) -> None:
    spec = obj["spec"]
    pod_template(spec["template"])
    spec.setdefault("replicas", 1)
    strategy = spec["strategy"]
    if strategy.setdefault("type", "RollingUpdate") == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", "25%")
        rolling.setdefault("maxSurge", "25%")
    spec.setdefault("revisionHistoryLimit", 10)
    spec.setdefault("progressDeadlineSeconds", 600)


def replica_set(obj: Obj) -> None:
    obj["spec"].setdefault("replicas", 1)
    pod_template(obj["spec"]["template"])


def daemon_set(obj: Obj) -> None:
    spec = obj["spec"]
    pod_template(spec["template"])
    strategy = spec["updateStrategy"]
    if strategy.setdefault("type", "RollingUpdate") == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", 1)
        rolling.setdefault("maxSurge", 0)
    spec.setdefault("revisionHistoryLimit", 10)


def stateful_set(obj: Obj) -> None:
    spec = obj["spec"]
    pod_template(spec["template"])
    spec.setdefault("podManagementPolicy", "OrderedReady")
    strategy = spec["updateStrategy"]
    if strategy.setdefault("type", "RollingUpdate") == "RollingUpdate":
        strategy.setdefault("rollingUpdate", {}).setdefault("partition", 0)
    retention = spec.setdefault("persistentVolumeClaimRetentionPolicy", {})
    retention.setdefault("whenDeleted", "Retain")
    retention.setdefault("whenScaled", "Retain")
    spec.setdefault("replicas", 1)
    spec.setdefault("revisionHistoryLimit", 10)
    for claim in spec.get("volumeClaimTemplates") or ():
        claim["apiVersion"], claim["kind"] = "v1", "PersistentVolumeClaim"
        claim["status"].setdefault("phase", "Pending")
        claim_spec(claim["spec"])


def job(obj: Obj) -> None:
    spec = obj["spec"]
    pod_template(spec["template"])
    if "completions" not in spec and "parallelism" not in spec:
        spec["completions"] = 1
    spec.setdefault("parallelism", 1)
    spec.setdefault("backoffLimit", INT32_MAX if "backoffLimitPerIndex" in spec else 6)
    labels = spec["template"]["metadata"].get("labels")
    if labels and not obj["metadata"].get("labels"):
        obj["metadata"]["labels"] = dict(labels)
    spec.setdefault("completionMode", "NonIndexed")
    spec.setdefault("suspend", False)
    spec.setdefault("manualSelector", False)
    policy = spec.get("podFailurePolicy")
    if policy:
        for rule in policy.get("rules") or ():
            for condition in rule.get("onPodConditions") or ():
                if not condition.get("status"):
                    condition["status"] = "True"
    spec.setdefault("podReplacementPolicy", "Failed" if policy else "TerminatingOrFailed")


def cron_job(obj: Obj) -> None:
    spec = obj["spec"]
    pod_template(spec["jobTemplate"]["spec"]["template"])
    spec.setdefault("concurrencyPolicy", "Allow")
    spec.setdefault("suspend", False)
    spec.setdefault("successfulJobsHistoryLimit", 3)
    spec.setdefault("failedJobsHistoryLimit", 1)


def autoscaler(obj: Obj) -> None:
    spec = obj["spec"]
    spec.setdefault("minReplicas", 1)
    if not spec.get("metrics"):
        target = {"type": "Utilization", "averageUtilization": 80}
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
    behavior = spec.get("behavior")
    if behavior is not None:
        behavior["scaleUp"] = _rules(behavior.get("scaleUp"), 0, [("Pods", 4), ("Percent", 100)])
        behavior["scaleDown"] = _rules(behavior.get("scaleDown"), None, [("Percent", 100)])


def _rules(given: Obj | None, window: int | None, policies: list[tuple[str, int]]) -> Obj:
    rules = dict(given or {})
    if window is not None:
        rules.setdefault("stabilizationWindowSeconds", window)
    rules.setdefault("selectPolicy", "Max")
    if not rules.get("policies"):
        rules["policies"] = [{"type": kind, "value": value, "periodSeconds": 15} for kind, value in policies]
    return rules


def autoscaler_v1(obj: Obj) -> None:
    obj["spec"].setdefault("minReplicas", 1)
