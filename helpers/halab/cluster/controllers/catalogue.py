"""All controllers of the manager, in the order in which they start."""

from __future__ import annotations

from halab.cluster.controllers.accounts import RootCaController, ServiceAccountController
from halab.cluster.controllers.addresses import AddressController
from halab.cluster.controllers.base import Controller
from halab.cluster.controllers.cron_job import CronJobController
from halab.cluster.controllers.daemon_set import DaemonSetController
from halab.cluster.controllers.deployment import DeploymentController
from halab.cluster.controllers.disruption import DisruptionController
from halab.cluster.controllers.endpoints import EndpointsController, EndpointSliceController
from halab.cluster.controllers.endpoints_mirror import EndpointsMirrorController
from halab.cluster.controllers.ephemeral_volumes import EphemeralVolumeController
from halab.cluster.controllers.garbage import GarbageCollector
from halab.cluster.controllers.hpa import HpaController
from halab.cluster.controllers.job import JobController
from halab.cluster.controllers.namespace import NamespaceController
from halab.cluster.controllers.node_lifecycle import NodeLifecycleController
from halab.cluster.controllers.pod_gc import PodCollector
from halab.cluster.controllers.provisioner import ProvisionController
from halab.cluster.controllers.quota import ResourceQuotaController
from halab.cluster.controllers.replica_set import ReplicaSetController, ReplicationControllerController
from halab.cluster.controllers.resource_claims import ResourceClaimController
from halab.cluster.controllers.stateful_set import StatefulSetController
from halab.cluster.controllers.taint_eviction import TaintEvictionController
from halab.cluster.controllers.ttl import TtlController
from halab.cluster.controllers.volume_protection import VolumeProtectionController
from halab.cluster.controllers.volumes import VolumeController

CONTROLLERS: tuple[type[Controller], ...] = (
    ServiceAccountController,
    RootCaController,
    NodeLifecycleController,
    TaintEvictionController,
    DeploymentController,
    ReplicaSetController,
    ReplicationControllerController,
    StatefulSetController,
    DaemonSetController,
    JobController,
    CronJobController,
    TtlController,
    EndpointSliceController,
    EndpointsController,
    EndpointsMirrorController,
    AddressController,
    ResourceQuotaController,
    DisruptionController,
    HpaController,
    VolumeController,
    VolumeProtectionController,
    EphemeralVolumeController,
    ResourceClaimController,
    ProvisionController,
    PodCollector,
    GarbageCollector,
    NamespaceController,
)
