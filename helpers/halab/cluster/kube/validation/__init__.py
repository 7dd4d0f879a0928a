"""Kubernetes' validation: what is wrong with an object, in its own words.

The way in: ``validate_create``, ``validate_update``, ``warnings_for``, ``kind_warning``. One module a family of kinds; each rule takes the list
of errors that it adds to, and the object. Objects are decoded, defaulted and prepared (``strategy``). The source of each rule is the
API reference and the behaviour of Kubernetes 1.34.
"""

from __future__ import annotations

from collections.abc import Callable

from halab.cluster.kube import crd
from halab.cluster.kube import kinds as k
from halab.cluster.kube.kinds import Kind
from halab.cluster.kube.status import FieldError
from halab.cluster.kube.types import Obj
from halab.cluster.kube.validation import (
    addresses,
    admission,
    certificates,
    core,
    definitions,
    devices,
    drivers,
    flowcontrol,
    jobs,
    limits,
    networking,
    others,
    pods,
    scaling,
    services,
    storage,
    workloads,
)  # fmt: skip
from halab.cluster.kube.validation.meta import Errors, metadata_update
from halab.cluster.kube.validation.warnings import kind_warning, warnings_for

__all__ = ["kind_warning", "validate_create", "validate_update", "warnings_for"]

Create = Callable[[Errors, Obj], None]
Update = Callable[[Errors, Obj, Obj], None]

