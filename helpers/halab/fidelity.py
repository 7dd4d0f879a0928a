"""The one place that says where the embedded cluster differs from a real Kubernetes. Pure data.

``docs/fidelity.md`` is written from it, ``halab status`` counts it, ``halab fidelity`` prints it, and notebooks show a row as a badge
(``lab.badge("NetworkPolicy")``). What is not named here is meant to be as in Kubernetes: where it is not, that is a bug.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum

from halab.errors import UsageError

DOCS = "https://kubernetes.io/docs/"


class Level(StrEnum):
    """``real``: the thing itself, with its limits told. ``simulated``: same behaviour by other means. ``not enforced``: accepted, stored,
    shown, without effect. ``absent``: refused or not there."""

    REAL = "real"
    SIMULATED = "simulated"
    NOT_ENFORCED = "not enforced"
    ABSENT = "absent"


SIGNS = {Level.REAL: "●", Level.SIMULATED: "◐", Level.NOT_ENFORCED: "○", Level.ABSENT: "✕"}
"""A shape for each level, so that no badge is told by its colour alone."""


@dataclass(frozen=True, slots=True)
class Row:
    """``what`` is the key (unique, as learners call it); ``difference`` one or two sentences; ``link`` where Kubernetes describes the real thing."""

    area: str
    what: str
    level: Level
    difference: str
    link: str = ""

    def to_json(self) -> dict[str, str]:
        return asdict(self)


R, S, N, A = Level.REAL, Level.SIMULATED, Level.NOT_ENFORCED, Level.ABSENT

TABLE: tuple[Row, ...] = (
    # Machine and nodes
    Row("Nodes", "Node", S, "Every node is an agent process on this one machine; losing one is real for its pods, not for the hardware. All report "
        "the capacity of the whole machine.", DOCS + "concepts/architecture/nodes/"),
    Row("Nodes", "Node heartbeats", R, "A node is lost after its Lease's duration, 40 s; Kubernetes' default is now 50 s.",
        DOCS + "reference/node/node-status/#heartbeats"),
    Row("Nodes", "Pod garbage collection", R, "Pods of a deleted node are collected after 10 s (Kubernetes: 40 s).",
        DOCS + "concepts/workloads/pods/pod-lifecycle/#pod-garbage-collection"),
    Row("Nodes", "Node clock", S, "All nodes share this machine's clock. The failure clock-skew shifts CLOCK_REALTIME for a node's agent and, by a preloaded "
        "library, for the programs in its pods; static programs keep the machine's time, and so do the times of files.",
        DOCS + "concepts/architecture/nodes/"),
    # Containers
    Row("Pods", "Container isolation", S, "A container is a process of this machine. Where user namespaces or root allow it, it has its own mount, "
        "pid and host name namespaces. Elsewhere paths are rewritten by a preloaded library (sandbox mode `none`) and processes see each other; "
        "static programs then escape it.", DOCS + "concepts/containers/"),
    Row("Pods", "Pod network", S, "A pod has a loopback address of its own (127.c.n.m) and no network namespace: it can also reach other ports of "
        "this machine, and no pod has an interface to itself.", DOCS + "concepts/cluster-administration/networking/"),
    Row("Pods", "Low ports", S, "Where this machine does not let users bind ports below 1024, they are moved up by a fixed distance; programs inside "
        "pods do not notice, requests from outside use the port that halab prints.", DOCS + "concepts/services-networking/service/"),
    Row("Pods", "CPU limits", S, "Enforced by the kernel only where the agent may write to a cpu cgroup; elsewhere not at all. Use is always measured, "
        "so autoscaling follows the truth.", DOCS + "concepts/configuration/manage-resources-containers/"),
    Row("Pods", "Memory limits", S, "Enforced by the kernel where the agent may write to a memory cgroup; elsewhere the agent watches a container's "
        "memory and ends it as OOMKilled, a moment later than a kernel would.", DOCS + "concepts/configuration/manage-resources-containers/"),
    Row("Pods", "securityContext", S, "runAsUser, capabilities, readOnlyRootFilesystem and allowPrivilegeEscalation act where namespaces are there; in "
        "sandbox mode `none` they do not. runAsNonRoot is always checked.", DOCS + "tasks/configure-pod-container/security-context/"),
    Row("Pods", "seccomp, AppArmor, SELinux, sysctls", N, "Accepted and shown; no profile is loaded and no kernel parameter set.", DOCS + "tutorials/security/seccomp/"),
    Row("Pods", "Termination grace", S, "In the pods of a controller (a Deployment, StatefulSet, DaemonSet or Job) a lone process 1 that cannot hear its stop "
        "signal and has no socket is killed at once instead of after its grace period, with the same exit code 137.", DOCS + "concepts/workloads/pods/pod-lifecycle/#pod-termination"),
    Row("Pods", "Dynamic resource allocation", N, "As in a cluster without any driver: classes, claims, templates and slices are checked, claims are made "
        "from templates, and nothing allocates them, so pods that need one stay Pending. Slices and selectors are not looked at.",
        DOCS + "concepts/scheduling-eviction/dynamic-resource-allocation/"),
    # With --runtime docker
    Row("Docker runtime", "Pods as containers", R, "With `halab up --runtime docker` pods are containers of an engine: isolation, addresses, low ports, limits, "
        "OOM kills and static programs are real, and the rows on container isolation, pod network, low ports and limits above do not hold.",
        DOCS + "setup/production-environment/container-runtimes/"),
    Row("Docker runtime", "NetworkPolicy in containers", R, "With `--runtime docker` NetworkPolicies are enforced by nftables in the caller's network namespace, for "
        "every program. A Service's address is as open as its most open endpoint; a container with the capability NET_ADMIN could change its own rules. Where the kernel "
        "has no nftables `halab up` says so, and labs that require NetworkPolicies are not offered.",
        DOCS + "concepts/services-networking/network-policies/"),
    Row("Docker runtime", "Host network in containers", S, "With `--runtime docker` a pod with hostNetwork shares the gateway's network, not this machine's: it is reached at "
        "its node's address, and two of them cannot have the same port even on two nodes. A hostPort is served at 127.c.0.(10+n), for this machine alone.",
        DOCS + "concepts/workloads/pods/"),
    Row("Docker runtime", "Agent restart in containers", S, "With `--runtime docker`, as with processes, containers do not outlive their node's agent: after its restart they are "
        "started anew, where a kubelet would find them again.", DOCS + "reference/command-line-tools-reference/kubelet/"),
    Row("Docker runtime", "Clock skew in containers", N, "With `--runtime docker` the fault clock-skew reaches the node's agent, not the programs in its pods.",
        DOCS + "concepts/architecture/nodes/"),
    # Images
    Row("Images", "Base images", S, "nginx, busybox, ubuntu, python and other bases borrow this machine's programs under the image's name, so a tag does not "
        "choose a version; nothing is pulled from the internet. What cannot be provided is ErrImagePull.", DOCS + "concepts/containers/images/"),
    Row("Images", "docker build without Docker", S, "The embedded builder writes genuine OCI images layer by layer; package installations in RUN "
        "borrow this machine's packages where there is no network.", "https://docs.docker.com/reference/dockerfile/"),
    # Network
    Row("Network", "NetworkPolicy", S, "Enforced where a pod's program connects, by a preloaded library: a static program escapes it. A Service's address is as "
        "open as its most open endpoint; what comes from this machine or through the Ingress counts as the node's own and passes.",
        DOCS + "concepts/services-networking/network-policies/"),
    Row("Network", "Service", S, "Envoy carries the connections: a pod sees the data plane's address (127.c.0.2) as its client; endpoints take turns "
        "instead of being chosen at random; TCP and UDP, no SCTP.", DOCS + "concepts/services-networking/service/"),
    Row("Network", "Connection refused", S, "Envoy accepts a connection before it dials a pod: where a pod does not listen, a client's connection is closed "
        "rather than refused. A Service without endpoints refuses, as it should.", DOCS + "reference/networking/virtual-ips/"),
    Row("Network", "Ingress", S, "Served by Envoy. An Ingress that names no class is served too and gets an address at once; a cluster without a controller leaves it "
        "empty.", DOCS + "concepts/services-networking/ingress/"),
    Row("Network", "LoadBalancer", A, "There is no load balancer outside the cluster: a Service of this type works by its ClusterIP and node ports, "
        "and its external address stays <pending>.",
        DOCS + "concepts/services-networking/service/#loadbalancer"),
    # Storage
    Row("Storage", "PersistentVolume", S, "Volumes are directories of this machine, made by the class `standard`; they outlive pods and nodes' agents and can be "
        "mounted on every node of the same machine.", DOCS + "concepts/storage/persistent-volumes/"),
    Row("Storage", "Volume size", N, "A PersistentVolume may grow beyond its size; the disk is the limit. emptyDir.sizeLimit and ephemeral-storage limits are "
        "looked at from time to time, and a pod beyond them is evicted.", DOCS + "concepts/storage/persistent-volumes/"),
    Row("Storage", "CSI", A, "No CSI drivers, snapshots or per-node volume limits.", DOCS + "concepts/storage/volumes/#csi"),
    # API
    Row("API", "CEL rules", R, "Rules of custom resources and ValidatingAdmissionPolicies are evaluated by the language's own engine, without cost limits. "
        "sortBy(), timestamps inside list macros and audit annotations are not there; expressions of policies are "
        "not checked against the schemas of what they match.", DOCS + "reference/using-api/cel/"),
    Row("API", "Admission webhooks", R, "What a mutating webhook changes in the options of exec, attach, portforward or proxy has no "
        "effect.", DOCS + "reference/access-authn-authz/extensible-admission-controllers/"),
    Row("API", "Conversion webhooks", N, "The versions of a custom resource are the same object under another apiVersion (strategy None): a definition's "
        "conversion webhook is stored and not called.", DOCS + "tasks/extend-kubernetes/custom-resources/custom-resource-definition-versioning/"),
    Row("API", "Aggregated API servers", R, "The end of a namespace and garbage collection do not look at the objects of other servers, and OpenAPI v2 does not "
        "name their kinds. metrics.k8s.io is built in until an APIService says otherwise.",
        DOCS + "concepts/extend-kubernetes/api-extension/apiserver-aggregation/"),
    Row("API", "Protobuf", S, "Request bodies in protobuf are accepted, answers are always JSON.",
        DOCS + "reference/using-api/api-concepts/#protobuf-encoding"),
    Row("API", "HTTP/2", S, "The API server speaks HTTP/1.1 alone, which every client takes, with a connection for each watch; large answers are not compressed.",
        DOCS + "concepts/security/controlling-access/"),
    Row("API", "Depth of objects", R, "An object nested deeper than 250 levels is refused with a 400; Kubernetes' parsers take 10,000.",
        DOCS + "reference/using-api/api-concepts/"),
    Row("API", "Priority and fairness", N, "Every answer names the FlowSchema and the priority level of its request, but requests are not queued by flow.",
        DOCS + "concepts/cluster-administration/flow-control/"),
    Row("API", "CertificateSigningRequest", R, "Requests of the signers kube-apiserver-client and kube-apiserver-client-kubelet are signed, by the API server itself; "
        "nobody approves or cleans up by himself. A client certificate that another authority signed is refused in the TLS handshake.",
        DOCS + "reference/access-authn-authz/certificate-signing-requests/"),
    Row("API", "Immutable field messages", S, "A 422 about an immutable spec shows a difference that resembles Go's cmp.Diff without equalling it everywhere.",
        DOCS + "reference/using-api/api-concepts/"),
    # Controllers
    Row("Controllers", "HorizontalPodAutoscaler", R, "Looks every 5 s instead of 15. Resource metrics only: no custom, object or external metrics.",
        DOCS + "tasks/run-application/horizontal-pod-autoscale/"),
    Row("Controllers", "Leader election", R, "Controllers and scheduler share one process and renew their Leases every 5 s (Kubernetes: 2 s). A leader that ends in good order hands on its Lease; Kubernetes' controller manager does from 1.36 on, where that is enabled.",
        DOCS + "concepts/architecture/leases/"),
)  # fmt: skip


def find(what: str) -> Row:
    """The row called ``what``, whatever its case; raises UsageError naming the ones there are."""
    for row in TABLE:
        if row.what.lower() == what.lower():
            return row
    raise UsageError(f"fidelity of {what!r}", "is not told in the table", "one of: " + ", ".join(row.what for row in TABLE))


def counts() -> dict[Level, int]:
    """How many rows each level has, in the order of the levels."""
    return {level: sum(row.level is level for row in TABLE) for level in Level}


def summary() -> str:
    """One line: how many rows differ, and by which level."""
    return ", ".join(f"{number} {level}" for level, number in counts().items())


def markdown() -> str:
    """``docs/fidelity.md``."""
    lines = [
        "# What differs from a real Kubernetes",
        "",
        "<!-- Written from helpers/halab/fidelity.py by tools/fidelity.py (make build). -->",
        "",
        "The embedded cluster behaves like Kubernetes 1.34, except for what this table says. The same table is printed by `halab fidelity`, and",
        "notebooks show its rows as badges where a learner meets them. On the backends `kind` and `existing` nothing of it applies.",
        "",
        *(f"- {SIGNS[level]} **{level}**: {text}" for level, text in MEANINGS.items()),
    ]
    for area in dict.fromkeys(row.area for row in TABLE):
        lines += ["", f"## {area}", "", "| what | level | what differs |", "| --- | --- | --- |"]
        for row in TABLE:
            if row.area == area:
                name = f"[{row.what}]({row.link})" if row.link else row.what
                lines.append(f"| {name} | {SIGNS[row.level]} {row.level} | {row.difference} |")
    return "\n".join(lines) + "\n"


MEANINGS = {
    Level.REAL: "the thing itself, with other numbers or limits",
    Level.SIMULATED: "the same behaviour by other means",
    Level.NOT_ENFORCED: "accepted, stored and shown, without effect",
    Level.ABSENT: "not there",
}
