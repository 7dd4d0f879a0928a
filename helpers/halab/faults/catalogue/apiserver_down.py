"""The API server is down."""

from __future__ import annotations

from halab.backends.controls import component_power
from halab.faults.components import ComponentDown


class ApiServerDown(ComponentDown):
    name = "apiserver-down"
    title = "API server down"
    does = "The API server's process is killed and stays down."
    expect = (
        "kubectl is refused; nothing is scheduled, scaled or replaced. Pods run on, and users notice nothing: until a pod dies."
    )
    within = "at once"
    heals = "The API server is started; controllers and nodes come back to it within seconds."
    component = "apiserver"
    needs = frozenset({component_power("apiserver")})
    order = 0
