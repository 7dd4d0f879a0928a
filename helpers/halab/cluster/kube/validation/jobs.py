"""Rules of Jobs and CronJobs."""

from __future__ import annotations

import re
import zoneinfo
from typing import Any

from halab.cluster.kube.selectors import from_label_selector
from halab.cluster.kube.status import OMITTED, FieldError, duplicate, invalid_value, not_supported, required, too_long, too_many
from halab.cluster.kube.types import Obj
from halab.cluster.kube.validation import names, pods
from halab.cluster.kube.validation.cron import schedule_fault
from halab.cluster.kube.validation.meta import (
    IMMUTABLE,
    Errors,
    add,
    core_finalizers,
    label_name,
    label_selector,
    metadata,
    metadata_update,
    not_negative,
    shown_selector,
)  # fmt: skip

_INDEXED_LIMIT = 100_000
_ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")
_LABELS = ("controller-uid", "job-name", "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name")


def job(errors: Errors, obj: Obj) -> None:
    meta, spec = obj["metadata"], obj["spec"]
    metadata(errors, meta, True, names.subdomain)
    core_finalizers(errors, meta)
    _generated_selector(errors, obj)
    _whole_spec(errors, spec)
    completions = spec.get("completions")
    if spec.get("completionMode") == "Indexed" and completions and completions > 0:
        hostname = f"{meta.get('name', '')}-{completions - 1}"
        if names.label(hostname):
            detail = f"will not able to create pod with invalid DNS label: {hostname}"
            errors.append(invalid_value("metadata.name", meta.get("name") or "", detail))


def _generated_selector(errors: Errors, obj: Obj) -> None:
    meta, spec = obj["metadata"], obj["spec"]
    if spec.get("manualSelector") or spec.get("selector") is None:
        return
    if not meta.get("uid"):
        errors.append(required("metadata.uid"))
    labels = spec["template"]["metadata"].get("labels") or {}
    expected = {name: (meta.get("uid") if name.endswith("uid") else meta.get("name")) or "" for name in _LABELS}
    for name, value in expected.items():
        path = f"spec.template.metadata.labels[{name}]"
        if name not in labels:
            errors.append(required(path, f"must be '{value}'"))
        elif labels[name] != value:
            errors.append(invalid_value(path, dict(sorted(labels.items())), f"must be '{value}'"))
    try:
        matched = from_label_selector(spec["selector"]).matches(expected)
    except ValueError:
        return
    if not matched:
        errors.append(invalid_value("spec.selector", shown_selector(spec["selector"]), "`selector` not auto-generated"))


def _whole_spec(errors: Errors, spec: Obj) -> None:
    _spec(errors, spec, "spec")
    selector = spec.get("selector")
    if selector is None:
        errors.append(required("spec.selector"))
        return
    label_selector(errors, selector, "spec.selector")
    labels = spec["template"]["metadata"].get("labels")
    try:
        matched = from_label_selector(selector).matches(labels or {})
    except ValueError:
        return
    if not matched:
        shown = dict(sorted(labels.items())) if labels else None
        errors.append(invalid_value("spec.template.metadata.labels", shown, "`selector` does not match template `labels`"))


def _spec(errors: Errors, spec: Obj, path: str) -> None:
    for field in (
        "parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished", "backoffLimitPerIndex",
        "maxFailedIndexes",
    ):  # fmt: skip
        not_negative(errors, spec.get(field), f"{path}.{field}")
    if "maxFailedIndexes" in spec and "backoffLimitPerIndex" not in spec:
        errors.append(required(f"{path}.backoffLimitPerIndex", "when maxFailedIndexes is specified"))
    if "managedBy" in spec:
        _managed_by(errors, spec["managedBy"], f"{path}.managedBy")
    _completion_mode(errors, spec, path)
    if "podFailurePolicy" in spec:
        _failure_policy(errors, spec, f"{path}.podFailurePolicy")
    if "successPolicy" in spec:
        if spec.get("completionMode") != "Indexed":
            shown = {"Rules": spec["successPolicy"].get("rules")}
            errors.append(invalid_value(f"{path}.successPolicy", shown, "requires indexed completion mode"))
        else:
            _success_policy(errors, spec, f"{path}.successPolicy")
    replacement = spec.get("podReplacementPolicy")
    if replacement is not None:
        supported = ["Failed"] if "podFailurePolicy" in spec else ["Failed", "TerminatingOrFailed"]
        if replacement not in supported:
            errors.append(not_supported(f"{path}.podReplacementPolicy", replacement, supported))
    pods.template(errors, spec["template"], f"{path}.template")
    policy, at = spec["template"]["spec"].get("restartPolicy") or "", f"{path}.template.spec.restartPolicy"
    if policy in ("", "Always"):
        errors.append(required(at, 'valid values: "OnFailure", "Never"'))
    elif policy not in ("OnFailure", "Never"):
        errors.append(not_supported(at, policy, ["OnFailure", "Never"]))
    elif "podFailurePolicy" in spec and policy != "Never":
        errors.append(invalid_value(at, policy, 'only "Never" is supported when podFailurePolicy is specified'))


