"""Fill in what Kubernetes fills in when it reads an object: the way into ``halab.cluster.kube.defaulting``."""

from __future__ import annotations

from collections.abc import Callable

from halab.cluster.kube import crd
from halab.cluster.kube import kinds as k
from halab.cluster.kube.defaulting import core, others, pods, workloads
from halab.cluster.kube.kinds import Kind
from halab.cluster.kube.types import Obj

_DEFAULTS: dict[Kind, Callable[[Obj], None]] = {
    k.PODS: pods.pod,
    k.POD_TEMPLATES: core.template,
    k.SERVICES: core.service,
    k.SECRETS: core.secret,
    k.NAMESPACES: core.namespace,
    k.NODES: core.node,
    k.ENDPOINTS: core.endpoints,
    k.REPLICATION_CONTROLLERS: core.replication_controller,
    k.PERSISTENT_VOLUMES: core.volume,
    k.PERSISTENT_VOLUME_CLAIMS: core.claim,
    k.LIMIT_RANGES: core.limit_range,
    k.RESOURCE_QUOTAS: core.quota,
    k.DEPLOYMENTS: workloads.deployment,
    k.REPLICA_SETS: workloads.replica_set,
    k.DAEMON_SETS: workloads.daemon_set,
    k.STATEFUL_SETS: workloads.stateful_set,
    k.JOBS: workloads.job,
    k.CRON_JOBS: workloads.cron_job,
    k.HORIZONTAL_POD_AUTOSCALERS: workloads.autoscaler,
    k.HORIZONTAL_POD_AUTOSCALERS_V1: workloads.autoscaler_v1,
    k.NETWORK_POLICIES: others.network_policy,
    k.INGRESS_CLASSES: others.ingress_class,
    k.ENDPOINT_SLICES: others.endpoint_slice,
    k.ROLE_BINDINGS: others.binding,
    k.CLUSTER_ROLE_BINDINGS: others.binding,
    k.STORAGE_CLASSES: others.storage_class,
    k.CSI_DRIVERS: others.csi_driver,
    k.PRIORITY_CLASSES: others.priority_class,
    k.VALIDATING_WEBHOOKS: others.webhooks,
    k.MUTATING_WEBHOOKS: others.mutating_webhooks,
    k.VALIDATING_ADMISSION_POLICIES: others.admission_policy,
    k.VALIDATING_ADMISSION_POLICY_BINDINGS: others.admission_policy_binding,
    k.CUSTOM_RESOURCE_DEFINITIONS: others.custom_resource_definition,
    k.API_SERVICES: others.api_service,
    k.FLOW_SCHEMAS: others.flow_schema,
    k.PRIORITY_LEVELS: others.priority_level,
    k.RESOURCE_CLAIMS: others.resource_claim,
    k.RESOURCE_CLAIM_TEMPLATES: others.resource_claim_template,
    k.TOKEN_REQUESTS: others.token_request,
}


def apply_defaults(kind: Kind, obj: Obj) -> None:
    """Fill the defaults of ``obj`` in place. It must be normalised (fresh from ``decode``, or from storage)."""
    defaults = _DEFAULTS.get(kind)
    if defaults is not None:
        defaults(obj)
    elif kind.custom:
        crd.apply_defaults(kind, obj)
