"""The fault panel and the topology against a real cluster: what cannot be done is told in the widget, and the cluster is unharmed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from halab.faults import api as faults
from halab.timeline.live import Live
from halab.widgets.faults import FaultPanel
from halab.widgets.topology import Topology

from .conftest import NAMESPACE, Shop, until


@pytest.fixture
def live(shop: Shop) -> Iterator[Live]:
    made = Live(shop.api)
    yield made
    made.close()


def test_the_panel_tells_what_cannot_be_injected_or_healed(shop: Shop, live: Live) -> None:
    panel = FaultPanel(live, "shop", shop.backend, NAMESPACE)
    errors = {"do": "inject", "fault": "errors", "target": "web"}
    for request, words in (
        ({**errors, "fault": "nonsense"}, "is not in the catalogue"),
        ({**errors, "target": "nobody"}, "does not exist in namespace shop"),
        ({**errors, "target": ""}, "is not a Service"),
        ({**errors, "duration": -5}, "is not between"),
        ({"do": "preview", "fault": "node-lost", "target": "node-99"}, "nodes: node-1"),
        ({"do": "heal", "id": "errors-0000"}, "is not active"),
        ({"do": "heal", "id": "../../etc"}, "is not active"),
    ):
        panel._do(request)
        assert words in panel.trouble, (request, panel.trouble)
        assert not panel.busy and not panel.preview
    assert faults.active(shop.backend) == ()

    panel._do(errors)
    assert panel.trouble == "" and len(panel.active) == 1
    panel._do({**errors, "fault": "latency"})
    assert "conflicts with errors-" in panel.trouble
    found = panel.active[0]["id"]
    panel._do({"do": "heal", "id": found})
    assert panel.trouble == "" and panel.active == []
    panel._do({"do": "heal", "id": found})
    assert "was healed already" in panel.trouble
    assert until(lambda: shop.ask().status == 200)
    panel.close()


def test_the_topology_tells_what_it_cannot_do(shop: Shop, live: Live) -> None:
    topology = Topology(live, "shop")
    for command, words in (
        ({"do": "delete-pod", "name": "nobody"}, "pod nobody is not there any more"),
        ({"do": "cordon", "name": "node-99"}, '"node-99" not found'),
        ({"do": "explode"}, "unknown command"),
    ):
        topology.command(command)
        assert words in topology.trouble
    topology.selected = "nobody"
    assert until(lambda: topology.details == {})
    topology.close()
