"""Rules of pods, pod specs and pod templates, and of what may change in a pod."""

from __future__ import annotations

import re

from halab.cluster.kube.godiff import go_diff
from halab.cluster.kube.status import duplicate, forbidden_field, invalid_value, not_supported, required
from halab.cluster.kube.types import Obj
from halab.cluster.kube.validation import containers, names, placement, resources, security
from halab.cluster.kube.validation.containers import Context
from halab.cluster.kube.validation.meta import (
    IMMUTABLE,
    Errors,
    add,
    annotation_map,
    core_finalizers,
    label_name,
    labels,
    metadata,
    metadata_update,
)  # fmt: skip
from halab.cluster.kube.validation.pod_resources import of_the_whole
from halab.cluster.kube.validation.volumes import volumes

APP_ARMOR = "container.apparmor.security.beta.kubernetes.io/"
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
MIRROR = "kubernetes.io/config.mirror"
RESTART_POLICIES = ("Always", "OnFailure", "Never")
DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
INT32_MAX = 2**31 - 1
_UPDATABLE = (
    "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to"
    " existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def pod_spec(errors: Errors, spec: Obj, path: str, pod_name: str = "", is_pod: bool = False) -> None:
    grace = spec.get("terminationGracePeriodSeconds")
    if grace is None:
        errors.append(required(f"{path}.terminationGracePeriodSeconds"))
    host_users = spec.get("hostUsers") is not False
    known = volumes(errors, spec["volumes"], pod_name, f"{path}.volumes") if "volumes" in spec else {}
    claims = frozenset(c["name"] for c in spec.get("resourceClaims") or () if c.get("name"))
    if "resourceClaims" in spec:
        _resource_claims(errors, spec["resourceClaims"], f"{path}.resourceClaims", pod_name)
    context = Context(known, claims, grace, spec.get("restartPolicy") or "", host_users)
    ordinary, init = spec.get("containers") or [], spec.get("initContainers") or []
    containers.ordinary(errors, ordinary, context, f"{path}.containers")
    if init:
        containers.init(errors, init, ordinary, context, f"{path}.initContainers")
    if "ephemeralContainers" in spec:
        containers.ephemeral(errors, spec["ephemeralContainers"], [*ordinary, *init], context, f"{path}.ephemeralContainers")
    if "resources" in spec:
        of_the_whole(errors, spec, claims, f"{path}.resources")
    if spec.get("hostNetwork"):
        _host_ports(errors, ordinary, f"{path}.containers", is_pod)
    policy = spec.get("restartPolicy") or ""
    if policy not in RESTART_POLICIES:
        errors.append(not_supported(f"{path}.restartPolicy", policy, RESTART_POLICIES))
    dns = spec.get("dnsPolicy") or ""
    if dns not in DNS_POLICIES:
        errors.append(not_supported(f"{path}.dnsPolicy", dns, DNS_POLICIES))
    labels(errors, spec.get("nodeSelector"), f"{path}.nodeSelector")
    if spec.get("securityContext"):
        security.pod(errors, spec["securityContext"], spec, f"{path}.securityContext")
    if "affinity" in spec:
        placement.affinity(errors, spec["affinity"], f"{path}.affinity")
    _dns_config(errors, spec.get("dnsConfig"), dns, f"{path}.dnsConfig")
    for index, gate in enumerate(spec.get("readinessGates") or ()):
        label_name(errors, gate.get("conditionType") or "", f"{path}.readinessGates[{index}].conditionType")
    _scheduling_gates(errors, spec.get("schedulingGates") or [], f"{path}.schedulingGates")
    if "topologySpreadConstraints" in spec:
        placement.spread(errors, spec["topologySpreadConstraints"], f"{path}.topologySpreadConstraints")
    if not host_users:
        for field, name in (("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")):
            if spec.get(field):
                errors.append(forbidden_field(f"{path}.{name}", "when `pod.Spec.HostUsers` is false"))
    _names_and_numbers(errors, spec, path)


def _resource_claims(errors: Errors, claims: list[Obj], path: str, pod_name: str) -> None:
    """Each names a claim that is there, or a template that one is made from."""
    seen: set[str] = set()
    for index, claim in enumerate(claims):
        at, name = f"{path}[{index}]", claim.get("name") or ""
        if not name:
            errors.append(required(f"{at}.name"))
        elif name in seen:
            errors.append(duplicate(f"{at}.name", name))
        elif faults := names.label(name):
            add(errors, f"{at}.name", name, faults)
        elif pod_name and "resourceClaimTemplateName" in claim:
            made = f"{pod_name}-{name}"
            add(errors, f"{at}.name", made, [f"final ResourceClaim name: {fault}" for fault in names.subdomain(made)])
        seen.add(name)
        sources = [field for field in ("resourceClaimName", "resourceClaimTemplateName") if field in claim]
        if len(sources) > 1:
            detail = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"
            errors.append(invalid_value(at, claim, detail))
        elif not sources:
            detail = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"
            errors.append(invalid_value(at, claim, detail))
        for field in sources:
            add(errors, f"{at}.{field}", claim[field], names.subdomain(claim[field] or ""))


def _names_and_numbers(errors: Errors, spec: Obj, path: str) -> None:
    for field in ("serviceAccountName", "nodeName"):
        if spec.get(field):
            add(errors, f"{path}.{field}", spec[field], names.subdomain(spec[field]))
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline <= INT32_MAX:
        errors.append(invalid_value(f"{path}.activeDeadlineSeconds", deadline, names.between(1, INT32_MAX)))
    for field in ("hostname", "subdomain"):
        if spec.get(field):
            add(errors, f"{path}.{field}", spec[field], names.label(spec[field]))
    if "tolerations" in spec:
        placement.tolerations(errors, spec["tolerations"], f"{path}.tolerations")
    for index, alias in enumerate(spec.get("hostAliases") or ()):
        add(errors, f"{path}.hostAliases[{index}].ip", alias.get("ip") or "", names.ip(alias.get("ip") or ""))
        for number, name in enumerate(alias.get("hostnames") or ()):
            add(errors, f"{path}.hostAliases[{index}].hostnames[{number}]", name, names.subdomain(name))
    if spec.get("priorityClassName"):
        add(errors, f"{path}.priorityClassName", spec["priorityClassName"], names.subdomain(spec["priorityClassName"]))
    if "runtimeClassName" in spec:
        add(errors, f"{path}.runtimeClassName", spec["runtimeClassName"], names.subdomain(spec["runtimeClassName"]))
    if "preemptionPolicy" in spec and spec["preemptionPolicy"] not in ("PreemptLowerPriority", "Never"):
        errors.append(not_supported(f"{path}.preemptionPolicy", spec["preemptionPolicy"], ["PreemptLowerPriority", "Never"]))
    if "overhead" in spec:
        resources.requirements(errors, {"limits": spec["overhead"]}, f"{path}.overhead")
    if "os" in spec:
        name = spec["os"].get("name") or ""
        if not name:
            errors.append(required(f"{path}.os.name", "cannot be empty"))
        elif name not in ("linux", "windows"):
            errors.append(not_supported(f"{path}.os", name, ["linux", "windows"]))


def _host_ports(errors: Errors, given: list[Obj], path: str, is_pod: bool) -> None:
    for index, container in enumerate(given):
        for number, port in enumerate(container.get("ports") or ()):
            host = port.get("hostPort") or 0
            if (is_pod or host) and host != port.get("containerPort"):
                detail = "must match `containerPort` when `hostNetwork` is true"
                errors.append(invalid_value(f"{path}[{index}].ports[{number}].hostPort", host, detail))


def _dns_config(errors: Errors, config: Obj | None, policy: str, path: str) -> None:
    if policy == "None":
        if config is None:
            errors.append(required(path, "must provide `dnsConfig` when `dnsPolicy` is None"))
            return
        if not config.get("nameservers"):
            errors.append(required(f"{path}.nameservers", "must provide at least one DNS nameserver when `dnsPolicy` is None"))
            return
    if config is None:
        return
    servers, searches = config.get("nameservers") or [], config.get("searches") or []
    if len(servers) > 3:
        errors.append(invalid_value(f"{path}.nameservers", servers, "must not have more than 3 nameservers"))
    for index, server in enumerate(servers):
        add(errors, f"{path}.nameservers[{index}]", server, names.ip(server))
    if len(searches) > 32:
        errors.append(invalid_value(f"{path}.searches", searches, "must not have more than 32 search paths"))
    if len(" ".join(searches)) > 2048:
        detail = "must not have more than 2048 characters (including spaces) in the search list"
        errors.append(invalid_value(f"{path}.searches", searches, detail))
    for index, search in enumerate(searches):
        if search != ".":
            name = search.removesuffix(".")
            add(errors, f"{path}.searches[{index}]", name, names.subdomain_with_underscore(name))
    for index, option in enumerate(config.get("options") or ()):
        if not option.get("name"):
            errors.append(required(f"{path}.options[{index}]", "must not be empty"))


def _scheduling_gates(errors: Errors, gates: list[Obj], path: str) -> None:
    seen: set[str] = set()
    for index, gate in enumerate(gates):
        name = gate.get("name") or ""
        label_name(errors, name, f"{path}[{index}]")
        if name in seen:
            errors.append(duplicate(f"{path}[{index}]", name))
        seen.add(name)


def specific_annotations(errors: Errors, values: Obj | None, spec: Obj, path: str) -> None:
    """Annotations that mean something to pods."""
    if not values:
        return
    if MIRROR in values and not spec.get("nodeName"):
        errors.append(
            invalid_value(f"{path}[{MIRROR}]", values[MIRROR], "must set spec.nodeName if mirror pod annotation is set")
        )
    cost = values.get(DELETION_COST)
    if cost is not None and not _is_cost(cost):
        errors.append(invalid_value(f"{path}[{DELETION_COST}]", cost, "must be a 32bit integer"))
    for key in sorted(k for k in values if k.startswith(APP_ARMOR)):
        name, profile = key.removeprefix(APP_ARMOR), values[key]
        if not any(
            c.get("name") == name
            for group in ("initContainers", "containers", "ephemeralContainers")
            for c in spec.get(group) or ()
        ):
            errors.append(invalid_value(f"{path}[{key}]", name, "container not found"))
        if profile not in ("", "runtime/default", "unconfined") and not profile.startswith("localhost/"):
            errors.append(invalid_value(f"{path}[{key}]", profile, f'invalid AppArmor profile name: "{profile}"'))


def _is_cost(text: str) -> bool:
    return bool(re.fullmatch(r"0|-?[1-9][0-9]*", text, re.A)) and -(2**31) <= int(text) <= INT32_MAX


def template(errors: Errors, given: Obj, path: str) -> None:
    """A pod template, of any workload."""
    meta, spec = given["metadata"], given["spec"]
    labels(errors, meta.get("labels"), f"{path}.labels")
    annotation_map(errors, meta.get("annotations"), f"{path}.annotations")
    specific_annotations(errors, meta.get("annotations"), spec, f"{path}.annotations")
    pod_spec(errors, spec, f"{path}.spec")
    if spec.get("ephemeralContainers"):
        errors.append(forbidden_field(f"{path}.spec.ephemeralContainers", "ephemeral containers not allowed in pod template"))


def _metadata_and_spec(errors: Errors, pod: Obj) -> None:
    meta, spec = pod["metadata"], pod["spec"]
    metadata(errors, meta, True, names.subdomain)
    core_finalizers(errors, meta)
    specific_annotations(errors, meta.get("annotations"), spec, "metadata.annotations")
    pod_spec(errors, spec, "spec", meta.get("name") or "", is_pod=True)
    if not spec.get("serviceAccountName"):
        for index, volume in enumerate(spec.get("volumes") or ()):
            for number, source in enumerate((volume.get("projected") or {}).get("sources") or ()):
                if "serviceAccountToken" in source:
                    at = f"spec.volumes[{index}].projected.sources[{number}].serviceAccountToken"
                    errors.append(forbidden_field(at, "must not be specified when serviceAccountName is not set"))
    for group in ("containers", "initContainers"):
        for index, container in enumerate(spec.get(group) or ()):
            containers.image_is_trimmed(errors, container, f"spec.{group}[{index}]")


def pod(errors: Errors, obj: Obj) -> None:
    _metadata_and_spec(errors, obj)
    spec = obj["spec"]
    if spec.get("ephemeralContainers"):
        errors.append(forbidden_field("spec.ephemeralContainers", "cannot be set on create"))
    if spec.get("nodeName") and spec.get("schedulingGates"):
        errors.append(forbidden_field("spec.nodeName", "cannot be set until all schedulingGates have been cleared"))


def pod_update(errors: Errors, new: Obj, old: Obj) -> None:
    metadata_update(errors, new["metadata"], old["metadata"])
    _metadata_and_spec(errors, new)
    _annotation_updates(errors, new, old)
    spec, before = new["spec"], old["spec"]
    for group in ("containers", "initContainers"):
        if len(spec.get(group) or ()) != len(before.get(group) or ()):
            errors.append(forbidden_field(f"spec.{group}", "pod updates may not add or remove containers"))
            return
    if not _deadline(errors, spec.get("activeDeadlineSeconds"), before.get("activeDeadlineSeconds")):
        return
    _only_added_tolerations(errors, spec.get("tolerations") or [], before.get("tolerations") or [])
    _only_removed_gates(errors, spec.get("schedulingGates") or [], before.get("schedulingGates") or [])
    if spec == before:
        return
    munged = _munged(errors, spec, before)
    if munged != before:
        detail = f"pod updates may not change fields other than {_UPDATABLE}\n{go_diff('core.PodSpec', before, munged)}"
        errors.append(forbidden_field("spec", detail))


def _annotation_updates(errors: Errors, new: Obj, old: Obj) -> None:
    after, before = new["metadata"].get("annotations") or {}, old["metadata"].get("annotations") or {}
    for key in sorted(set(before) | set(after)):
        if before.get(key) == after.get(key) or not (key.startswith(APP_ARMOR) or key == MIRROR):
            continue
        what = "AppArmor annotations" if key.startswith(APP_ARMOR) else "mirror pod annotation"
        verb = "remove or update" if key in before else "add"
        errors.append(forbidden_field(f"metadata.annotations[{key}]", f"may not {verb} {what}"))


def _deadline(errors: Errors, new: int | None, old: int | None) -> bool:
    """Whether the rest is worth checking."""
    path = "spec.activeDeadlineSeconds"
    if new is None:
        if old is not None:
            errors.append(invalid_value(path, None, "must not update from a positive integer to nil value"))
        return True
    if not 0 <= new <= INT32_MAX:
        errors.append(invalid_value(path, new, names.between(0, INT32_MAX)))
        return False
    if old is not None and old < new:
        errors.append(invalid_value(path, new, "must be less than or equal to previous value"))
        return False
    return True


def _only_added_tolerations(errors: Errors, new: list[Obj], old: list[Obj]) -> None:
    def timeless(toleration: Obj) -> frozenset[tuple[str, str]]:
        return frozenset((n, v) for n, v in toleration.items() if n != "tolerationSeconds")

    if not {timeless(t) for t in old} <= {timeless(t) for t in new}:
        errors.append(forbidden_field("spec.tolerations", "existing toleration can not be modified except its tolerationSeconds"))


def _only_removed_gates(errors: Errors, new: list[Obj], old: list[Obj]) -> None:
    known = {g.get("name") for g in old}
    for index, gate in enumerate(new):
        if gate.get("name") not in known:
            detail = f"only deletion is allowed, but found new scheduling gate '{gate.get('name')}'"
            errors.append(forbidden_field(f"spec.schedulingGates[{index}].name", detail))


def _munged(errors: Errors, spec: Obj, before: Obj) -> Obj:
    """The new spec with all that may change put back: what still differs was not allowed to."""
    munged = dict(spec)
    for group in ("containers", "initContainers"):
        if group in munged:
            munged[group] = [
                c | ({"image": o["image"]} if "image" in o else {}) for c, o in zip(munged[group], before[group], strict=True)
            ]
    for field in ("activeDeadlineSeconds", "schedulingGates", "tolerations"):
        if field in before:
            munged[field] = before[field]
        else:
            munged.pop(field, None)
    if (before.get("terminationGracePeriodSeconds") or 0) < 0 and munged.get("terminationGracePeriodSeconds") == 1:
        munged["terminationGracePeriodSeconds"] = before["terminationGracePeriodSeconds"]
    if before.get("schedulingGates"):
        _gated(errors, munged, before)
    return munged


def _gated(errors: Errors, munged: Obj, before: Obj) -> None:
    """A pod that is held by a gate may still be told more about where to go."""
    selector, old_selector = munged.get("nodeSelector") or {}, before.get("nodeSelector") or {}
    if selector != old_selector:
        if any(selector.get(k) != v for k, v in old_selector.items()):
            detail = "only additions to spec.nodeSelector are allowed (no mutations or deletions)"
            errors.append(invalid_value("spec.nodeSelector", dict(sorted(selector.items())) or None, detail))
        munged.pop("nodeSelector", None)
        if old_selector:
            munged["nodeSelector"] = old_selector
    affinity, old_affinity = munged.get("affinity") or {}, before.get("affinity") or {}
    if affinity.get("nodeAffinity") != old_affinity.get("nodeAffinity"):
        rest = {n: v for n, v in affinity.items() if n != "nodeAffinity"}
        if "nodeAffinity" in old_affinity:
            rest["nodeAffinity"] = old_affinity["nodeAffinity"]
        munged.pop("affinity", None)
        if rest or "affinity" in before:
            munged["affinity"] = rest


def pod_status_update(errors: Errors, new: Obj, old: Obj) -> None:
    metadata_update(errors, new["metadata"], old["metadata"])
    _annotation_updates(errors, new, old)
    status, before, path = new["status"], old["status"], "status"
    if new["spec"].get("nodeName") != old["spec"].get("nodeName"):
        errors.append(forbidden_field(f"{path}.nodeName", "may not be changed directly"))
    nominated = status.get("nominatedNodeName")
    if nominated and nominated != before.get("nominatedNodeName"):
        add(errors, f"{path}.nominatedNodeName", nominated, names.subdomain(nominated))
    if status.get("qosClass") != before.get("qosClass") and before.get("qosClass"):
        errors.append(invalid_value(f"{path}.qosClass", status.get("qosClass") or "", IMMUTABLE))
    policy = old["spec"].get("restartPolicy")
    sidecars = {c.get("name") for c in old["spec"].get("initContainers") or () if c.get("restartPolicy") == "Always"}
    _stay_terminated(errors, status, before, "containerStatuses", policy or "", set())
    _stay_terminated(errors, status, before, "initContainerStatuses", policy or "", sidecars)
    _stay_terminated(errors, status, before, "ephemeralContainerStatuses", "Never", set())
    for index, address in enumerate(status.get("podIPs") or ()):
        add(errors, f"{path}.podIPs[{index}]", address.get("ip") or "", names.ip(address.get("ip") or ""))
    hosts = status.get("hostIPs") or []
    if hosts and hosts[0].get("ip") != status.get("hostIP"):
        errors.append(invalid_value(f"{path}.hostIPs[0].ip", hosts[0].get("ip") or "", "must be equal to `hostIP`"))


def _stay_terminated(errors: Errors, new: Obj, old: Obj, field: str, policy: str, restartable: set[str | None]) -> None:
    """A container that is not to be restarted does not leave its terminated state."""
    if policy == "Always":
        return
    states = {s.get("name"): s.get("state") or {} for s in new.get(field) or ()}
    for index, status in enumerate(old.get(field) or ()):
        ended = (status.get("state") or {}).get("terminated")
        if not ended or status.get("name") in restartable or (ended.get("exitCode") and policy == "OnFailure"):
            continue
        if status.get("name") in states and "terminated" not in states[status.get("name")]:
            errors.append(forbidden_field(f"status.{field}[{index}].state", "may not be transitioned to non-terminated state"))


def ephemeral_containers_update(errors: Errors, new: Obj, old: Obj) -> None:
    """Ephemeral containers may be added, never changed or removed."""
    pod_update(errors, new, {**old, "spec": old["spec"] | _ephemeral_of(new)})
    now = {c.get("name"): c for c in new["spec"].get("ephemeralContainers") or ()}
    for index, container in enumerate(old["spec"].get("ephemeralContainers") or ()):
        name = container.get("name")
        if name not in now:
            detail = f'existing ephemeral containers "{name}" may not be removed\n'
            errors.append(forbidden_field("spec.ephemeralContainers", detail))
        elif now[name] != container:
            diff = go_diff("core.EphemeralContainer", container, now[name])
            detail = f'existing ephemeral containers "{name}" may not be changed\n{diff}'
            errors.append(forbidden_field(f"spec.ephemeralContainers[{index}]", detail))


def _ephemeral_of(pod_obj: Obj) -> Obj:
    found = pod_obj["spec"].get("ephemeralContainers")
    return {"ephemeralContainers": found} if found else {}
