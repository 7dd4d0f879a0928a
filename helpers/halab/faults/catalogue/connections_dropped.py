"""Connections to a Service are cut."""

from __future__ import annotations

from halab.faults.base import Option, Options
from halab.faults.services import ServiceFault


class ConnectionsDropped(ServiceFault):
    name = "connections-dropped"
    title = "Dropped connections"
    does = "Some connections to the Service are closed without an answer, whatever they carry."
    expect = "That share of connections breaks (users see a reset or an empty answer; through Ingress, 503)."
    within = "half a second"
    heals = "New connections are served."
    options = (Option("percent", 50.0, "of how many connections", 0.01, 100),)

    def wanted(self, options: Options) -> dict[str, object]:
        return {"drop": options["percent"]}
