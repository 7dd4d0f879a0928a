"""Rules of the containers of a pod: ordinary, init and ephemeral ones."""

from __future__ import annotations

from dataclasses import dataclass

from halab.cluster.kube.status import duplicate, forbidden_field, invalid_value, not_found_field, not_supported, required
from halab.cluster.kube.types import Obj
from halab.cluster.kube.validation import names, resources, security
from halab.cluster.kube.validation.downward import ENV_FIELDS, field_selector, resource_field_selector
from halab.cluster.kube.validation.handlers import lifecycle, probes
from halab.cluster.kube.validation.meta import Errors, add
from halab.cluster.kube.validation.volumes import no_backsteps, relative_path

PULL_POLICIES = ("Always", "IfNotPresent", "Never")
PROTOCOLS = ("SCTP", "TCP", "UDP")
_MESSAGE_POLICIES = ("File", "FallbackToLogsOnError")


@dataclass(frozen=True, slots=True)
class Context:
    """What the rules of a container need to know of its pod."""

    volumes: dict[str, Obj]
    claims: frozenset[str]
    grace: int | None
    restart_policy: str
    host_users: bool


def _ports(errors: Errors, ports: list[Obj], path: str) -> None:
    seen: set[str] = set()
    for index, port in enumerate(ports):
        at = f"{path}[{index}]"
        name = port.get("name")
        if name:
            faults = names.port_name(name)
            if faults:
                add(errors, f"{at}.name", name, faults)
            elif name in seen:
                errors.append(duplicate(f"{at}.name", name))
            else:
                seen.add(name)
        number = port.get("containerPort") or 0
        if not number:
            errors.append(required(f"{at}.containerPort"))
        else:
            add(errors, f"{at}.containerPort", number, names.port_number(number))
        if port.get("hostPort"):
            add(errors, f"{at}.hostPort", port["hostPort"], names.port_number(port["hostPort"]))
        protocol(errors, port.get("protocol") or "", f"{at}.protocol")


def protocol(errors: Errors, value: str, path: str) -> None:
    if not value:
        errors.append(required(path))
    elif value not in PROTOCOLS:
        errors.append(not_supported(path, value, PROTOCOLS))


_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef")


def _env(errors: Errors, variables: list[Obj], path: str) -> None:
    for index, variable in enumerate(variables):
        at, name = f"{path}[{index}]", variable.get("name") or ""
        if not name:
            errors.append(required(f"{at}.name"))
        else:
            add(errors, f"{at}.name", name, names.env_name(name))
        if "valueFrom" in variable:
            _value_from(errors, variable, f"{at}.valueFrom")


def _value_from(errors: Errors, variable: Obj, path: str) -> None:
    source = variable["valueFrom"]
    count = sum(1 for name in _SOURCES if name in source)
    if "fieldRef" in source:
        field_selector(errors, source["fieldRef"], ENV_FIELDS, f"{path}.fieldRef")
    if "resourceFieldRef" in source:
        resource_field_selector(errors, source["resourceFieldRef"], f"{path}.resourceFieldRef", volume=False)
    for name in ("configMapKeyRef", "secretKeyRef"):
        if name in source:
            reference, at = source[name], f"{path}.{name}"
            add(errors, f"{at}.name", reference.get("name") or "", names.subdomain(reference.get("name") or ""))
            if not reference.get("key"):
                errors.append(required(f"{at}.key"))
            else:
                add(errors, f"{at}.key", reference["key"], names.config_key(reference["key"]))
    if not count:
        errors.append(invalid_value(path, "", f"must specify one of: {_alternatives()}"))
    elif variable.get("value"):
        errors.append(invalid_value(path, "", "may not be specified when `value` is not empty"))
    elif count > 1:
        errors.append(invalid_value(path, "", "may not have more than one field specified at a time"))


def _alternatives() -> str:
    return "`fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"


def _env_from(errors: Errors, sources: list[Obj], path: str) -> None:
    for index, source in enumerate(sources):
        at = f"{path}[{index}]"
        if source.get("prefix"):
            add(errors, f"{at}.prefix", source["prefix"], names.env_name(source["prefix"]))
        found = [name for name in ("configMapRef", "secretRef") if name in source]
        for kind in found:
            name = source[kind].get("name") or ""
            if not name:
                errors.append(required(f"{at}.{kind}.name"))
            else:
                add(errors, f"{at}.{kind}.name", name, names.subdomain(names.trailing_dash_masked(name)))
        if not found:
            errors.append(invalid_value(path, "", "must specify one of: `configMapRef` or `secretRef`"))
        elif len(found) > 1:
            errors.append(invalid_value(path, "", "may not have more than one field specified at a time"))


