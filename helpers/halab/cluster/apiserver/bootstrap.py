"""What a cluster has before anybody asked for it: namespaces, roles, the ``kubernetes`` Service, priority classes, storage.

Runs at every start, before requests are answered; what exists is left as it is (the RBAC defaults are reconciled, as in Kubernetes).
"""

from __future__ import annotations

import uuid
from typing import Any

from halab.cluster.apiserver import api_services, flows
from halab.cluster.apiserver.names import now
from halab.cluster.kube import crd, gateway, kinds, rbac_bootstrap
from halab.cluster.kube.decode import decode_object
from halab.cluster.kube.defaults import apply_defaults
from halab.cluster.kube.kinds import Kind
from halab.cluster.kube.schema import node_for
from halab.cluster.kube.strategy import prepare_create
from halab.cluster.store.store import Store, Transaction
from halab.settings import API_PORT, ClusterConfig

Obj = dict[str, Any]
NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
SYSTEM_CRITICAL = (("system-cluster-critical", 2000000000, "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary."),
                   ("system-node-critical", 2000001000, "Used for system critical pods that must not be moved from their current node."))  # fmt: skip


def make(kind: Kind, obj: Obj) -> Obj:
    """A new object with everything that the server adds."""
    obj, _ = decode_object({"kind": kind.kind, "apiVersion": kind.api_version, **obj}, kind, node_for(kind))
    obj["metadata"] |= {"uid": str(uuid.uuid4()), "creationTimestamp": now()}
    apply_defaults(kind, obj)
    prepare_create(kind, obj)
    return obj


def ensure(tx: Transaction, kind: Kind, obj: Obj) -> None:
    """Create ``obj`` unless an object of its name exists."""
    namespace, name = obj["metadata"].get("namespace", ""), obj["metadata"]["name"]
    if tx.get(kind.storage, namespace, name) is None:
        tx.put(kind.storage, namespace, name, make(kind, obj))


def bootstrap(store: Store, config: ClusterConfig) -> None:
    def work(tx: Transaction) -> None:
        for name in NAMESPACES:
            labels = {"kubernetes.io/metadata.name": name}
            ensure(tx, kinds.NAMESPACES, {"metadata": {"name": name, "labels": labels}, "spec": {}})
        for name, value, text in SYSTEM_CRITICAL:
            ensure(tx, kinds.PRIORITY_CLASSES, {"metadata": {"name": name}, "value": value, "description": text})
        for kind, wanted in _roles():
            _reconcile(tx, kind, wanted)
        _kubernetes_service(tx, config)
        flows.ensure(tx, make)
        _authentication(tx, config)
        for definition in gateway.definitions():
            _definition(tx, definition)
        for group, version in api_services.builtin():
            api_services.ensure(tx, group, version, make)
        networks = {"spec": {"cidrs": [config.addresses.service_cidr]}, "metadata": {"name": "kubernetes"}}
        ensure(tx, kinds.SERVICE_CIDRS, networks)

    store.transact(work)


def _roles() -> list[tuple[Kind, Obj]]:
    sources = (
        (kinds.CLUSTER_ROLES, rbac_bootstrap.cluster_roles()),
        (kinds.CLUSTER_ROLE_BINDINGS, rbac_bootstrap.cluster_role_bindings()),
        (kinds.ROLES, rbac_bootstrap.roles()),
        (kinds.ROLE_BINDINGS, rbac_bootstrap.role_bindings()),
    )
    return [(kind, obj) for kind, objects in sources for obj in objects]


