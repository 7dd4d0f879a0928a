"""Nodes, namespaces, events, configuration, quotas and accounts."""

from __future__ import annotations

from datetime import datetime

from halab.cluster.kube.tables.columns import (
    AGE,
    NAME,
    NONE,
    UNKNOWN,
    Cells,
    Column,
    Layout,
    age,
    at,
    duration,
    meta,
    name_of,
    number,
    since,
    spec_of,
    status_of,
    text,
    wide,
)
from halab.cluster.kube.types import Obj

_ROLE = "node-role.kubernetes.io/"


def _node(obj: Obj, now: datetime) -> Cells:
    status, info = status_of(obj), at(obj, "status", "nodeInfo", default={})
    ready = next((c.get("status") for c in status.get("conditions") or () if c.get("type") == "Ready"), None)
    states = ["Unknown" if ready is None else "Ready" if ready == "True" else "NotReady"]
    if spec_of(obj).get("unschedulable"):
        states.append("SchedulingDisabled")
    labels = meta(obj).get("labels") or {}
    roles = {key.removeprefix(_ROLE) for key in labels if key.startswith(_ROLE)} | {labels.get("kubernetes.io/role", "")}
    return [
        name_of(obj),
        ",".join(states),
        ",".join(sorted(filter(None, roles))) or NONE,
        age(obj, now),
        info.get("kubeletVersion", ""),
        _address(status, "InternalIP"),
        _address(status, "ExternalIP"),
        info.get("osImage") or UNKNOWN,
        info.get("kernelVersion") or UNKNOWN,
        info.get("containerRuntimeVersion") or UNKNOWN,
    ]


def _address(status: Obj, kind: str) -> str:
    return next((str(a.get("address")) for a in status.get("addresses") or () if a.get("type") == kind), NONE)


def _event(obj: Obj, now: datetime) -> Cells:
    """An event of either group: events.k8s.io names the same fields otherwise."""
    series = obj.get("series") or {}
    involved = obj.get("involvedObject") or obj.get("regarding") or {}
    first = since(obj.get("firstTimestamp") or obj.get("deprecatedFirstTimestamp") or obj.get("eventTime"), now)
    last_seen = series.get("lastObservedTime") or obj.get("lastTimestamp") or obj.get("deprecatedLastTimestamp")
    count = series.get("count") or obj.get("count") or obj.get("deprecatedCount") or 1
    source = obj.get("source") or obj.get("deprecatedSource") or {}
    component = source.get("component") or obj.get("reportingComponent") or obj.get("reportingController") or ""
    host = source.get("host") or obj.get("reportingInstance") or ""
    target = str(involved.get("kind", "")).lower()
    return [
        since(last_seen, now) if last_seen else first,
        obj.get("type", ""),
        obj.get("reason", ""),
        f"{target}/{involved['name']}" if involved.get("name") else target,
        involved.get("fieldPath", ""),
        f"{component}, {host}" if host else component,
        str(obj.get("message") or obj.get("note") or "").strip(),
        first,
        count,
        name_of(obj),
    ]


def _namespace(obj: Obj, now: datetime) -> Cells:
    return [name_of(obj), status_of(obj).get("phase", ""), age(obj, now)]


def _secret(obj: Obj, now: datetime) -> Cells:
    return [name_of(obj), obj.get("type", ""), len(obj.get("data") or ()), age(obj, now)]


def _config_map(obj: Obj, now: datetime) -> Cells:
    return [name_of(obj), len(obj.get("data") or ()) + len(obj.get("binaryData") or ()), age(obj, now)]


def _service_account(obj: Obj, now: datetime) -> Cells:
    return [name_of(obj), len(obj.get("secrets") or ()), age(obj, now)]


def _quota(obj: Obj, now: datetime) -> Cells:
    hard, used = at(obj, "status", "hard", default={}), at(obj, "status", "used", default={})
    columns: dict[bool, list[str]] = {False: [], True: []}
    for resource in sorted(hard):
        columns[resource.startswith("limits")].append(f"{resource}: {used.get(resource, '0')}/{hard[resource]}")
    return [name_of(obj), ", ".join(columns[False]), ", ".join(columns[True]), age(obj, now)]


def _component_status(obj: Obj, now: datetime) -> Cells:
    healthy: Obj = next((c for c in obj.get("conditions") or () if c.get("type") == "Healthy"), {})
    state = {"True": "Healthy", "": "Unknown"}.get(healthy.get("status", ""), "Unhealthy")
    return [name_of(obj), state, healthy.get("message", ""), healthy.get("error", "")]


def _priority_class(obj: Obj, now: datetime) -> Cells:
    policy = obj.get("preemptionPolicy") or "PreemptLowerPriority"
    return [name_of(obj), obj.get("value", 0), bool(obj.get("globalDefault")), age(obj, now), policy]


def _runtime_class(obj: Obj, now: datetime) -> Cells:
    return [name_of(obj), obj.get("handler", ""), age(obj, now)]


def _lease(obj: Obj, now: datetime) -> Cells:
    return [name_of(obj), spec_of(obj).get("holderIdentity") or "", age(obj, now)]


def _binding(obj: Obj, now: datetime) -> Cells:
    role, subjects = obj.get("roleRef") or {}, obj.get("subjects") or ()
    users = [s.get("name", "") for s in subjects if s.get("kind") == "User"]
    groups = [s.get("name", "") for s in subjects if s.get("kind") == "Group"]
    accounts = [f"{s.get('namespace', '')}/{s.get('name', '')}" for s in subjects if s.get("kind") == "ServiceAccount"]
    lists = [", ".join(names) for names in (users, groups, accounts)]
    return [name_of(obj), f"{role.get('kind', '')}/{role.get('name', '')}", age(obj, now), *lists]