def _mounts(errors: Errors, container: Obj, context: Context, path: str) -> None:
    devices = {d.get("name"): d.get("devicePath") for d in container.get("volumeDevices") or ()}
    seen: set[str] = set()
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        at, name, where = f"{path}[{index}]", mount.get("name") or "", mount.get("mountPath") or ""
        if not name:
            errors.append(required(f"{at}.name"))
        if name not in context.volumes:
            errors.append(not_found_field(f"{at}.name", name))
        if not where:
            errors.append(required(f"{at}.mountPath"))
        if where in seen:
            errors.append(invalid_value(f"{at}.mountPath", where, "must be unique"))
        seen.add(where)
        if name in devices:
            errors.append(invalid_value(f"{at}.name", name, "must not already exist in volumeDevices"))
        if where in devices.values():
            errors.append(invalid_value(f"{at}.mountPath", where, "must not already exist as a path in volumeDevices"))
        sub, expression = mount.get("subPath"), mount.get("subPathExpr")
        if sub:
            relative_path(errors, sub, f"{path}.subPath")
        if expression:
            if sub:
                errors.append(invalid_value(f"{at}.subPathExpr", expression, "subPathExpr and subPath are mutually exclusive"))
            relative_path(errors, expression, f"{path}.subPathExpr")
        if "mountPropagation" in mount:
            _propagation(errors, mount["mountPropagation"], container, f"{path}.mountPropagation")
        if "recursiveReadOnly" in mount:
            _recursive(errors, mount, f"{path}.recursiveReadOnly")


def _propagation(errors: Errors, value: str, container: Obj, path: str) -> None:
    if value not in ("Bidirectional", "HostToContainer", "None"):
        errors.append(not_supported(path, value, ["Bidirectional", "HostToContainer", "None"]))
    if value == "Bidirectional" and not (container.get("securityContext") or {}).get("privileged"):
        errors.append(forbidden_field(path, "Bidirectional mount propagation is available only to privileged containers"))


def _recursive(errors: Errors, mount: Obj, path: str) -> None:
    value = mount["recursiveReadOnly"]
    if value in ("Enabled", "IfPossible"):
        if not mount.get("readOnly"):
            errors.append(forbidden_field(path, "may only be specified when readOnly is true"))
        if mount.get("mountPropagation", "None") != "None":
            errors.append(forbidden_field(path, "may only be specified when mountPropagation is None or not specified"))
    elif value != "Disabled":
        errors.append(not_supported(path, value, ["Disabled", "Enabled", "IfPossible"]))


def _devices(errors: Errors, container: Obj, context: Context, path: str) -> None:
    mounts = {m.get("name"): m.get("mountPath") for m in container.get("volumeMounts") or ()}
    seen_names: set[str] = set()
    seen_paths: set[str] = set()
    for index, device in enumerate(container.get("volumeDevices") or ()):
        at, name, where = f"{path}[{index}]", device.get("name") or "", device.get("devicePath") or ""
        volume = context.volumes.get(name)
        if not name:
            errors.append(required(f"{at}.name"))
        if name in seen_names:
            errors.append(invalid_value(f"{at}.name", name, "must be unique"))
        if volume is None:
            errors.append(not_found_field(f"{at}.name", name))
        elif "persistentVolumeClaim" not in volume and "ephemeral" not in volume:
            detail = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"
            errors.append(invalid_value(f"{at}.name", name, detail))
        if not where:
            errors.append(required(f"{at}.devicePath"))
        if where in seen_paths:
            errors.append(invalid_value(f"{at}.devicePath", where, "must be unique"))
        backsteps: Errors = []
        no_backsteps(backsteps, where, path)
        if backsteps:
            errors.append(invalid_value(f"{at}.devicePath", where, "can not contain backsteps ('..')"))
        else:
            seen_paths.add(where)
        if name in mounts:
            errors.append(invalid_value(f"{at}.name", name, "must not already exist in volumeMounts"))
        if where in mounts.values():
            errors.append(invalid_value(f"{at}.devicePath", where, "must not already exist as a path in volumeMounts"))
        seen_names.add(name)


def _resize_policy(errors: Errors, policies: list[Obj], pod_policy: str, path: str) -> None:
    seen: set[str] = set()
    for index, policy in enumerate(policies):
        resource, restart = policy.get("resourceName") or "", policy.get("restartPolicy") or ""
        if resource in seen:
            errors.append(duplicate(f"{path}[{index}]", resource))
        seen.add(resource)
        if not resource:
            errors.append(required(path))
        elif resource not in ("cpu", "memory"):
            errors.append(not_supported(path, resource, ["cpu", "memory"]))
        if not restart:
            errors.append(required(path))
        elif restart not in ("NotRequired", "RestartContainer"):
            errors.append(not_supported(path, restart, ["NotRequired", "RestartContainer"]))
        if pod_policy == "Never" and restart != "NotRequired":
            errors.append(invalid_value(path, restart, "must be 'NotRequired' when `restartPolicy` is 'Never'"))


