"""Discovery documents: what groups, versions and resources are served, in the old form (one list a group version) and the
aggregated one.

All functions take the served kinds in discovery's order (built-in ones first) and are pure; the API server keeps their results
until its kinds change. https://kubernetes.io/docs/concepts/overview/kubernetes-api/#discovery-api
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence

from halab.cluster.kube.kinds import GROUPS, Kind, Subresource
from halab.cluster.kube.types import Obj

AGGREGATED_V2 = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
AGGREGATED_V2BETA1 = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"

_PRIORITY = {group: place for place, (group, _) in enumerate(GROUPS)}
_STORED_AS = {("events.k8s.io", "v1"): ("", "v1"), ("autoscaling", "v1"): ("autoscaling", "v2")}
_VERSION = re.compile(r"v(\d+)(?:(alpha|beta)(\d+))?")


def api_versions(server: str) -> Obj:
    """``/api``. ``server`` is the API server's ``host:port``."""
    return {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": server}],
    }


def group_list(kinds: Iterable[Kind]) -> Obj:
    """``/apis``: every group but the core one."""
    return {
        "kind": "APIGroupList",
        "apiVersion": "v1",
        "groups": [_group(name, versions) for name, versions in _groups(kinds).items() if name],
    }


def group(kinds: Iterable[Kind], name: str) -> Obj | None:
    """``/apis/GROUP``; None if nothing of it is served."""
    versions = _groups(kinds).get(name)
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(name, versions)} if versions and name else None


def resource_list(kinds: Iterable[Kind], group: str, version: str) -> Obj | None:
    """``/apis/GROUP/VERSION`` or ``/api/v1``: resources, and subresources as entries of their own. None if it is not served."""
    served = [kind for kind in kinds if kind.group == group and kind.version == version]
    if not served:
        return None
    resources = [entry for kind in served for entry in (_resource(kind), *(_subresource(kind, sub) for sub in kind.subresources))]
    document: Obj = {"kind": "APIResourceList"}
    if group:
        document["apiVersion"] = "v1"  # the core group's list has none: it is older than the field
    return {**document, "groupVersion": served[0].api_version, "resources": resources}


def aggregated(kinds: Iterable[Kind], *, core: bool, version: str = "v2") -> Obj:
    """The ``APIGroupDiscoveryList`` of ``/api`` (``core``) or ``/apis``.

    ``version`` is that of apidiscovery.k8s.io (v2, v2beta1).
    """
    kinds = list(kinds)
    items = [
        {
            "metadata": {"name": name} if name else {},
            "versions": [
                {
                    "version": served,
                    "resources": [_aggregated_resource(kind) for kind in kinds if kind.group == name and kind.version == served],
                    "freshness": "Current",
                }
                for served in versions
            ],
        }
        for name, versions in _groups(kinds).items()
        if core is (name == "")
    ]
    return {"kind": "APIGroupDiscoveryList", "apiVersion": f"apidiscovery.k8s.io/{version}", "metadata": {}, "items": items}


def version_order(version: str) -> tuple[int, int, int, str]:
    """A sort key that puts the preferred version first: v2, v1, v1beta2, v1beta1, v1alpha1, then other names."""
    match = _VERSION.fullmatch(version)
    if match is None:
        return 3, 0, 0, version
    major, stage, minor = match.groups()
    return {None: 0, "beta": 1, "alpha": 2}[stage], -int(major), -int(minor or 0), ""


def storage_version_hash(kind: Kind) -> str:
    """What tells clients that objects of a resource began to be stored in another version."""
    group, version = _STORED_AS.get((kind.group, kind.version), (kind.group, kind.version))
    text = f"{group}/{version}/{kind.kind}"
    return base64.b64encode(hashlib.sha256(text.encode()).digest()[:8]).decode()


def _groups(kinds: Iterable[Kind]) -> dict[str, list[str]]:
    """Versions by group, preferred first; groups in order of priority, those of custom resources last, by name."""
    found: dict[str, set[str]] = {}
    for kind in kinds:
        found.setdefault(kind.group, set()).add(kind.version)
    names = sorted(found, key=lambda name: (_PRIORITY.get(name, len(_PRIORITY)), name))
    return {name: sorted(found[name], key=version_order) for name in names}


def _group(name: str, versions: Sequence[str]) -> Obj:
    listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": listed, "preferredVersion": dict(listed[0])}


def _resource(kind: Kind) -> Obj:
    entry: Obj = {
        "name": kind.plural,
        "singularName": kind.singular,
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": list(kind.verbs),
    }
    if kind.short_names:
        entry["shortNames"] = list(kind.short_names)
    if kind.categories:
        entry["categories"] = list(kind.categories)
    if kind.stored:
        entry["storageVersionHash"] = storage_version_hash(kind)
    return entry


def _subresource(kind: Kind, sub: Subresource) -> Obj:
    entry: Obj = {"name": f"{kind.plural}/{sub.name}", "singularName": "", "namespaced": kind.namespaced}
    if sub.group:
        entry["group"] = sub.group
    if sub.version:
        entry["version"] = sub.version
    return {**entry, "kind": sub.kind or kind.kind, "verbs": list(sub.verbs)}


def _aggregated_resource(kind: Kind) -> Obj:
    entry: Obj = {
        "resource": kind.plural,
        "responseKind": {"group": "", "version": "", "kind": kind.kind},
        "scope": "Namespaced" if kind.namespaced else "Cluster",
        "singularResource": kind.singular,
        "verbs": list(kind.verbs),
    }
    if kind.short_names:
        entry["shortNames"] = list(kind.short_names)
    if kind.categories:
        entry["categories"] = list(kind.categories)
    if kind.subresources:
        entry["subresources"] = [
            {
                "subresource": sub.name,
                "responseKind": {"group": sub.group, "version": sub.version, "kind": sub.kind or kind.kind},
                "verbs": list(sub.verbs),
            }
            for sub in kind.subresources
        ]
    return entry
