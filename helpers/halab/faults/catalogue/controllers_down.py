"""The controllers and the scheduler are down."""

from __future__ import annotations

from halab.backends.controls import component_power
from halab.faults.components import ComponentDown


class ControllersDown(ComponentDown):
    name = "controllers-down"
    title = "Controllers down"
    does = "The controller manager and the scheduler are killed and stay down."
    expect = (
        "The API answers, but nothing follows: a deleted pod is not replaced, a new one stays Pending, an unready one stays in its "
        "Services' endpoints. Containers are still restarted by kubelet."
    )
    within = "at once"
    heals = "They are started and catch up."
    component = "controllers"
    needs = frozenset({component_power("controllers")})
