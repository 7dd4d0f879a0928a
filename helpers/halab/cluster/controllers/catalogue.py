"""All controllers of the manager, in the order in which they start."""

from __future__ import annotations

from halab.cluster.controllers.accounts import RootCaController, ServiceAccountController
from halab.cluster.controllers.base import Controller
from halab.cluster.controllers.cron_job import CronJobController
from halab.cluster.controllers.daemon_set import DaemonSetController
from halab.cluster.controllers.deployment import DeploymentController
from halab.cluster.controllers.endpoints import EndpointsController, EndpointSliceController
from halab.cluster.controllers.garbage import GarbageCollector
from halab.cluster.controllers.job import JobController
from halab.cluster.controllers.namespace import NamespaceController
from halab.cluster.controllers.replica_set import ReplicaSetController
from halab.cluster.controllers.stateful_set import StatefulSetController
from halab.cluster.controllers.ttl import TtlController

CONTROLLERS: tuple[type[Controller], ...] = (
    ServiceAccountController,
    RootCaController,
    DeploymentController,
    ReplicaSetController,
    StatefulSetController,
    DaemonSetController,
    JobController,
    CronJobController,
    TtlController,
    EndpointSliceController,
    EndpointsController,
    GarbageCollector,
    NamespaceController,
)