def _common(errors: Errors, container: Obj, context: Context, path: str) -> None:
    name = container.get("name")
    if not name:
        errors.append(required(f"{path}.name"))
    else:
        add(errors, f"{path}.name", name, names.label(name))
    if not container.get("image"):
        errors.append(required(f"{path}.image"))
    message = container.get("terminationMessagePolicy") or ""
    if not message:
        errors.append(required(f"{path}.terminationMessagePolicy"))
    elif message not in _MESSAGE_POLICIES:
        errors.append(not_supported(f"{path}.terminationMessagePolicy", message, _MESSAGE_POLICIES))
    if "ports" in container:
        _ports(errors, container["ports"], f"{path}.ports")
    if "env" in container:
        _env(errors, container["env"], f"{path}.env")
    if "envFrom" in container:
        _env_from(errors, container["envFrom"], f"{path}.envFrom")
    if "volumeMounts" in container:
        _mounts(errors, container, context, f"{path}.volumeMounts")
    if "volumeDevices" in container:
        _devices(errors, container, context, f"{path}.volumeDevices")
    policy = container.get("imagePullPolicy") or ""
    if not policy:
        errors.append(required(f"{path}.imagePullPolicy"))
    elif policy not in PULL_POLICIES:
        errors.append(not_supported(f"{path}.imagePullPolicy", policy, PULL_POLICIES))
    resources.requirements(errors, container.get("resources"), f"{path}.resources", context.claims)
    if "resizePolicy" in container:
        _resize_policy(errors, container["resizePolicy"], context.restart_policy, f"{path}.resizePolicy")
    if "securityContext" in container:
        security.container(errors, container["securityContext"], f"{path}.securityContext", context.host_users)


def _host_ports(errors: Errors, containers: list[Obj], path: str) -> None:
    seen: set[str] = set()
    for index, container in enumerate(containers):
        for number, port in enumerate(container.get("ports") or ()):
            if port.get("hostPort"):
                key = f"{port.get('protocol', '')}/{port.get('hostIP', '')}/{port['hostPort']}"
                if key in seen:
                    errors.append(duplicate(f"{path}[{index}].ports[{number}].hostPort", key))
                seen.add(key)


def ordinary(errors: Errors, containers: list[Obj] | None, context: Context, path: str) -> None:
    if not containers:
        errors.append(required(path))
        return
    seen: set[str] = set()
    for index, container in enumerate(containers):
        at = f"{path}[{index}]"
        _common(errors, container, context, at)
        if container.get("name") in seen:
            errors.append(duplicate(f"{at}.name", container["name"]))
        seen.add(container.get("name") or "")
        if "lifecycle" in container:
            lifecycle(errors, container["lifecycle"], context.grace, f"{at}.lifecycle")
        probes(errors, container, context.grace, at)
        if "restartPolicy" in container:
            errors.append(forbidden_field(f"{at}.restartPolicy", "may not be set for non-init containers"))
    _host_ports(errors, containers, path)


def init(errors: Errors, containers: list[Obj], others: list[Obj], context: Context, path: str) -> None:
    seen = {c.get("name") for c in others}
    for index, container in enumerate(containers):
        at = f"{path}[{index}]"
        _common(errors, container, context, at)
        sidecar = container.get("restartPolicy") == "Always"
        if "restartPolicy" in container and not sidecar:
            errors.append(not_supported(f"{at}.restartPolicy", container["restartPolicy"], ["Always"]))
        if container.get("name") in seen:
            errors.append(duplicate(f"{at}.name", container.get("name") or ""))
        elif container.get("name"):
            seen.add(container["name"])
        _host_ports(errors, [container], path)
        if sidecar:
            if "lifecycle" in container:
                lifecycle(errors, container["lifecycle"], context.grace, f"{at}.lifecycle")
            probes(errors, container, context.grace, at)
        else:
            for name in ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe"):
                if name in container:
                    errors.append(
                        forbidden_field(f"{at}.{name}", "may not be set for init containers without restartPolicy=Always")
                    )
        if "resizePolicy" in container and not sidecar:
            errors.append(invalid_value(f"{at}.resizePolicy", container["resizePolicy"], "must not be set for init containers"))


_NOT_EPHEMERAL = ("ports", "resources", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle")


def ephemeral(errors: Errors, containers: list[Obj], others: list[Obj], context: Context, path: str) -> None:
    targets = {c.get("name") for c in others}
    seen = set(targets)
    for index, container in enumerate(containers):
        at = f"{path}[{index}]"
        _common(errors, container, context, at)
        image_is_trimmed(errors, container, at)
        name = container.get("name") or ""
        if name in seen:
            errors.append(duplicate(f"{at}.name", name))
        seen.add(name)
        target = container.get("targetContainerName")
        if target and target not in targets:
            errors.append(not_found_field(f"{at}.targetContainerName", target))
        for field in _NOT_EPHEMERAL:
            if container.get(field):
                errors.append(forbidden_field(f"{at}.{field}", "cannot be set for an Ephemeral Container"))
        for number, mount in enumerate(container.get("volumeMounts") or ()):
            for field in ("subPath", "subPathExpr"):
                if mount.get(field):
                    errors.append(
                        forbidden_field(f"{at}.volumeMounts[{number}].{field}", "cannot be set for an Ephemeral Container")
                    )


def image_is_trimmed(errors: Errors, container: Obj, path: str) -> None:
    image = container.get("image") or ""
    if image != image.strip():
        errors.append(invalid_value(f"{path}.image", image, "must not have leading or trailing whitespace"))
