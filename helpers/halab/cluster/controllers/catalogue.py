"""All controllers of the manager, in the order in which they start."""

from __future__ import annotations

from halab.cluster.controllers.accounts import RootCaController, ServiceAccountController
from halab.cluster.controllers.base import Controller
from halab.cluster.controllers.deployment import DeploymentController
from halab.cluster.controllers.endpoints import EndpointsController, EndpointSliceController
from halab.cluster.controllers.garbage import GarbageCollector
from halab.cluster.controllers.namespace import NamespaceController
from halab.cluster.controllers.replica_set import ReplicaSetController

CONTROLLERS: tuple[type[Controller], ...] = (
    ServiceAccountController,
    RootCaController,
    DeploymentController,
    ReplicaSetController,
    EndpointSliceController,
    EndpointsController,
    GarbageCollector,
    NamespaceController,
)