def _reconcile(tx: Transaction, kind: Kind, wanted: Obj) -> None:
    """Missing rules and subjects of a default role or binding come back at each start, unless its owner said not to
    (annotation ``rbac.authorization.kubernetes.io/autoupdate: "false"``)."""
    namespace, name = wanted["metadata"].get("namespace", ""), wanted["metadata"]["name"]
    entry = tx.get(kind.storage, namespace, name)
    if entry is None:
        tx.put(kind.storage, namespace, name, make(kind, wanted))
        return
    present = entry.obj()
    if (present["metadata"].get("annotations") or {}).get("rbac.authorization.kubernetes.io/autoupdate") == "false":
        return
    changed = False
    for field in ("rules", "subjects"):
        missing = [item for item in make(kind, wanted).get(field) or () if item not in (present.get(field) or ())]
        if missing and not present.get("aggregationRule"):
            present[field] = [*(present.get(field) or ()), *missing]
            changed = True
    if changed:
        tx.put(kind.storage, namespace, name, present)


def _definition(tx: Transaction, definition: Obj) -> None:
    """A definition that every cluster has; a newer form of it replaces an older one."""
    kind, name = kinds.CUSTOM_RESOURCE_DEFINITIONS, definition["metadata"]["name"]
    made = make(kind, definition)
    made["status"] = crd.accepted_status(made, [], now())
    entry = tx.get(kind.storage, "", name)
    if entry is None:
        tx.put(kind.storage, "", name, made)
        return
    present = entry.obj()
    if present["spec"] != made["spec"] and not present["metadata"].get("deletionTimestamp"):
        present["spec"] = made["spec"]
        tx.put(kind.storage, "", name, present)


def _authentication(tx: Transaction, config: ClusterConfig) -> None:
    """What aggregated API servers read to know whom to believe."""
    data = {
        "client-ca-file": config.ca_file.read_text(),
        "requestheader-allowed-names": '["front-proxy-client"]',
        "requestheader-client-ca-file": config.proxy_authority.read_text(),
        "requestheader-extra-headers-prefix": '["X-Remote-Extra-"]',
        "requestheader-group-headers": '["X-Remote-Group"]',
        "requestheader-username-headers": '["X-Remote-User"]',
    }
    kind, meta = kinds.CONFIG_MAPS, {"name": "extension-apiserver-authentication", "namespace": "kube-system"}
    entry = tx.get(kind.storage, meta["namespace"], meta["name"])
    if entry is None:
        tx.put(kind.storage, meta["namespace"], meta["name"], make(kind, {"metadata": meta, "data": data}))
    elif entry.obj().get("data") != data:  # a restored cluster has another authority
        tx.put(kind.storage, meta["namespace"], meta["name"], entry.obj() | {"data": data})


def _kubernetes_service(tx: Transaction, config: ClusterConfig) -> None:
    addresses = config.addresses
    labels = {"component": "apiserver", "provider": "kubernetes"}
    meta = {"name": "kubernetes", "namespace": "default"}
    spec = {
        "ports": [{"name": "https", "protocol": "TCP", "port": 443, "targetPort": API_PORT}],
        "clusterIP": addresses.kubernetes_service,
        "clusterIPs": [addresses.kubernetes_service],
        "type": "ClusterIP",
        "sessionAffinity": "None",
        "ipFamilies": ["IPv4"],
        "ipFamilyPolicy": "SingleStack",
        "internalTrafficPolicy": "Cluster",
    }
    ensure(tx, kinds.SERVICES, {"metadata": meta | {"labels": labels}, "spec": spec})
    service_label = {"kubernetes.io/service-name": "kubernetes"}
    port = {"name": "https", "port": API_PORT, "protocol": "TCP"}
    endpoint = {"addresses": [addresses.api_in_pods], "conditions": {"ready": True}}
    ensure(
        tx,
        kinds.ENDPOINT_SLICES,
        {"metadata": meta | {"labels": service_label}, "addressType": "IPv4", "endpoints": [endpoint], "ports": [port]},
    )
    mirror = {"endpointslice.kubernetes.io/skip-mirror": "true"}
    subset = {"addresses": [{"ip": addresses.api_in_pods}], "ports": [port]}
    ensure(tx, kinds.ENDPOINTS, {"metadata": meta | {"labels": mirror}, "subsets": [subset]})
