"""Fields of features that Kubernetes 1.34 knows and leaves switched off (pkg/features/kube_features.go): a server drops them from what it is
sent, unless the stored object has them already. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from halab.cluster.kube import kinds as k
from halab.cluster.kube.kinds import Kind
from halab.cluster.kube.types import Obj

_TEMPLATES = frozenset({k.DEPLOYMENTS, k.REPLICA_SETS, k.STATEFUL_SETS, k.DAEMON_SETS, k.JOBS, k.REPLICATION_CONTROLLERS})


def drop_disabled(kind: Kind, new: Obj, old: Obj | None = None) -> None:
    """Take such fields out of ``new``, which is about to be stored over ``old``."""
    spec, before = _pod_spec(kind, new), _pod_spec(kind, old) if old is not None else None
    if spec is not None:
        _host_name(spec, before)
        _stop_signals(spec, before)
    special = _SPECIAL.get(kind)
    if special is not None:
        special(new["spec"], (old or {}).get("spec"))


def _pod_spec(kind: Kind, obj: Obj) -> Obj | None:
    found: Obj | None = obj.get("spec")
    if kind is k.PODS:
        return found
    if kind is k.CRON_JOBS:
        found = ((found or {}).get("jobTemplate") or {}).get("spec")
    if kind in _TEMPLATES or kind is k.CRON_JOBS:
        return ((found or {}).get("template") or {}).get("spec")
    return (obj.get("template") or {}).get("spec") if kind is k.POD_TEMPLATES else None


def _host_name(spec: Obj, before: Obj | None) -> None:
    """HostnameOverride."""
    if "hostnameOverride" in spec and not (before or {}).get("hostnameOverride"):
        del spec["hostnameOverride"]


def _lifecycles(spec: Obj | None) -> Iterator[Obj]:
    for group in ("containers", "initContainers", "ephemeralContainers"):
        for container in (spec or {}).get(group) or ():
            if "lifecycle" in container:
                yield container


def _stop_signals(spec: Obj, before: Obj | None) -> None:
    """ContainerStopSignals."""
    asking = [container for container in _lifecycles(spec) if "stopSignal" in container["lifecycle"]]
    if asking and not any("stopSignal" in container["lifecycle"] for container in _lifecycles(before)):
        for container in asking:
            del container["lifecycle"]["stopSignal"]
            if not container["lifecycle"]:
                del container["lifecycle"]


def _rolling(spec: Obj | None) -> Obj:
    found: Obj = ((spec or {}).get("updateStrategy") or {}).get("rollingUpdate") or {}
    return found


def _max_unavailable(spec: Obj, before: Obj | None) -> None:
    """MaxUnavailableStatefulSet."""
    if "maxUnavailable" in _rolling(spec) and "maxUnavailable" not in _rolling(before):
        del _rolling(spec)["maxUnavailable"]


def _tolerance(spec: Obj, before: Obj | None) -> None:
    """HPAConfigurableTolerance."""

    def rules(of: Obj | None) -> list[Obj]:
        behavior = (of or {}).get("behavior") or {}
        return [rule for rule in (behavior.get("scaleUp"), behavior.get("scaleDown")) if rule and "tolerance" in rule]

    if not rules(before):
        for rule in rules(spec):
            del rule["tolerance"]


_SPECIAL: dict[Kind, Callable[[Obj, Obj | None], None]] = {
    k.STATEFUL_SETS: _max_unavailable,
    k.HORIZONTAL_POD_AUTOSCALERS: _tolerance,
}