def _managed_by(errors: Errors, value: str, path: str) -> None:
    host, slash, rest = value.partition("/")
    if not value:
        errors.append(required(path))
    elif not slash or not host or not rest:
        errors.append(invalid_value(path, value, 'must be a domain-prefixed path (such as "acme.io/foo")'))
    else:
        add(errors, path, host, names.subdomain(host))
        add(errors, path, rest, names.http_path(rest))
    if len(value) > 63:
        errors.append(too_long(path, 63))


def _completion_mode(errors: Errors, spec: Obj, path: str) -> None:
    mode, completions, parallelism, failed = (
        spec.get(n) for n in ("completionMode", "completions", "parallelism", "maxFailedIndexes")
    )
    if mode is not None and mode not in ("NonIndexed", "Indexed"):
        errors.append(not_supported(f"{path}.completionMode", mode, ["NonIndexed", "Indexed"]))
    if mode == "Indexed":
        if completions is None:
            errors.append(required(f"{path}.completions", "when completion mode is Indexed"))
        if parallelism is not None and parallelism > _INDEXED_LIMIT:
            detail = f"must be less than or equal to {_INDEXED_LIMIT} when completion mode is Indexed"
            errors.append(invalid_value(f"{path}.parallelism", parallelism, detail))
        if completions is not None and failed is not None and failed > completions:
            errors.append(invalid_value(f"{path}.maxFailedIndexes", failed, "must be less than or equal to completions"))
        if failed is not None and failed > _INDEXED_LIMIT:
            errors.append(invalid_value(f"{path}.maxFailedIndexes", failed, f"must be less than or equal to {_INDEXED_LIMIT}"))
    elif mode in (None, "NonIndexed"):
        for field in ("backoffLimitPerIndex", "maxFailedIndexes"):
            if field in spec:
                errors.append(invalid_value(f"{path}.{field}", spec[field], "requires indexed completion mode"))


def _failure_policy(errors: Errors, spec: Obj, path: str) -> None:
    rules = spec["podFailurePolicy"].get("rules") or []
    if len(rules) > 20:
        errors.append(too_many(f"{path}.rules", len(rules), 20))
    known = {c.get("name") for group in ("containers", "initContainers") for c in spec["template"]["spec"].get(group) or ()}
    for index, rule in enumerate(rules):
        at, action = f"{path}.rules[{index}]", rule.get("action") or ""
        if not action:
            errors.append(required(f"{at}.action", f"valid values: {_go_list(_ACTIONS)}"))
        elif action == "FailIndex":
            if "backoffLimitPerIndex" not in spec:
                errors.append(invalid_value(f"{at}.action", action, "requires the backoffLimitPerIndex to be set"))
        elif action not in _ACTIONS:
            errors.append(not_supported(f"{at}.action", action, _ACTIONS))
        codes, conditions = rule.get("onExitCodes"), rule.get("onPodConditions")
        if codes is not None:
            _exit_codes(errors, codes, known, f"{at}.onExitCodes")
        for number, condition in enumerate(conditions or ()):
            label_name(errors, condition.get("type") or "", f"{at}.onPodConditions[{number}].type")
            if condition.get("status") not in ("True", "False", "Unknown"):
                supported = ["False", "True", "Unknown"]
                errors.append(not_supported(f"{at}.onPodConditions[{number}].status", condition.get("status") or "", supported))
        if codes is not None and conditions:
            errors.append(invalid_value(at, OMITTED, "specifying both OnExitCodes and OnPodConditions is not supported"))
        if codes is None and not conditions:
            errors.append(invalid_value(at, OMITTED, "specifying one of OnExitCodes and OnPodConditions is required"))


def _go_list(values: tuple[str, ...]) -> str:
    return "[" + " ".join(f'"{v}"' for v in values) + "]"


def _exit_codes(errors: Errors, rule: Obj, known: set[Any], path: str) -> None:
    operator, values = rule.get("operator") or "", rule.get("values") or []
    if not operator:
        errors.append(required(f"{path}.operator", f"valid values: {_go_list(('In', 'NotIn'))}"))
    elif operator not in ("In", "NotIn"):
        errors.append(not_supported(f"{path}.operator", operator, ["In", "NotIn"]))
    if "containerName" in rule and rule["containerName"] not in known:
        detail = "must be one of the container or initContainer names in the pod template"
        errors.append(invalid_value(f"{path}.containerName", rule["containerName"], detail))
    if not values:
        errors.append(invalid_value(f"{path}.values", rule.get("values"), "at least one value is required"))
    elif len(values) > 255:
        errors.append(too_many(f"{path}.values", len(values), 255))
    for index, value in enumerate(values):
        if operator == "In" and value == 0:
            errors.append(invalid_value(f"{path}.values[{index}]", value, "must not be 0 for the In operator"))
        if value in values[:index]:
            errors.append(duplicate(f"{path}.values[{index}]", value))
    if values != sorted(values):
        errors.append(invalid_value(f"{path}.values", values, "must be ordered"))


