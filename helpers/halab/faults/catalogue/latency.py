"""Requests for a Service are slow."""

from __future__ import annotations

from halab.faults.base import Option, Options
from halab.faults.services import ServiceFault


class Latency(ServiceFault):
    name = "latency"
    title = "Latency between services"
    does = "Requests for the Service wait before they are passed on, wherever they come from (Envoy's fault filter)."
    expect = "Answers come later by that much; clients with shorter time-outs give up, and retries add to the load."
    within = "half a second"
    heals = "The delay is taken away."
    options = (
        Option("seconds", 1.0, "how long a request waits", 0.001, 300),
        Option("percent", 100.0, "of how many requests", 0.01, 100),
    )

    def wanted(self, options: Options) -> dict[str, object]:
        return {"delay": options["seconds"], "delayPercent": options["percent"]}