_CREATE: dict[Kind, Create] = {
    k.BINDINGS: core.binding,
    k.CONFIG_MAPS: core.config_map,
    k.ENDPOINTS: core.endpoints,
    k.EVENTS: core.event,
    k.LIMIT_RANGES: limits.limit_range,
    k.NAMESPACES: core.namespace,
    k.NODES: core.node,
    k.PERSISTENT_VOLUME_CLAIMS: storage.claim,
    k.PERSISTENT_VOLUMES: storage.volume,
    k.PODS: pods.pod,
    k.POD_TEMPLATES: core.pod_template_object,
    k.REPLICATION_CONTROLLERS: workloads.replication_controller,
    k.RESOURCE_QUOTAS: limits.quota,
    k.SECRETS: core.secret,
    k.SERVICE_ACCOUNTS: core.plain,
    k.SERVICES: services.service,
    k.CONTROLLER_REVISIONS: workloads.controller_revision,
    k.DAEMON_SETS: workloads.daemon_set,
    k.DEPLOYMENTS: workloads.deployment,
    k.REPLICA_SETS: workloads.replica_set,
    k.STATEFUL_SETS: workloads.stateful_set,
    k.CRON_JOBS: jobs.cron_job,
    k.JOBS: jobs.job,
    k.HORIZONTAL_POD_AUTOSCALERS: scaling.autoscaler,
    k.HORIZONTAL_POD_AUTOSCALERS_V1: scaling.autoscaler,
    k.SCALES: scaling.scale,
    k.POD_DISRUPTION_BUDGETS: scaling.budget,
    k.INGRESSES: networking.ingress,
    k.INGRESS_CLASSES: networking.ingress_class,
    k.NETWORK_POLICIES: networking.network_policy,
    k.ENDPOINT_SLICES: networking.endpoint_slice,
    k.ROLES: others.role,
    k.CLUSTER_ROLES: others.cluster_role,
    k.ROLE_BINDINGS: others.role_binding,
    k.CLUSTER_ROLE_BINDINGS: others.cluster_role_binding,
    k.STORAGE_CLASSES: storage.storage_class,
    k.CSI_DRIVERS: drivers.csi_driver,
    k.CSI_NODES: drivers.csi_node,
    k.CSI_STORAGE_CAPACITIES: drivers.storage_capacity,
    k.VOLUME_ATTACHMENTS: drivers.attachment,
    k.VOLUME_ATTRIBUTES_CLASSES: drivers.attributes_class,
    k.IP_ADDRESSES: addresses.ip_address,
    k.SERVICE_CIDRS: addresses.service_cidr,
    k.API_SERVICES: addresses.api_service,
    k.FLOW_SCHEMAS: flowcontrol.flow_schema,
    k.PRIORITY_LEVELS: flowcontrol.priority_level,
    k.DEVICE_CLASSES: devices.device_class,
    k.RESOURCE_CLAIMS: devices.claim,
    k.RESOURCE_CLAIM_TEMPLATES: devices.template,
    k.RESOURCE_SLICES: devices.resource_slice,
    k.PRIORITY_CLASSES: others.priority_class,
    k.RUNTIME_CLASSES: others.runtime_class,
    k.LEASES: others.lease,
    k.VALIDATING_WEBHOOKS: admission.webhooks,
    k.VALIDATING_ADMISSION_POLICIES: admission.policy,
    k.VALIDATING_ADMISSION_POLICY_BINDINGS: admission.binding,
    k.MUTATING_WEBHOOKS: admission.webhooks,
    k.SUBJECT_ACCESS_REVIEWS: others.access_review,
    k.SELF_SUBJECT_ACCESS_REVIEWS: others.access_review,
    k.LOCAL_SUBJECT_ACCESS_REVIEWS: others.access_review,
    k.CUSTOM_RESOURCE_DEFINITIONS: definitions.definition,
    k.CERTIFICATE_SIGNING_REQUESTS: certificates.request,
}
_UPDATE: dict[Kind, Update] = {
    k.CONFIG_MAPS: core.config_map_update,
    k.ENDPOINTS: core.updated(core.endpoints),
    k.NAMESPACES: core.metadata_only_update,
    k.NODES: core.node_update,
    k.PERSISTENT_VOLUME_CLAIMS: storage.claim_update,
    k.PERSISTENT_VOLUMES: storage.volume_update,
    k.PODS: pods.pod_update,
    k.REPLICATION_CONTROLLERS: workloads.replication_controller_update,
    k.RESOURCE_QUOTAS: limits.quota_update,
    k.SECRETS: core.secret_update,
    k.SERVICES: services.service_update,
    k.CONTROLLER_REVISIONS: workloads.controller_revision_update,
    k.DAEMON_SETS: workloads.daemon_set_update,
    k.DEPLOYMENTS: workloads.deployment_update,
    k.REPLICA_SETS: workloads.replica_set_update,
    k.STATEFUL_SETS: workloads.stateful_set_update,
    k.CRON_JOBS: jobs.cron_job_update,
    k.JOBS: jobs.job_update,
    k.HORIZONTAL_POD_AUTOSCALERS: scaling.autoscaler_update,
    k.HORIZONTAL_POD_AUTOSCALERS_V1: scaling.autoscaler_update,
    k.POD_DISRUPTION_BUDGETS: scaling.budget_update,
    k.INGRESSES: networking.ingress_update,
    k.INGRESS_CLASSES: networking.ingress_class_update,
    k.ENDPOINT_SLICES: networking.endpoint_slice_update,
    k.ROLE_BINDINGS: others.role_binding_update,
    k.CLUSTER_ROLE_BINDINGS: others.cluster_role_binding_update,
    k.STORAGE_CLASSES: storage.storage_class_update,
    k.PRIORITY_CLASSES: others.priority_class_update,
    k.RUNTIME_CLASSES: others.runtime_class_update,
    k.LEASES: others.lease_update,
    k.CSI_DRIVERS: drivers.csi_driver_update,
    k.CSI_STORAGE_CAPACITIES: drivers.storage_capacity_update,
    k.VOLUME_ATTACHMENTS: drivers.attachment_update,
    k.VOLUME_ATTRIBUTES_CLASSES: drivers.attributes_class_update,
    k.IP_ADDRESSES: addresses.ip_address_update,
    k.SERVICE_CIDRS: addresses.service_cidr_update,
    k.API_SERVICES: addresses.api_service_update,
    k.RESOURCE_CLAIMS: devices.claim_update,
    k.RESOURCE_CLAIM_TEMPLATES: devices.template_update,
    k.RESOURCE_SLICES: devices.slice_update,
    k.CUSTOM_RESOURCE_DEFINITIONS: definitions.definition_update,
    k.CERTIFICATE_SIGNING_REQUESTS: certificates.request_update,
}
_SUBRESOURCES: dict[tuple[Kind, str], Update] = {
    (k.PODS, "status"): pods.pod_status_update,
    (k.PODS, "ephemeralcontainers"): pods.ephemeral_containers_update,
    (k.NAMESPACES, "status"): core.namespace_status_update,
    (k.NAMESPACES, "finalize"): core.namespace_finalize_update,
    (k.NODES, "status"): core.node_update,
    (k.RESOURCE_QUOTAS, "status"): limits.quota_status_update,
    (k.PERSISTENT_VOLUME_CLAIMS, "status"): storage.claim_status_update,
    (k.REPLICATION_CONTROLLERS, "status"): workloads.status_update,
    (k.DEPLOYMENTS, "status"): workloads.status_update,
    (k.REPLICA_SETS, "status"): workloads.status_update,
    (k.STATEFUL_SETS, "status"): workloads.status_update,
    (k.DAEMON_SETS, "status"): workloads.status_update,
    (k.JOBS, "status"): jobs.job_status_update,
    (k.CERTIFICATE_SIGNING_REQUESTS, "approval"): certificates.request_update,
    (k.CERTIFICATE_SIGNING_REQUESTS, "status"): certificates.request_update,
    (k.FLOW_SCHEMAS, "status"): flowcontrol.status_update,
    (k.PRIORITY_LEVELS, "status"): flowcontrol.status_update,
    (k.RESOURCE_CLAIMS, "status"): devices.claim_status_update,
    (k.API_SERVICES, "status"): addresses.api_service_status_update,
    (k.POD_DISRUPTION_BUDGETS, "status"): scaling.budget_status_update,
}