def _webhooks(obj: Obj, now: datetime) -> Cells:
    return [name_of(obj), len(obj.get("webhooks") or ()), age(obj, now)]


def _admission_policy(obj: Obj, now: datetime) -> Cells:
    param = spec_of(obj).get("paramKind")
    kind = UNSET_PARAM if not param else f"{param.get('apiVersion', '')}/{param.get('kind', '')}"
    return [name_of(obj), len(spec_of(obj).get("validations") or ()), kind, age(obj, now)]


def _admission_binding(obj: Obj, now: datetime) -> Cells:
    param = spec_of(obj).get("paramRef")
    if not param:
        reference = UNSET_PARAM
    elif param.get("namespace"):
        reference = f"{param['namespace']}/{param.get('name', '')}"
    else:
        reference = f"*/{param.get('name', '')}"
    return [name_of(obj), spec_of(obj).get("policyName", ""), reference, age(obj, now)]


def _api_service(obj: Obj, now: datetime) -> Cells:
    service = spec_of(obj).get("service")
    available: Obj = next((c for c in status_of(obj).get("conditions") or () if c.get("type") == "Available"), {})
    state = "True" if available.get("status") == "True" else f"{available.get('status', UNKNOWN)} ({available.get('reason', '')})"
    return [name_of(obj), f"{service['namespace']}/{service['name']}" if service else "Local", state, age(obj, now)]


def _signing_request(obj: Obj, now: datetime) -> Cells:
    spec, state = spec_of(obj), status_of(obj)
    found = {condition.get("type") for condition in state.get("conditions") or ()}
    words = ["Denied" if "Denied" in found else "Approved" if "Approved" in found else "Pending"]
    words += ["Failed"] if "Failed" in found else []
    words += ["Issued"] if state.get("certificate") else []
    seconds = spec.get("expirationSeconds")
    wanted = duration(seconds) if seconds is not None else NONE
    return [name_of(obj), age(obj, now), spec.get("signerName") or NONE, spec.get("username", ""), wanted, ",".join(words)]


UNSET_PARAM = "<unset>"
_SUBJECTS = (wide("Users"), wide("Groups"), wide("ServiceAccounts"))
_BINDING = Layout((NAME, text("Role"), AGE, *_SUBJECTS), _binding)
_EVENT = Layout(
    (
        text("Last Seen"),
        text("Type"),
        text("Reason"),
        text("Object"),
        wide("Subobject"),
        wide("Source"),
        text("Message"),
        wide("First Seen"),
        wide("Count"),
        Column("Name", format="name", priority=1, description=NAME.description),
    ),
    _event,
)
_WEBHOOKS = Layout((NAME, number("Webhooks"), AGE), _webhooks)

LAYOUTS = {
    ("", "Node"): Layout(
        (
            NAME,
            text("Status", "The status of the node"),
            text("Roles", "The roles of the node"),
            AGE,
            text("Version", "Kubelet Version reported by the node."),
            wide("Internal-IP"),
            wide("External-IP"),
            wide("OS-Image"),
            wide("Kernel-Version"),
            wide("Container-Runtime"),
        ),
        _node,
    ),
    ("", "Event"): _EVENT,
    ("events.k8s.io", "Event"): _EVENT,
    ("", "Namespace"): Layout((NAME, text("Status", "The status of the namespace"), AGE), _namespace),
    ("", "Secret"): Layout((NAME, text("Type"), text("Data"), AGE), _secret),
    ("", "ConfigMap"): Layout((NAME, text("Data"), AGE), _config_map),
    ("", "ServiceAccount"): Layout((NAME, text("Secrets"), AGE), _service_account),
    ("", "ResourceQuota"): Layout(
        (
            NAME,
            text("Request", "Request represents a minimum amount of cpu/memory that a container may consume."),
            text(
                "Limit",
                "Limits control the maximum amount of cpu/memory that a container may use independent of contention on the node.",
            ),
            AGE,
        ),
        _quota,
    ),
    ("", "ComponentStatus"): Layout((NAME, text("Status"), text("Message"), text("Error")), _component_status),
    ("scheduling.k8s.io", "PriorityClass"): Layout(
        (NAME, number("Value"), Column("Global-Default", "boolean"), AGE, text("PreemptionPolicy")), _priority_class
    ),
    ("node.k8s.io", "RuntimeClass"): Layout((NAME, text("Handler"), AGE), _runtime_class),
    ("coordination.k8s.io", "Lease"): Layout((NAME, text("Holder"), AGE), _lease),
    ("rbac.authorization.k8s.io", "RoleBinding"): _BINDING,
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): _BINDING,
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"): _WEBHOOKS,
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"): _WEBHOOKS,
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"): Layout(
        (NAME, number("Validations"), text("ParamKind"), AGE), _admission_policy
    ),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"): Layout(
        (NAME, text("PolicyName"), text("ParamRef"), AGE), _admission_binding
    ),
    ("certificates.k8s.io", "CertificateSigningRequest"): Layout(
        (NAME, AGE, text("SignerName"), text("Requestor"), text("RequestedDuration"), text("Condition")), _signing_request
    ),
    ("apiregistration.k8s.io", "APIService"): Layout((NAME, text("Service"), text("Available"), AGE), _api_service),
}
