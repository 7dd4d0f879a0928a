"""Requests for a Service are answered with an error."""

from __future__ import annotations

from halab.faults.base import Option, Options
from halab.faults.services import ServiceFault


class Errors(ServiceFault):
    name = "errors"
    title = "Errors between services"
    does = "Some requests for the Service are answered with an error status in its place (Envoy's fault filter)."
    expect = "That share of users' requests fails; callers that retry hide it, at the price of more requests."
    within = "half a second"
    heals = "Requests reach the Service again."
    options = (
        Option("status", 503, "the HTTP status", 400, 599),
        Option("percent", 50.0, "of how many requests", 0.01, 100),
    )

    def wanted(self, options: Options) -> dict[str, object]:
        return {"abort": options["status"], "abortPercent": options["percent"]}