def validate_create(kind: Kind, obj: Obj) -> list[FieldError]:
    """The faults of a new object; it has its name, uid and namespace already."""
    errors: Errors = []
    rule = _CREATE.get(kind)
    if rule is not None:
        rule(errors, obj)
    elif kind.custom:
        others.custom(errors, obj, kind.namespaced)
        errors += crd.validate(kind, obj)
    elif kind.stored:
        (others.named if kind.namespaced else others.named_cluster)(errors, obj)
    return errors


_WHOLE_TOO = frozenset({
    k.DAEMON_SETS, k.REPLICA_SETS, k.REPLICATION_CONTROLLERS, k.JOBS, k.PERSISTENT_VOLUME_CLAIMS, k.PERSISTENT_VOLUMES, k.NODES,
    k.NAMESPACES, k.ROLES, k.CLUSTER_ROLES, k.SERVICE_ACCOUNTS,
})  # fmt: skip
"""Kinds whose updates Kubernetes validates as a new object first, so that faults of the object are caused twice."""


def validate_update(kind: Kind, new: Obj, old: Obj, subresource: str | None = None) -> list[FieldError]:
    """The faults of ``new`` as an update of ``old`` through ``subresource``: its own, and changes that are not allowed.

    Changes of the metadata are looked at for all kinds alike, and again by most kinds' own rules: causes name such faults twice.
    """
    errors: Errors = []
    metadata_update(errors, new["metadata"], old["metadata"])
    rule = _SUBRESOURCES.get((kind, subresource)) if subresource else _UPDATE.get(kind)
    if rule is None and subresource == "scale":
        rule = _UPDATE.get(kind)
    if not subresource and kind in _WHOLE_TOO:
        errors += validate_create(kind, new)
    if rule is not None:
        rule(errors, new, old)
    elif kind.custom:
        errors += crd.validate(kind, new, old)
    else:
        metadata_update(errors, new["metadata"], old["metadata"])
        if not subresource and kind not in _WHOLE_TOO:
            errors += validate_create(kind, new)
    return errors
