"""The data plane is down."""

from __future__ import annotations

from halab.backends.controls import component_power
from halab.faults.components import ComponentDown


class DataPlaneDown(ComponentDown):
    name = "dataplane-down"
    title = "Data plane down"
    does = "The proxy that serves Services, Ingress and DNS is killed and stays down."
    expect = "Every request for a Service or the Ingress is refused, though all pods are Ready; pods' own addresses still answer."
    within = "at once"
    heals = "It is started with the routes of this moment."
    component = "dataplane"
    needs = frozenset({component_power("dataplane")})
