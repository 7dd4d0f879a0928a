"""Defaults of networking, discovery, rbac, storage, scheduling, admissionregistration, apiextensions and apiregistration."""

from __future__ import annotations

from halab.cluster.kube.types import Obj

RBAC = "rbac.authorization.k8s.io"


def network_policy(obj: Obj) -> None:
    spec = obj["spec"]
    for direction in ("ingress", "egress"):
        for rule in spec.get(direction) or ():
            for port in rule.get("ports") or ():
                port.setdefault("protocol", "TCP")
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]


def ingress_class(obj: Obj) -> None:
    parameters = obj["spec"].get("parameters")
    if parameters and parameters.get("scope") is None:
        parameters["scope"] = "Cluster"


def token_request(obj: Obj) -> None:
    if obj["spec"].get("expirationSeconds") is None:
        obj["spec"]["expirationSeconds"] = 3600


def endpoint_slice(obj: Obj) -> None:
    for port in obj.get("ports") or ():
        port.setdefault("name", "")
        port.setdefault("protocol", "TCP")


def binding(obj: Obj) -> None:
    if not obj["roleRef"].get("apiGroup"):
        obj["roleRef"]["apiGroup"] = RBAC
    for subject in obj.get("subjects") or ():
        if subject.get("kind") in ("User", "Group"):
            subject.setdefault("apiGroup", RBAC)


def storage_class(obj: Obj) -> None:
    obj.setdefault("reclaimPolicy", "Delete")
    obj.setdefault("volumeBindingMode", "Immediate")


def csi_driver(obj: Obj) -> None:
    spec = obj["spec"]
    spec.setdefault("attachRequired", True)
    spec.setdefault("podInfoOnMount", False)
    spec.setdefault("storageCapacity", False)
    spec.setdefault("fsGroupPolicy", "ReadWriteOnceWithFSType")
    spec.setdefault("volumeLifecycleModes", ["Persistent"])
    spec.setdefault("requiresRepublish", False)
    spec.setdefault("seLinuxMount", False)


def priority_class(obj: Obj) -> None:
    obj.setdefault("preemptionPolicy", "PreemptLowerPriority")


def webhooks(obj: Obj, mutating: bool = False) -> None:
    for hook in obj.get("webhooks") or ():
        hook.setdefault("failurePolicy", "Fail")
        hook.setdefault("matchPolicy", "Equivalent")
        hook.setdefault("namespaceSelector", {})
        hook.setdefault("objectSelector", {})
        hook.setdefault("timeoutSeconds", 10)
        if mutating:
            hook.setdefault("reinvocationPolicy", "Never")
        if "service" in hook["clientConfig"]:
            hook["clientConfig"]["service"].setdefault("port", 443)
        for rule in hook.get("rules") or ():
            rule.setdefault("scope", "*")


def mutating_webhooks(obj: Obj) -> None:
    webhooks(obj, mutating=True)


def _match_resources(match: Obj) -> None:
    match.setdefault("matchPolicy", "Equivalent")
    match.setdefault("namespaceSelector", {})
    match.setdefault("objectSelector", {})
    for name in ("resourceRules", "excludeResourceRules"):
        for rule in match.get(name) or ():
            rule.setdefault("scope", "*")


def admission_policy(obj: Obj) -> None:
    obj["spec"].setdefault("failurePolicy", "Fail")
    if "matchConstraints" in obj["spec"]:
        _match_resources(obj["spec"]["matchConstraints"])


def admission_policy_binding(obj: Obj) -> None:
    if "matchResources" in obj["spec"]:
        _match_resources(obj["spec"]["matchResources"])


def custom_resource_definition(obj: Obj) -> None:
    spec = obj["spec"]
    names = spec["names"]
    if names.get("kind"):
        names.setdefault("singular", names["kind"].lower())
        names.setdefault("listKind", f"{names['kind']}List")
    conversion = spec.setdefault("conversion", {"strategy": "None"})
    service = ((conversion.get("webhook") or {}).get("clientConfig") or {}).get("service")
    if service:
        service.setdefault("port", 443)


def api_service(obj: Obj) -> None:
    if obj["spec"].get("service"):
        obj["spec"]["service"].setdefault("port", 443)


def flow_schema(obj: Obj) -> None:
    if not obj["spec"].get("matchingPrecedence"):
        obj["spec"]["matchingPrecedence"] = 1000


def priority_level(obj: Obj) -> None:
    spec = obj["spec"]
    if "exempt" in spec:
        spec["exempt"].setdefault("nominalConcurrencyShares", 0)
        spec["exempt"].setdefault("lendablePercent", 0)
    if "limited" in spec:
        spec["limited"].setdefault("nominalConcurrencyShares", 30)
        spec["limited"].setdefault("lendablePercent", 0)
        queuing: Obj | None = (spec["limited"].get("limitResponse") or {}).get("queuing")
        if queuing is not None:
            for name, value in (("handSize", 8), ("queues", 64), ("queueLengthLimit", 50)):
                queuing[name] = queuing.get(name) or value


def _device_requests(devices: Obj) -> None:
    for request in devices.get("requests") or ():
        for wanted in (*([request["exactly"]] if "exactly" in request else ()), *(request.get("firstAvailable") or ())):
            if not wanted.get("allocationMode"):
                wanted["allocationMode"] = "ExactCount"
            if wanted["allocationMode"] == "ExactCount" and not wanted.get("count"):
                wanted["count"] = 1


def resource_claim(obj: Obj) -> None:
    _device_requests(obj["spec"].get("devices") or {})


def resource_claim_template(obj: Obj) -> None:
    _device_requests(obj["spec"]["spec"].get("devices") or {})
