"""What a lab may require of a cluster, by name. A backend says which of these it has; ``lab.yaml`` names those it needs."""

from __future__ import annotations

from collections.abc import Iterable

OWN, REGISTRIES, POD_SECURITY, SECOND = "own-cluster", "registries", "pod-security", "second-control-plane"
INGRESS, GATEWAY, MESH, METRICS, POLICY = "ingress", "gateway", "mesh", "metrics", "networkpolicy"

WORDS = {
    OWN: "a cluster of your own (its nodes or its control plane are stopped)",
    REGISTRIES: "nodes that pull from this machine's registries",
    SECOND: "a second control plane that can be started beside the first (halab component start apiserver-2)",
    POD_SECURITY: "the right to change your namespace's labels (patch namespaces)",
    INGRESS: "an Ingress address",
    GATEWAY: "the Gateway API",
    MESH: "Services behind halab's proxy",
    METRICS: "metrics (metrics.k8s.io)",
    POLICY: "enforced NetworkPolicies",
}
REMEDIES = {
    INGRESS: "halab up --ingress HOST:PORT",
    GATEWAY: "halab up --gateway",
    POLICY: "if its network does enforce them: halab up --has networkpolicy",
    METRICS: "ask its administrator for metrics-server",
    POD_SECURITY: "play it on a namespace that halab may create",
}
ELSEWHERE = "play it on halab's own cluster: halab up --backend embedded --name mine, then --cluster mine"


def in_words(lacking: Iterable[str]) -> str:
    return ", ".join(WORDS.get(name, name) for name in sorted(lacking))


def remedy(lacking: Iterable[str]) -> str:
    """What gives the cluster what it lacks, where something does; else where the lab can be played."""
    known = [REMEDIES.get(name, "") for name in sorted(lacking)]
    return "; ".join(known) if all(known) else ELSEWHERE