def _success_policy(errors: Errors, spec: Obj, path: str) -> None:
    rules, completions = spec["successPolicy"].get("rules") or [], spec.get("completions") or 0
    if not rules:
        errors.append(required(f"{path}.rules", "at least one rules must be specified when the successPolicy is specified"))
    if len(rules) > 20:
        errors.append(too_many(f"{path}.rules", len(rules), 20))
    for index, rule in enumerate(rules):
        at, count = f"{path}.rules[{index}]", rule.get("succeededCount")
        if count is None and "succeededIndexes" not in rule:
            errors.append(required(at, "at least one of succeededCount or succeededIndexes must be specified"))
        if count is not None:
            not_negative(errors, count, f"{at}.succeededCount")
            if count > completions:
                detail = f"must be less than or equal to {completions} (the number of specified completions)"
                errors.append(invalid_value(f"{at}.succeededCount", count, detail))


def job_update(errors: Errors, new: Obj, old: Obj) -> None:
    metadata_update(errors, new["metadata"], old["metadata"])
    spec, before = new["spec"], old["spec"]
    _whole_spec(errors, spec)
    _completions(errors, spec, before)
    if spec.get("selector") != before.get("selector"):
        errors.append(invalid_value("spec.selector", shown_selector(spec.get("selector")), IMMUTABLE))
    if _template(spec, _placement_is_free(old)) != _template(before, _placement_is_free(old)):
        errors.append(invalid_value("spec.template", spec["template"], IMMUTABLE))
    for field in ("completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"):
        if spec.get(field) != before.get(field):
            errors.append(invalid_value(f"spec.{field}", spec.get(field), IMMUTABLE))


def _completions(errors: Errors, spec: Obj, before: Obj) -> None:
    new = spec.get("completions")
    if new == before.get("completions"):
        return
    if spec.get("completionMode") != "Indexed":
        errors.append(invalid_value("spec.completions", new, IMMUTABLE))
    elif new is not None and new != spec.get("parallelism"):
        errors.append(invalid_value("spec.completions", new, "can only be modified in tandem with spec.parallelism"))


def _placement_is_free(old: Obj) -> bool:
    """A suspended job that never started may still be told where its pods go."""
    return bool(old["spec"].get("suspend")) and not old["status"].get("startTime")


_DIRECTIVES = ("nodeSelector", "tolerations", "schedulingGates")


def _template(spec: Obj, free: bool) -> Obj:
    template: Obj = spec["template"]
    if not free:
        return template
    pod = {n: v for n, v in template["spec"].items() if n not in _DIRECTIVES}
    rest = {n: v for n, v in (pod.pop("affinity", None) or {}).items() if n != "nodeAffinity"}
    if rest:
        pod["affinity"] = rest
    meta = {n: v for n, v in template["metadata"].items() if n not in ("labels", "annotations")}
    return {"metadata": meta, "spec": pod}


def job_status_update(errors: Errors, new: Obj, old: Obj) -> None:
    metadata_update(errors, new["metadata"], old["metadata"])
    status, before = new["status"], old["status"]
    for field in ("active", "succeeded", "failed", "ready", "terminating"):
        not_negative(errors, status.get(field), f"status.{field}")
    now, was = _true_conditions(status), _true_conditions(before)
    finished = {"Complete", "Failed"} & now

    def refuse(field: str, detail: str) -> None:
        errors.append(FieldError(f"status.{field}", "FieldValueInvalid", detail))

    if {"Complete", "Failed"} <= now:
        refuse("conditions", "cannot set Complete=True and Failed=true conditions")
    if {"Complete", "FailureTarget"} <= now:
        refuse("conditions", "cannot set Complete=True and FailureTarget=true conditions")
    if "completionTime" in status and "Complete" not in now:
        detail = "cannot set completionTime when there is no Complete=True condition"
        errors.append(invalid_value("status.completionTime", status["completionTime"], detail))
    if "Complete" in now and "completionTime" not in status:
        errors.append(required("status.completionTime", "completionTime is required for Complete jobs"))
    if "Failed" in now and "FailureTarget" not in now:
        refuse("conditions", "cannot set Failed=True condition without the FailureTarget=true condition")
    if "Complete" in now and "SuccessCriteriaMet" not in now:
        refuse("conditions", "cannot set Complete=True condition without the SuccessCriteriaMet=true condition")
    if finished and status.get("active"):
        errors.append(invalid_value("status.active", status["active"], "active>0 is invalid for finished job"))
    if finished and "startTime" not in status:
        errors.append(required("status.startTime", "startTime is required for finished job"))
    if finished and status.get("terminating"):
        errors.append(invalid_value("status.terminating", status["terminating"], "terminating>0 is invalid for finished job"))
    if (status.get("ready") or 0) > (status.get("active") or 0):
        errors.append(invalid_value("status.ready", status["ready"], "cannot set more ready pods than active"))
    for condition in ("Failed", "Complete", "FailureTarget"):
        if condition in was and condition not in now:
            refuse("conditions", f"cannot disable the terminal {condition}=True condition")
    for field in ("failed", "succeeded"):
        if (status.get(field) or 0) < (before.get(field) or 0):
            errors.append(invalid_value(f"status.{field}", status.get(field) or 0, f"cannot decrease the {field} counter"))
    if "startTime" in before and before["startTime"] != status.get("startTime") and not new["spec"].get("suspend"):
        errors.append(required("status.startTime", "startTime cannot be removed for unsuspended job"))


