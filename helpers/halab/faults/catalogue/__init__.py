"""All failures, in the order in which a course meets them: containers, requests, changes, nodes, the control plane."""

from __future__ import annotations

from halab.errors import UsageError
from halab.faults.base import Fault
from halab.faults.catalogue.apiserver_down import ApiServerDown
from halab.faults.catalogue.bad_config import BadConfig
from halab.faults.catalogue.clock_skew import ClockSkew
from halab.faults.catalogue.connections_dropped import ConnectionsDropped
from halab.faults.catalogue.container_hung import ContainerHung
from halab.faults.catalogue.container_killed import ContainerKilled
from halab.faults.catalogue.controllers_down import ControllersDown
from halab.faults.catalogue.cpu_burn import CpuBurn
from halab.faults.catalogue.crash_loop import CrashLoop
from halab.faults.catalogue.dataplane_down import DataPlaneDown
from halab.faults.catalogue.disk_full import DiskFull
from halab.faults.catalogue.dns_down import DnsDown
from halab.faults.catalogue.errors import Errors
from halab.faults.catalogue.image_unpullable import ImageUnpullable
from halab.faults.catalogue.latency import Latency
from halab.faults.catalogue.liveness_failing import LivenessFailing
from halab.faults.catalogue.memory_growth import MemoryGrowth
from halab.faults.catalogue.node_agent_stopped import NodeAgentStopped
from halab.faults.catalogue.node_cut_off import NodeCutOff
from halab.faults.catalogue.node_drained import NodeDrained
from halab.faults.catalogue.node_lost import NodeLost
from halab.faults.catalogue.readiness_failing import ReadinessFailing
from halab.faults.catalogue.registry_down import RegistryDown
from halab.faults.catalogue.slow_start import SlowStart

FAULTS: tuple[Fault, ...] = (
    ContainerKilled(),
    ContainerHung(),
    CrashLoop(),
    LivenessFailing(),
    ReadinessFailing(),
    SlowStart(),
    CpuBurn(),
    MemoryGrowth(),
    DiskFull(),
    Latency(),
    Errors(),
    ConnectionsDropped(),
    ImageUnpullable(),
    BadConfig(),
    NodeLost(),
    NodeAgentStopped(),
    NodeCutOff(),
    NodeDrained(),
    ApiServerDown(),
    ControllersDown(),
    DataPlaneDown(),
    DnsDown(),
    RegistryDown(),
    ClockSkew(),
)


def find(name: str) -> Fault:
    """Raises UsageError with the names that are nearest."""
    for fault in FAULTS:
        if fault.name == name:
            return fault
    import difflib

    near = difflib.get_close_matches(name, [fault.name for fault in FAULTS], 3)
    raise UsageError(
        f"fault {name}", "is not in the catalogue", f"did you mean {' or '.join(near)}?" if near else "see: halab fault list"
    )
