"""Names cannot be resolved in the cluster."""

from __future__ import annotations

from halab.backends.controls import API, DNS
from halab.faults.base import Data, Fault, Option, Options, Place, Plan
from halab.faults.services import annotate, restore, service_plan


class DnsDown(Fault):
    name = "dns-down"
    title = "DNS down"
    does = "The cluster's DNS server answers nobody."
    expect = (
        "Pods cannot find Services by name: look-ups time out. Connections that are open, and addresses already known, go on."
    )
    within = "at once for names that nobody has in a cache"
    heals = "Questions are answered again."
    needs = frozenset({API, DNS})
    cluster_wide = True
    options = (Option("percent", 100.0, "of how many questions", 0.01, 100),)

    def plan(self, place: Place, target: str, options: Options) -> Plan:
        found = service_plan(place, self.name, "kube-dns", "kube-system", {"drop": options["percent"]})
        return Plan(("every DNS question in the cluster",), found.keys, found.data)

    def inject(self, place: Place, data: Data) -> None:
        annotate(place, data)

    def heal(self, place: Place, data: Data) -> None:
        restore(place, data)