def _true_conditions(status: Obj) -> set[str]:
    return {c["type"] for c in status.get("conditions") or () if c.get("status") == "True"}


def cron_job(errors: Errors, obj: Obj) -> None:
    meta = obj["metadata"]
    metadata(errors, meta, True, names.subdomain)
    core_finalizers(errors, meta)
    _cron_spec(errors, obj["spec"], None)
    if len(meta.get("name") or "") > 52:
        errors.append(invalid_value("metadata.name", meta["name"], "must be no more than 52 characters"))


def cron_job_update(errors: Errors, new: Obj, old: Obj) -> None:
    metadata_update(errors, new["metadata"], old["metadata"])
    _cron_spec(errors, new["spec"], old["spec"])


def _cron_spec(errors: Errors, spec: Obj, before: Obj | None) -> None:
    schedule = spec.get("schedule") or ""
    if not schedule:
        errors.append(required("spec.schedule"))
    else:
        fault = schedule_fault(schedule)
        if fault:
            errors.append(invalid_value("spec.schedule", schedule, fault))
        allowed = before is not None and "TZ" in (before.get("schedule") or "")
        if "TZ" in schedule and not allowed:
            errors.append(
                invalid_value("spec.schedule", schedule, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead")
            )
        elif "TZ" in schedule and "timeZone" in spec:
            errors.append(
                invalid_value("spec.schedule", schedule, "cannot use both timeZone field and TZ or CRON_TZ in schedule")
            )
    not_negative(errors, spec.get("startingDeadlineSeconds"), "spec.startingDeadlineSeconds")
    if before is None or before.get("timeZone") != spec.get("timeZone"):
        _time_zone(errors, spec.get("timeZone"), "spec.timeZone")
    policy = spec.get("concurrencyPolicy") or ""
    if not policy:
        errors.append(required("spec.concurrencyPolicy"))
    elif policy not in ("Allow", "Forbid", "Replace"):
        errors.append(not_supported("spec.concurrencyPolicy", policy, ["Allow", "Forbid", "Replace"]))
    template = spec["jobTemplate"]["spec"]
    _spec(errors, template, "spec.jobTemplate.spec")
    if template.get("selector") is not None:
        shown = shown_selector(template["selector"])
        errors.append(invalid_value("spec.jobTemplate.spec.selector", shown, "`selector` will be auto-generated"))
    if template.get("manualSelector"):
        errors.append(not_supported("spec.jobTemplate.spec.manualSelector", True, ["nil", "false"]))
    for field in ("successfulJobsHistoryLimit", "failedJobsHistoryLimit"):
        not_negative(errors, spec.get(field), f"spec.{field}")


def _time_zone(errors: Errors, zone: str | None, path: str) -> None:
    if zone is None:
        return
    if not zone:
        errors.append(invalid_value(path, zone, "timeZone must be nil or non-empty string"))
        return
    for part in zone.split("/"):
        if part in (".", "..") or part.startswith("-") or not re.fullmatch(r"[A-Za-z._0-9+-]{1,14}", part):
            errors.append(invalid_value(path, zone, f"unknown time zone {zone}"))
            return
    if zone.lower() == "local":
        detail = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
        errors.append(invalid_value(path, zone, detail))
    elif not _exists(zone) and _exists("Europe/London"):  # a machine without time zones knows none to compare with
        errors.append(invalid_value(path, zone, f"unknown time zone {zone}"))


def _exists(zone: str) -> bool:
    try:
        zoneinfo.ZoneInfo(zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True
