"""Names and resolvers of a pod: its hostname, /etc/hosts, /etc/resolv.conf."""

from __future__ import annotations

from halab.cluster.kube.types import Obj
from halab.sandbox import Dns

MOST_SERVERS, MOST_DOMAINS = 3, 32  # what a resolver takes
DOMAIN = "cluster.local"
HOSTNAME_BYTES = 63
FQDN_BYTES = 64


def short_hostname(pod: Obj) -> str:
    """The pod's own host name, without a domain."""
    name: str = pod["spec"].get("hostname") or pod["metadata"]["name"]
    return name[:HOSTNAME_BYTES].rstrip("-.")


def hostname_of(pod: Obj, node_name: str) -> str:
    """What ``hostname`` prints in the pod. A pod on its host's network has the node's name."""
    spec = pod["spec"]
    if spec.get("hostnameOverride"):
        return str(spec["hostnameOverride"])
    if spec.get("hostNetwork"):
        return node_name
    return (spec.get("setHostnameAsFQDN") and domain_name_of(pod)) or short_hostname(pod)


def domain_name_of(pod: Obj) -> str:
    """The full name, if the pod has a subdomain, else the empty string."""
    subdomain = pod["spec"].get("subdomain")
    return f"{short_hostname(pod)}.{subdomain}.{pod['metadata']['namespace']}.svc.{DOMAIN}" if subdomain else ""


def hostname_problem(pod: Obj) -> str:
    """Why the pod's sandbox cannot have its hostname, or the empty string: the kernel takes 64 characters."""
    full = domain_name_of(pod)
    if not pod["spec"].get("setHostnameAsFQDN") or len(full) <= FQDN_BYTES:
        return ""
    return (
        f"failed to construct FQDN from Pod hostname and cluster domain, FQDN {full} is too long "
        f"({FQDN_BYTES} characters is the max, {len(full)} characters requested)"
    )


def hosts_file(pod: Obj, address: str, node_name: str) -> str:
    """/etc/hosts as kubelet writes it."""
    on_host = bool(pod["spec"].get("hostNetwork"))
    hostname, full = node_name if on_host else short_hostname(pod), "" if on_host else domain_name_of(pod)
    lines = [
        "# Kubernetes-managed hosts file (host network)." if on_host else "# Kubernetes-managed hosts file.",
        "127.0.0.1\tlocalhost",
        "::1\tlocalhost ip6-localhost ip6-loopback",
        "fe00::0\tip6-localnet",
        "fe00::0\tip6-mcastprefix",
        "fe00::1\tip6-allnodes",
        "fe00::2\tip6-allrouters",
        f"{address}\t{full}\t{hostname}" if full else f"{address}\t{hostname}",
    ]
    aliases = pod["spec"].get("hostAliases") or []
    if aliases:
        lines += ["", "# Entries added by HostAliases."]
        lines += [f"{alias['ip']}\t" + "\t".join(alias.get("hostnames") or ()) for alias in aliases]
    return "\n".join(lines) + "\n"


def _wishes(pod: Obj, cluster_dns: str) -> tuple[list[str], list[str], dict[str, str]] | None:
    """Name servers, search domains and options, more perhaps than a resolver takes; None leaves the host's own."""
    spec = pod["spec"]
    policy = spec.get("dnsPolicy", "ClusterFirst")
    extra = spec.get("dnsConfig") or {}
    servers: list[str] = []
    search: list[str] = []
    options: dict[str, str] = {}
    if policy == "ClusterFirstWithHostNet" or (policy == "ClusterFirst" and not spec.get("hostNetwork")):
        servers = [cluster_dns]
        search = [f"{pod['metadata']['namespace']}.svc.{DOMAIN}", f"svc.{DOMAIN}", DOMAIN]
        options = {"ndots": "5"}
    elif policy != "None" and not extra:
        return None
    servers = list(dict.fromkeys(servers + list(extra.get("nameservers") or ())))
    search = list(dict.fromkeys(search + list(extra.get("searches") or ())))
    options |= {option["name"]: str(option.get("value") or "") for option in extra.get("options") or ()}
    return servers, search, options


def resolver_problems(pod: Obj, cluster_dns: str) -> list[str]:
    """What of the pod's wishes is left out, in kubelet's words."""
    servers, search, _ = _wishes(pod, cluster_dns) or ([], [], {})
    found = []
    if len(search) > MOST_DOMAINS:
        text = "Search Line limits were exceeded, some search paths have been omitted, the applied search line is: "
        found.append(text + " ".join(search[:MOST_DOMAINS]))
    if len(servers) > MOST_SERVERS:
        text = "Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: "
        found.append(text + " ".join(servers[:MOST_SERVERS]))
    return found


def resolver(pod: Obj, cluster_dns: str) -> tuple[Dns | None, str | None]:
    """The cluster's resolver as the pod should use it and /etc/resolv.conf's text; (None, None) leaves the host's own.

    (https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/#pod-s-dns-policy)
    """
    wishes = _wishes(pod, cluster_dns)
    if wishes is None:
        return None, None
    servers, search, options = wishes[0][:MOST_SERVERS], wishes[1][:MOST_DOMAINS], wishes[2]
    lines = [f"search {' '.join(search)}"] if search else []
    lines += [f"nameserver {server}" for server in servers]
    if options:
        lines.append("options " + " ".join(f"{name}:{value}" if value else name for name, value in options.items()))
    ndots = options.get("ndots", "1")
    dns = Dns(servers[0], tuple(search), int(ndots) if ndots.isdecimal() else 1) if servers else None
    return dns, "\n".join(lines) + "\n"
