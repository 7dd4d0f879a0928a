"""The kinds that the cluster serves, as facts of discovery: names, scope, verbs, subresources.

One table, read by everything that must know a resource: the API server's routes and discovery, clients, printers. Custom
resources become ``Kind`` values of the same class (``custom=True``), so nothing else distinguishes them.
``schema.node_for(kind)`` gives the shape of a kind's objects.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
_NO_COLLECTION = ("create", "delete", "get", "list", "patch", "update", "watch")
_GET_UPDATE = ("get", "patch", "update")
_PROXY = ("create", "delete", "get", "patch", "update")


@dataclass(frozen=True, slots=True)
class Subresource:
    """``kind`` is that of the objects it speaks (empty: the parent's own); ``group``/``version`` only where they differ from the parent's."""

    name: str
    verbs: tuple[str, ...]
    kind: str = ""
    group: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """One resource of one version of a group.

    ``definition`` is its name among the OpenAPI definitions (empty: none, anything goes). ``stored`` is False for what is only
    answered (reviews, bindings, metrics). ``storage`` names the resource under which objects are kept, the same for two versions or
    groups of one resource (``events`` and ``events.events.k8s.io``); ``generation`` says whether changes of the spec raise
    ``metadata.generation``. Compared by identity of names, so that a reloaded custom kind equals its former self; a set of kinds is
    faster to look into than a tuple, because unequal hashes need no comparison.
    """

    group: str
    version: str
    kind: str
    plural: str
    singular: str
    namespaced: bool
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS
    subresources: tuple[Subresource, ...] = ()
    definition: str = ""
    storage: str = ""
    stored: bool = True
    generation: bool = False
    custom: bool = False
    list_kind: str = ""
    _prefix: str = field(default="", repr=False)
    _hash: int = field(default=0, repr=False)

    def __post_init__(self) -> None:
        prefix = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        object.__setattr__(self, "_prefix", prefix)
        if not self.list_kind:
            object.__setattr__(self, "list_kind", f"{self.kind}List")
        if not self.storage:
            object.__setattr__(self, "storage", self.group_resource)
        object.__setattr__(self, "_hash", hash((self.group, self.version, self.plural)))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return isinstance(other, Kind) and (self.group, self.version, self.plural) == (other.group, other.version, other.plural)

    @property
    def api_version(self) -> str:
        """``v1``, ``apps/v1``: what objects say in ``apiVersion``."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def group_resource(self) -> str:
        """``pods``, ``deployments.apps``: how messages name the resource."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def group_kind(self) -> str:
        """``Pod``, ``Deployment.apps``."""
        return f"{self.kind}.{self.group}" if self.group else self.kind

    @property
    def has_status(self) -> bool:
        """Whether there is a ``status`` subresource: then plain updates leave the status alone."""
        return self.subresource("status") is not None

    def subresource(self, name: str) -> Subresource | None:
        return next((s for s in self.subresources if s.name == name), None)

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """The URL path. Without ``namespace`` a namespaced kind's path spans all namespaces."""
        path = self._prefix
        if namespace and self.namespaced:
            path += f"/namespaces/{namespace}"
        path += f"/{self.plural}"
        if name:
            path += f"/{name}"
            if subresource:
                path += f"/{subresource}"
        return path


STATUS = Subresource("status", _GET_UPDATE)
SCALE = Subresource("scale", _GET_UPDATE, "Scale", "autoscaling", "v1")

_PACKAGES = {
    "": "core",
    "networking.k8s.io": "networking",
    "discovery.k8s.io": "discovery",
    "rbac.authorization.k8s.io": "rbac",
    "storage.k8s.io": "storage",
    "coordination.k8s.io": "coordination",
    "events.k8s.io": "events",
    "authentication.k8s.io": "authentication",
    "authorization.k8s.io": "authorization",
    "scheduling.k8s.io": "scheduling",
    "node.k8s.io": "node",
    "admissionregistration.k8s.io": "admissionregistration",
    "certificates.k8s.io": "certificates",
    "flowcontrol.apiserver.k8s.io": "flowcontrol",
    "resource.k8s.io": "resource",
}
_ELSEWHERE = {
    "apiextensions.k8s.io": "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions",
    "apiregistration.k8s.io": "io.k8s.kube-aggregator.pkg.apis.apiregistration",
}


def _kind(
    group_version: str,
    kind: str,
    plural: str,
    *short_names: str,
    cluster: bool = False,
    categories: tuple[str, ...] = (),
    verbs: tuple[str, ...] = ALL_VERBS,
    subresources: tuple[Subresource, ...] = (),
    storage: str = "",
    stored: bool = True,
    generation: bool = False,
    singular: str | None = None,
    definition: str | None = None,
) -> Kind:
    group, _, version = group_version.rpartition("/")
    if definition is None:
        package = _ELSEWHERE.get(group) or f"io.k8s.api.{_PACKAGES.get(group, group)}"
        definition = f"{package}.{version}.{kind}"
    return Kind(
        group,
        version,
        kind,
        plural,
        kind.lower() if singular is None else singular,
        not cluster,
        short_names,
        categories,
        verbs,
        subresources,
        definition,
        storage,
        stored,
        generation,
    )


_ALL = ("all",)
_EXTENSIONS = ("api-extensions",)
_CREATE = ("create",)

# The core group
BINDINGS = _kind("v1", "Binding", "bindings", verbs=_CREATE, stored=False)
COMPONENT_STATUSES = _kind("v1", "ComponentStatus", "componentstatuses", "cs", cluster=True, verbs=("get", "list"), stored=False)
CONFIG_MAPS = _kind("v1", "ConfigMap", "configmaps", "cm")
ENDPOINTS = _kind("v1", "Endpoints", "endpoints", "ep")
EVENTS = _kind("v1", "Event", "events", "ev")
LIMIT_RANGES = _kind("v1", "LimitRange", "limitranges", "limits")
NAMESPACES = _kind(
    "v1",
    "Namespace",
    "namespaces",
    "ns",
    cluster=True,
    verbs=_NO_COLLECTION,
    subresources=(Subresource("finalize", ("update",)), STATUS),
)
NODES = _kind("v1", "Node", "nodes", "no", cluster=True, subresources=(Subresource("proxy", _PROXY, "NodeProxyOptions"), STATUS))
PERSISTENT_VOLUME_CLAIMS = _kind("v1", "PersistentVolumeClaim", "persistentvolumeclaims", "pvc", subresources=(STATUS,))
PERSISTENT_VOLUMES = _kind("v1", "PersistentVolume", "persistentvolumes", "pv", cluster=True, subresources=(STATUS,))
PODS = _kind(
    "v1",
    "Pod",
    "pods",
    "po",
    categories=_ALL,
    generation=True,
    subresources=(
        Subresource("attach", ("create", "get"), "PodAttachOptions"),
        Subresource("binding", _CREATE, "Binding"),
        Subresource("ephemeralcontainers", _GET_UPDATE),
        Subresource("eviction", _CREATE, "Eviction", "policy", "v1"),
        Subresource("exec", ("create", "get"), "PodExecOptions"),
        Subresource("log", ("get",)),
        Subresource("portforward", ("create", "get"), "PodPortForwardOptions"),
        Subresource("proxy", _PROXY, "PodProxyOptions"),
        Subresource("resize", _GET_UPDATE),
        STATUS,
    ),
)
POD_TEMPLATES = _kind("v1", "PodTemplate", "podtemplates", generation=True)
REPLICATION_CONTROLLERS = _kind(
    "v1", "ReplicationController", "replicationcontrollers", "rc", categories=_ALL, generation=True, subresources=(SCALE, STATUS)
)
RESOURCE_QUOTAS = _kind("v1", "ResourceQuota", "resourcequotas", "quota", subresources=(STATUS,))
SECRETS = _kind("v1", "Secret", "secrets")
SERVICE_ACCOUNTS = _kind(
    "v1", "ServiceAccount", "serviceaccounts", "sa",
    subresources=(Subresource("token", _CREATE, "TokenRequest", "authentication.k8s.io", "v1"),),
)  # fmt: skip
SERVICES = _kind(
    "v1", "Service", "services", "svc", categories=_ALL,
    subresources=(Subresource("proxy", _PROXY, "ServiceProxyOptions"), STATUS),
)  # fmt: skip

# Workloads
CONTROLLER_REVISIONS = _kind("apps/v1", "ControllerRevision", "controllerrevisions")
DAEMON_SETS = _kind("apps/v1", "DaemonSet", "daemonsets", "ds", categories=_ALL, generation=True, subresources=(STATUS,))
DEPLOYMENTS = _kind(
    "apps/v1", "Deployment", "deployments", "deploy", categories=_ALL, generation=True, subresources=(SCALE, STATUS)
)
REPLICA_SETS = _kind("apps/v1", "ReplicaSet", "replicasets", "rs", categories=_ALL, generation=True, subresources=(SCALE, STATUS))
STATEFUL_SETS = _kind(
    "apps/v1", "StatefulSet", "statefulsets", "sts", categories=_ALL, generation=True, subresources=(SCALE, STATUS)
)
CRON_JOBS = _kind("batch/v1", "CronJob", "cronjobs", "cj", categories=_ALL, generation=True, subresources=(STATUS,))
JOBS = _kind("batch/v1", "Job", "jobs", categories=_ALL, generation=True, subresources=(STATUS,))
HORIZONTAL_POD_AUTOSCALERS = _kind(
    "autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", "hpa", categories=_ALL, subresources=(STATUS,)
)
HORIZONTAL_POD_AUTOSCALERS_V1 = _kind(
    "autoscaling/v1", "HorizontalPodAutoscaler", "horizontalpodautoscalers", "hpa", categories=_ALL, subresources=(STATUS,)
)
POD_DISRUPTION_BUDGETS = _kind(
    "policy/v1", "PodDisruptionBudget", "poddisruptionbudgets", "pdb", generation=True, subresources=(STATUS,)
)

# Networking
INGRESS_CLASSES = _kind("networking.k8s.io/v1", "IngressClass", "ingressclasses", cluster=True, generation=True)
INGRESSES = _kind("networking.k8s.io/v1", "Ingress", "ingresses", "ing", generation=True, subresources=(STATUS,))
IP_ADDRESSES = _kind("networking.k8s.io/v1", "IPAddress", "ipaddresses", "ip", cluster=True)
NETWORK_POLICIES = _kind("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies", "netpol", generation=True)
SERVICE_CIDRS = _kind("networking.k8s.io/v1", "ServiceCIDR", "servicecidrs", cluster=True, subresources=(STATUS,))
ENDPOINT_SLICES = _kind("discovery.k8s.io/v1", "EndpointSlice", "endpointslices", generation=True)

# Who may do what
_RBAC = "rbac.authorization.k8s.io/v1"
CLUSTER_ROLE_BINDINGS = _kind(_RBAC, "ClusterRoleBinding", "clusterrolebindings", cluster=True)
CLUSTER_ROLES = _kind(_RBAC, "ClusterRole", "clusterroles", cluster=True)
ROLE_BINDINGS = _kind(_RBAC, "RoleBinding", "rolebindings")
ROLES = _kind(_RBAC, "Role", "roles")
SELF_SUBJECT_REVIEWS = _kind(
    "authentication.k8s.io/v1", "SelfSubjectReview", "selfsubjectreviews", cluster=True, verbs=_CREATE, stored=False
)
TOKEN_REVIEWS = _kind("authentication.k8s.io/v1", "TokenReview", "tokenreviews", cluster=True, verbs=_CREATE, stored=False)
_AUTHZ = "authorization.k8s.io/v1"
LOCAL_SUBJECT_ACCESS_REVIEWS = _kind(_AUTHZ, "LocalSubjectAccessReview", "localsubjectaccessreviews", verbs=_CREATE, stored=False)
SELF_SUBJECT_ACCESS_REVIEWS = _kind(
    _AUTHZ, "SelfSubjectAccessReview", "selfsubjectaccessreviews", cluster=True, verbs=_CREATE, stored=False
)
SELF_SUBJECT_RULES_REVIEWS = _kind(
    _AUTHZ, "SelfSubjectRulesReview", "selfsubjectrulesreviews", cluster=True, verbs=_CREATE, stored=False
)
SUBJECT_ACCESS_REVIEWS = _kind(_AUTHZ, "SubjectAccessReview", "subjectaccessreviews", cluster=True, verbs=_CREATE, stored=False)

# Storage, scheduling, coordination
_STORAGE = "storage.k8s.io/v1"
CSI_DRIVERS = _kind(_STORAGE, "CSIDriver", "csidrivers", cluster=True)
CSI_NODES = _kind(_STORAGE, "CSINode", "csinodes", cluster=True)
CSI_STORAGE_CAPACITIES = _kind(_STORAGE, "CSIStorageCapacity", "csistoragecapacities")
STORAGE_CLASSES = _kind(_STORAGE, "StorageClass", "storageclasses", "sc", cluster=True)
VOLUME_ATTACHMENTS = _kind(_STORAGE, "VolumeAttachment", "volumeattachments", cluster=True, subresources=(STATUS,))
VOLUME_ATTRIBUTES_CLASSES = _kind(_STORAGE, "VolumeAttributesClass", "volumeattributesclasses", "vac", cluster=True)
PRIORITY_CLASSES = _kind("scheduling.k8s.io/v1", "PriorityClass", "priorityclasses", "pc", cluster=True, generation=True)
RUNTIME_CLASSES = _kind("node.k8s.io/v1", "RuntimeClass", "runtimeclasses", cluster=True)
LEASES = _kind("coordination.k8s.io/v1", "Lease", "leases")
EVENTS_V1 = _kind("events.k8s.io/v1", "Event", "events", "ev", storage="events")

# What extends the API
_ADMISSION = "admissionregistration.k8s.io/v1"
MUTATING_WEBHOOKS = _kind(
    _ADMISSION, "MutatingWebhookConfiguration", "mutatingwebhookconfigurations",
    cluster=True, categories=_EXTENSIONS, generation=True,
)  # fmt: skip
VALIDATING_ADMISSION_POLICIES = _kind(
    _ADMISSION, "ValidatingAdmissionPolicy", "validatingadmissionpolicies",
    cluster=True, categories=_EXTENSIONS, generation=True, subresources=(STATUS,),
)  # fmt: skip
VALIDATING_ADMISSION_POLICY_BINDINGS = _kind(
    _ADMISSION, "ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings",
    cluster=True, categories=_EXTENSIONS, generation=True,
)  # fmt: skip
VALIDATING_WEBHOOKS = _kind(
    _ADMISSION, "ValidatingWebhookConfiguration", "validatingwebhookconfigurations",
    cluster=True, categories=_EXTENSIONS, generation=True,
)  # fmt: skip
CUSTOM_RESOURCE_DEFINITIONS = _kind(
    "apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions", "crd", "crds",
    cluster=True, categories=_EXTENSIONS, generation=True, subresources=(STATUS,),
)  # fmt: skip
CERTIFICATE_SIGNING_REQUESTS = _kind(
    "certificates.k8s.io/v1", "CertificateSigningRequest", "certificatesigningrequests", "csr",
    cluster=True, subresources=(Subresource("approval", _GET_UPDATE), STATUS),
)  # fmt: skip

# How requests share the server, and devices beside CPU and memory
_FLOW = "flowcontrol.apiserver.k8s.io/v1"
FLOW_SCHEMAS = _kind(_FLOW, "FlowSchema", "flowschemas", cluster=True, generation=True, subresources=(STATUS,))
PRIORITY_LEVELS = _kind(
    _FLOW, "PriorityLevelConfiguration", "prioritylevelconfigurations", cluster=True, generation=True, subresources=(STATUS,)
)
_RESOURCE = "resource.k8s.io/v1"
DEVICE_CLASSES = _kind(_RESOURCE, "DeviceClass", "deviceclasses", cluster=True, generation=True)
RESOURCE_CLAIMS = _kind(_RESOURCE, "ResourceClaim", "resourceclaims", subresources=(STATUS,))
RESOURCE_CLAIM_TEMPLATES = _kind(_RESOURCE, "ResourceClaimTemplate", "resourceclaimtemplates")
RESOURCE_SLICES = _kind(_RESOURCE, "ResourceSlice", "resourceslices", cluster=True, generation=True)

API_SERVICES = _kind(
    "apiregistration.k8s.io/v1", "APIService", "apiservices", cluster=True, categories=_EXTENSIONS, subresources=(STATUS,)
)
NODE_METRICS = _kind(
    "metrics.k8s.io/v1beta1",
    "NodeMetrics",
    "nodes",
    cluster=True,
    verbs=("get", "list"),
    stored=False,
    singular="",
    definition="",
)
POD_METRICS = _kind(
    "metrics.k8s.io/v1beta1", "PodMetrics", "pods", verbs=("get", "list"), stored=False, singular="", definition=""
)

# What only subresources speak
EVICTIONS = _kind("policy/v1", "Eviction", "evictions", verbs=(), stored=False)
SCALES = _kind("autoscaling/v1", "Scale", "scales", verbs=(), stored=False)
TOKEN_REQUESTS = _kind("authentication.k8s.io/v1", "TokenRequest", "tokenrequests", verbs=(), stored=False)
UNLISTED = (EVICTIONS, SCALES, TOKEN_REQUESTS)
"""Kinds of request bodies that are no resources of their own: decoded and validated, but not in discovery."""


def _listed() -> Iterator[Kind]:
    for value in list(globals().values()):
        if isinstance(value, Kind) and value not in UNLISTED:
            yield value


GROUPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("", ("v1",)),
    ("apiregistration.k8s.io", ("v1",)),
    ("apps", ("v1",)),
    ("events.k8s.io", ("v1",)),
    ("authentication.k8s.io", ("v1",)),
    ("authorization.k8s.io", ("v1",)),
    ("autoscaling", ("v2", "v1")),
    ("batch", ("v1",)),
    ("certificates.k8s.io", ("v1",)),
    ("networking.k8s.io", ("v1",)),
    ("policy", ("v1",)),
    ("rbac.authorization.k8s.io", ("v1",)),
    ("storage.k8s.io", ("v1",)),
    ("admissionregistration.k8s.io", ("v1",)),
    ("apiextensions.k8s.io", ("v1",)),
    ("scheduling.k8s.io", ("v1",)),
    ("coordination.k8s.io", ("v1",)),
    ("node.k8s.io", ("v1",)),
    ("discovery.k8s.io", ("v1",)),
    ("flowcontrol.apiserver.k8s.io", ("v1",)),
    ("resource.k8s.io", ("v1",)),
    ("metrics.k8s.io", ("v1beta1",)),
)
"""Groups in the order in which discovery lists them, each with its versions, the preferred first."""

_ORDER = {(group, version): i for i, (group, version) in enumerate((g, v) for g, versions in GROUPS for v in versions)}
BUILTIN: tuple[Kind, ...] = tuple(sorted(_listed(), key=lambda k: (_ORDER[k.group, k.version], k.plural)))
"""Every built-in resource, in discovery's order: by group and version, then by name."""

_BY_RESOURCE = {(k.group, k.version, k.plural): k for k in BUILTIN}
_BY_GVK = {(k.group, k.version, k.kind): k for k in (*BUILTIN, *UNLISTED)}


def by_resource(group: str, version: str, plural: str) -> Kind | None:
    return _BY_RESOURCE.get((group, version, plural))


def by_gvk(group: str, version: str, kind: str) -> Kind | None:
    return _BY_GVK.get((group, version, kind))


def split_api_version(api_version: str) -> tuple[str, str]:
    """``apps/v1`` -> (``apps``, ``v1``); ``v1`` -> (``""``, ``v1``)."""
    group, _, version = api_version.rpartition("/")
    return group, version


def by_api_version(api_version: str, kind: str) -> Kind | None:
    """The built-in kind of an object that says ``apiVersion: api_version`` and ``kind: kind``."""
    return _BY_GVK.get((*split_api_version(api_version), kind))
