"""Rules of security contexts, of pods and of containers."""

from __future__ import annotations

import re

from halab.cluster.kube.status import duplicate, invalid_value, not_supported, required, too_long
from halab.cluster.kube.types import Obj
from halab.cluster.kube.validation import names
from halab.cluster.kube.validation.meta import Errors, add
from halab.cluster.kube.validation.volumes import relative_path

_PROFILES = ("Localhost", "RuntimeDefault", "Unconfined")
_SYSCTL = r"([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_IPC = ("kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue.")


def _user(errors: Errors, context: Obj, field: str, path: str) -> None:
    if field in context:
        add(errors, f"{path}.{field}", context[field], names.user_or_group(context[field]))


def pod(errors: Errors, context: Obj, spec: Obj, path: str) -> None:
    for field in ("fsGroup", "runAsUser", "runAsGroup"):
        _user(errors, context, field, path)
    for index, group in enumerate(context.get("supplementalGroups") or ()):
        add(errors, f"{path}.supplementalGroups[{index}]", group, names.user_or_group(group))
    if spec.get("shareProcessNamespace") and spec.get("hostPID"):
        detail = "ShareProcessNamespace and HostPID cannot both be enabled"
        errors.append(invalid_value(f"{path}.shareProcessNamespace", True, detail))
    if "sysctls" in context:
        _sysctls(errors, context["sysctls"], spec, f"{path}.sysctls")
    _one_of(errors, context, "fsGroupChangePolicy", ("Always", "OnRootMismatch"), path)
    _seccomp(errors, context.get("seccompProfile"), f"{path}.seccompProfile")
    _app_armor(errors, context.get("appArmorProfile"), f"{path}.appArmorProfile")
    _one_of(errors, context, "supplementalGroupsPolicy", ("Merge", "Strict"), path)
    _one_of(errors, context, "seLinuxChangePolicy", ("MountOption", "Recursive"), path)


def _one_of(errors: Errors, context: Obj, field: str, supported: tuple[str, ...], path: str) -> None:
    if field in context and context[field] not in supported:
        errors.append(not_supported(f"{path}.{field}", context[field], supported))


def container(errors: Errors, context: Obj, path: str, host_users: bool) -> None:
    _user(errors, context, "runAsUser", path)
    _user(errors, context, "runAsGroup", path)
    if "procMount" in context:
        mount = context["procMount"]
        if mount not in ("Default", "Unmasked"):
            errors.append(not_supported(f"{path}.procMount", mount, ["Default", "Unmasked"]))
        if host_users and mount == "Unmasked":
            errors.append(invalid_value(f"{path}.procMount", mount, "`hostUsers` must be false to use `Unmasked`"))
    _seccomp(errors, context.get("seccompProfile"), f"{path}.seccompProfile")
    if context.get("allowPrivilegeEscalation") is False:
        if context.get("privileged"):
            detail = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
            errors.append(invalid_value(path, _internal(context), detail))
        if "CAP_SYS_ADMIN" in ((context.get("capabilities") or {}).get("add") or ()):
            detail = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"
            errors.append(invalid_value(path, _internal(context), detail))
    _app_armor(errors, context.get("appArmorProfile"), f"{path}.appArmorProfile")


_INTERNAL = (
    "capabilities", "privileged", "seLinuxOptions", "windowsOptions", "runAsUser", "runAsGroup", "runAsNonRoot", "readOnlyRootFilesystem",
    "allowPrivilegeEscalation", "procMount", "seccompProfile", "appArmorProfile",
)  # fmt: skip


def _internal(context: Obj) -> Obj:
    """As Go prints the API server's internal type: its own field names, nothing left out."""
    shown: Obj = {}
    for name in _INTERNAL:
        field = "SELinuxOptions" if name == "seLinuxOptions" else name[0].upper() + name[1:]
        value = context.get(name)
        if isinstance(value, dict):
            value = {n[0].upper() + n[1:]: v for n, v in value.items()}
            if name == "capabilities":
                value = {"Add": value.get("Add"), "Drop": value.get("Drop")}
        shown[field] = value
    return shown


def _seccomp(errors: Errors, profile: Obj | None, path: str) -> None:
    if profile is None:
        return
    kind = profile.get("type") or ""
    if not kind:
        errors.append(required(f"{path}.type", "type is required when seccompProfile is set"))
    elif kind not in _PROFILES:
        errors.append(not_supported(f"{path}.type", kind, _PROFILES))
    if kind == "Localhost":
        if "localhostProfile" not in profile:
            errors.append(required(f"{path}.localhostProfile", "must be set when seccomp type is Localhost"))
        else:
            relative_path(errors, profile["localhostProfile"], f"{path}.localhostProfile")
    elif "localhostProfile" in profile:
        shown = {"Type": kind, "LocalhostProfile": profile["localhostProfile"]}
        errors.append(invalid_value(f"{path}.localhostProfile", shown, "can only be set when seccomp type is Localhost"))


def _app_armor(errors: Errors, profile: Obj | None, path: str) -> None:
    if profile is None:
        return
    kind, at = profile.get("type") or "", f"{path}.localhostProfile"
    local = profile.get("localhostProfile")
    if kind == "Localhost":
        if not (local or "").strip():
            errors.append(required(at, "must be set when AppArmor type is Localhost"))
        elif local != (local or "").strip():
            errors.append(invalid_value(at, local, "must not be padded with whitespace"))
        if len(local or "") > 4095:
            errors.append(too_long(at, 4095))
    elif not kind:
        errors.append(required(f"{path}.type", "type is required when appArmorProfile is set"))
    elif kind not in _PROFILES:
        errors.append(not_supported(f"{path}.type", kind, _PROFILES))
    elif local is not None:
        errors.append(invalid_value(at, local, "can only be set when AppArmor type is Localhost"))


def _sysctls(errors: Errors, sysctls: list[Obj], spec: Obj, path: str) -> None:
    seen: set[str] = set()
    for index, sysctl in enumerate(sysctls):
        at, name = f"{path}[{index}].name", sysctl.get("name") or ""
        if not name:
            errors.append(required(at))
        elif len(name) > 253 or not re.fullmatch(_SYSCTL, name, re.A):
            errors.append(invalid_value(at, name, f"must have at most 253 characters and match regex ^{_SYSCTL}$"))
        elif name in seen:
            errors.append(duplicate(at, name))
        seen.add(name)
        dotted = name.replace("/", ".")
        if spec.get("hostNetwork") and dotted.startswith("net."):
            errors.append(invalid_value(at, name, "may not be specified when 'hostNetwork' is true"))
        elif spec.get("hostIPC") and dotted.startswith(_IPC):
            errors.append(invalid_value(at, name, "may not be specified when 'hostIPC' is true"))
