"""The Pod Security Standards (https://kubernetes.io/docs/concepts/security/pod-security-standards/): what each level forbids in a pod.

``violations(level, pod)`` gives Kubernetes' texts, in its order (by the check's identifier). Levels contain each other: restricted
checks everything that baseline does, with stricter rules for capabilities and seccomp.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from halab.cluster.kube.types import Obj

LEVELS = ("privileged", "baseline", "restricted")
BASELINE_CAPABILITIES = frozenset({
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP",
    "SETUID", "SYS_CHROOT",
})  # fmt: skip
SAFE_SYSCTLS = frozenset({
    "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start", "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range", "net.ipv4.ip_local_reserved_ports", "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem",
})  # fmt: skip
RESTRICTED_VOLUMES = frozenset({
    "configMap", "downwardAPI", "emptyDir", "projected", "secret", "csi", "persistentVolumeClaim", "ephemeral", "image",
})  # fmt: skip
SELINUX_TYPES = frozenset({"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"})
APPARMOR_ANNOTATION = "container.apparmor.security.beta.kubernetes.io/"


def _containers(pod: Obj) -> Iterator[Obj]:
    spec = pod.get("spec") or {}
    for field in ("initContainers", "containers", "ephemeralContainers"):
        yield from spec.get(field) or ()


def _context(holder: Obj) -> Obj:
    context: Obj = holder.get("securityContext") or {}
    return context


def _pod_context(pod: Obj) -> Obj:
    return _context(pod.get("spec") or {})


def _names(bad: list[str]) -> str:
    quoted = ", ".join(f'"{name}"' for name in bad)
    return f"container{'s' if len(bad) > 1 else ''} {quoted}"


def _quoted(values: Any) -> str:
    return ", ".join(f'"{value}"' for value in sorted(set(values)))


def _bad(pod: Obj, test: Callable[[Obj], bool]) -> list[str]:
    return [str(container.get("name", "")) for container in _containers(pod) if test(container)]


def _allow_privilege_escalation(pod: Obj) -> str:
    bad = _bad(pod, lambda c: _context(c).get("allowPrivilegeEscalation") is not False)
    if not bad:
        return ""
    return f"allowPrivilegeEscalation != false ({_names(bad)} must set securityContext.allowPrivilegeEscalation=false)"


def _app_armor(pod: Obj) -> str:
    faults = []
    profile = (_pod_context(pod).get("appArmorProfile") or {}).get("type", "")
    values = []
    if profile not in ("", "RuntimeDefault", "Localhost"):
        faults.append("pod")
        values.append(profile)
    bad = []
    for container in _containers(pod):
        own = (_context(container).get("appArmorProfile") or {}).get("type", "")
        if own not in ("", "RuntimeDefault", "Localhost"):
            bad.append(str(container.get("name", "")))
            values.append(own)
    if bad:
        faults.append(_names(bad))
    if faults:
        return f"forbidden AppArmor profile ({' and '.join(faults)} must not set AppArmor profile type to {_quoted(values)})"
    annotations = pod["metadata"].get("annotations") or {}
    forbidden = [
        f'{key}="{value}"'
        for key, value in sorted(annotations.items())
        if key.startswith(APPARMOR_ANNOTATION) and not (value in ("", "runtime/default") or value.startswith("localhost/"))
    ]
    plural = "s" if len(forbidden) > 1 else ""
    return f"forbidden AppArmor profile{plural} ({', '.join(forbidden)})" if forbidden else ""


def _capabilities_baseline(pod: Obj) -> str:
    bad, wrong = [], []
    for container in _containers(pod):
        added = [c for c in (_context(container).get("capabilities") or {}).get("add") or () if c not in BASELINE_CAPABILITIES]
        if added:
            bad.append(str(container.get("name", "")))
            wrong += added
    if not bad:
        return ""
    return f"non-default capabilities ({_names(bad)} must not include {_quoted(wrong)} in securityContext.capabilities.add)"


def _capabilities_restricted(pod: Obj) -> str:
    keep, add, wrong = [], [], []
    for container in _containers(pod):
        capabilities = _context(container).get("capabilities") or {}
        if "ALL" not in (capabilities.get("drop") or ()):
            keep.append(str(container.get("name", "")))
        added = [c for c in capabilities.get("add") or () if c != "NET_BIND_SERVICE"]
        if added:
            add.append(str(container.get("name", "")))
            wrong += added
    parts = []
    if keep:
        parts.append(f'{_names(keep)} must set securityContext.capabilities.drop=["ALL"]')
    if add:
        parts.append(f"{_names(add)} must not include {_quoted(wrong)} in securityContext.capabilities.add")
    return f"unrestricted capabilities ({'; '.join(parts)})" if parts else ""


def _host_namespaces(pod: Obj) -> str:
    spec = pod.get("spec") or {}
    found = [f"{field}=true" for field in ("hostNetwork", "hostPID", "hostIPC") if spec.get(field)]
    return f"host namespaces ({', '.join(found)})" if found else ""


def _host_path_volumes(pod: Obj) -> str:
    found = [str(v.get("name", "")) for v in (pod.get("spec") or {}).get("volumes") or () if v.get("hostPath") is not None]
    quoted = ", ".join(f'"{name}"' for name in found)
    return f"hostPath volumes (volume{'s' if len(found) > 1 else ''} {quoted})" if found else ""


def _host_ports(pod: Obj) -> str:
    bad, ports = [], []
    for container in _containers(pod):
        used = [port["hostPort"] for port in container.get("ports") or () if port.get("hostPort")]
        if used:
            bad.append(str(container.get("name", "")))
            ports += used
    if not bad:
        return ""
    numbers = ", ".join(str(port) for port in sorted(set(ports)))
    return f"hostPort ({_names(bad)} {'use' if len(bad) > 1 else 'uses'} hostPort{'s' if len(set(ports)) > 1 else ''} {numbers})"


def _privileged(pod: Obj) -> str:
    bad = _bad(pod, lambda c: _context(c).get("privileged") is True)
    return f"privileged ({_names(bad)} must not set securityContext.privileged=true)" if bad else ""


def _proc_mount(pod: Obj) -> str:
    bad, wrong = [], []
    for container in _containers(pod):
        mount = _context(container).get("procMount") or "Default"
        if mount != "Default":
            bad.append(str(container.get("name", "")))
            wrong.append(mount)
    return f"procMount ({_names(bad)} must not set securityContext.procMount to {_quoted(wrong)})" if bad else ""


def _restricted_volumes(pod: Obj) -> str:
    bad, types = [], []
    for volume in (pod.get("spec") or {}).get("volumes") or ():
        kinds = [key for key in volume if key != "name"]
        if any(kind not in RESTRICTED_VOLUMES for kind in kinds):
            bad.append(str(volume.get("name", "")))
            types += [kind for kind in kinds if kind not in RESTRICTED_VOLUMES]
    if not bad:
        return ""
    quoted = ", ".join(f'"{name}"' for name in bad)
    verb = "use restricted volume types" if len(bad) > 1 else "uses restricted volume type"
    return f"restricted volume types (volume{'s' if len(bad) > 1 else ''} {quoted} {verb} {_quoted(types)})"


def _run_as_non_root(pod: Obj) -> str:
    inherited = _pod_context(pod).get("runAsNonRoot")
    explicit, implicit = [], []
    for container in _containers(pod):
        own = _context(container).get("runAsNonRoot")
        if own is False:
            explicit.append(str(container.get("name", "")))
        elif own is None and not inherited:
            implicit.append(str(container.get("name", "")))
    parts = []
    if inherited is False and (explicit or implicit):
        parts.append("pod must not set securityContext.runAsNonRoot=false")
    if explicit:
        parts.append(f"{_names(explicit)} must not set securityContext.runAsNonRoot=false")
    if implicit:
        parts.append(f"pod or {_names(implicit)} must set securityContext.runAsNonRoot=true")
    return f"runAsNonRoot != true ({'; '.join(parts)})" if parts else ""


def _run_as_user(pod: Obj) -> str:
    faults = ["pod must not set runAsUser=0"] if _pod_context(pod).get("runAsUser") == 0 else []
    bad = _bad(pod, lambda c: _context(c).get("runAsUser") == 0)
    if bad:
        faults.append(f"{_names(bad)} must not set runAsUser=0")
    return f"runAsUser=0 ({' and '.join(faults)})" if faults else ""


def _se_linux(pod: Obj) -> str:
    faults: set[str] = set()
    for holder in (pod.get("spec") or {}, *_containers(pod)):
        options = _context(holder).get("seLinuxOptions") or {}
        if options.get("type", "") not in SELINUX_TYPES:
            faults.add(f'type "{options["type"]}"')
        if options.get("user"):
            faults.add("user may not be set")
        if options.get("role"):
            faults.add("role may not be set")
    return f"seLinuxOptions ({'; '.join(sorted(faults))})" if faults else ""


def _seccomp_baseline(pod: Obj) -> str:
    faults, values = [], []
    own = (_pod_context(pod).get("seccompProfile") or {}).get("type")
    if own == "Unconfined":
        faults.append("pod")
        values.append(own)
    bad = _bad(pod, lambda c: (_context(c).get("seccompProfile") or {}).get("type") == "Unconfined")
    if bad:
        faults.append(_names(bad))
        values.append("Unconfined")
    if not faults:
        return ""
    return f"seccompProfile ({' and '.join(faults)} must not set securityContext.seccompProfile.type to {_quoted(values)})"


def _seccomp_restricted(pod: Obj) -> str:
    allowed = ("RuntimeDefault", "Localhost")
    inherited = (_pod_context(pod).get("seccompProfile") or {}).get("type")
    explicit, implicit, values = [], [], []
    for container in _containers(pod):
        own = (_context(container).get("seccompProfile") or {}).get("type")
        if own is not None and own not in allowed:
            explicit.append(str(container.get("name", "")))
            values.append(own)
        elif own is None and inherited not in allowed:
            implicit.append(str(container.get("name", "")))
    parts = []
    if inherited is not None and inherited not in allowed and implicit:
        parts.append(f'pod must not set securityContext.seccompProfile.type to "{inherited}"')
    if explicit:
        parts.append(f"{_names(explicit)} must not set securityContext.seccompProfile.type to {_quoted(values)}")
    if implicit and inherited is None:
        parts.append(f'pod or {_names(implicit)} must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"')
    return f"seccompProfile ({'; '.join(parts)})" if parts else ""


def _sysctls(pod: Obj) -> str:
    bad = [s.get("name", "") for s in _pod_context(pod).get("sysctls") or () if s.get("name") not in SAFE_SYSCTLS]
    return f"forbidden sysctls ({', '.join(sorted(bad))})" if bad else ""


def _windows_host_process(pod: Obj) -> str:
    bad = _bad(pod, lambda c: (_context(c).get("windowsOptions") or {}).get("hostProcess") is True)
    faults = ["pod"] if (_pod_context(pod).get("windowsOptions") or {}).get("hostProcess") is True else []
    if bad:
        faults.append(_names(bad))
    return f"hostProcess ({' and '.join(faults)} must not set securityContext.windowsOptions.hostProcess=true)" if faults else ""


Check = Callable[[Obj], str]
_BASELINE: tuple[Check, ...] = (
    _app_armor, _capabilities_baseline, _host_namespaces, _host_path_volumes, _host_ports, _privileged, _proc_mount, _se_linux,
    _seccomp_baseline, _sysctls, _windows_host_process,
)  # fmt: skip
_RESTRICTED: tuple[Check, ...] = (
    _allow_privilege_escalation, _app_armor, _capabilities_restricted, _host_namespaces, _host_ports, _privileged, _proc_mount,
    _restricted_volumes, _run_as_non_root, _run_as_user, _se_linux, _seccomp_restricted, _sysctls, _windows_host_process,
)  # fmt: skip
CHECKS: dict[str, tuple[Check, ...]] = {"privileged": (), "baseline": _BASELINE, "restricted": _RESTRICTED}


def violations(level: str, pod: Obj) -> list[str]:
    """What ``level`` forbids in ``pod`` (or in anything with ``metadata`` and a pod's ``spec``), empty if nothing."""
    return [text for check in CHECKS[level] if (text := check(pod))]
