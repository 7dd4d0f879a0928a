"""Services as clients see them: ClusterIPs, NodePorts, affinity, endpoints that come and go."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from halab.aio.processes import descendants
from halab.settings import ClusterConfig

from .conftest import Plane, eventually, request


async def eventually_value(find: Callable[[], list[int]]) -> list[int]:
    await eventually(find)
    return find()


def program_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode()


async def test_a_cluster_ip_shares_connections_among_the_ready_endpoints(plane: Plane) -> None:
    pods = [await plane.pod(number) for number in (2, 3, 4)]
    service = await plane.service("web")
    await plane.endpoints("web", pods)
    address = service["spec"]["clusterIP"]
    await eventually(lambda: plane.fetch(address))
    seen = [(await plane.fetch(address))[1].split()[0] for _ in range(9)]
    assert {name: seen.count(name) for name in seen} == {"pod-2": 3, "pod-3": 3, "pod-4": 3}


async def test_a_service_without_endpoints_refuses_connections(plane: Plane) -> None:
    pod = await plane.pod(2)
    service = await plane.service("web")
    address = service["spec"]["clusterIP"]
    with pytest.raises(ConnectionRefusedError):
        await plane.fetch(address)
    await plane.endpoints("web", [pod])
    await eventually(lambda: plane.fetch(address))
    await plane.endpoints("web", [])

    async def refused() -> bool:
        try:
            await plane.fetch(address)
        except ConnectionRefusedError:
            return True
        return False

    await eventually(refused)


async def test_a_change_of_endpoints_is_in_force_within_a_fraction_of_a_second(plane: Plane) -> None:
    pods = [await plane.pod(number) for number in (2, 3)]
    service = await plane.service("web")
    address = service["spec"]["clusterIP"]
    await plane.endpoints("web", pods[:1])
    await eventually(lambda: plane.fetch(address))
    for turn in range(6):
        wanted = pods[(turn + 1) % 2]
        await plane.endpoints("web", [wanted])

        async def moved(number: str = wanted.rpartition(".")[2]) -> bool:
            return (await plane.fetch(address))[1].startswith(f"pod-{number} ")

        assert await eventually(moved) < 1.0


async def test_terminating_endpoints_serve_only_while_no_other_does(plane: Plane) -> None:
    pods = [await plane.pod(number) for number in (2, 3)]
    service = await plane.service("web")
    address = service["spec"]["clusterIP"]
    leaving = {"ready": False, "serving": True, "terminating": True}
    await plane.endpoints("web", pods[:1], conditions=leaving)
    await eventually(lambda: plane.fetch(address))
    assert (await plane.fetch(address))[1].startswith("pod-2 ")


async def test_client_ip_affinity_keeps_a_client_with_one_endpoint(plane: Plane) -> None:
    pods = [await plane.pod(number) for number in (2, 3, 4, 5)]
    service = await plane.service("sticky", sessionAffinity="ClientIP")
    await plane.endpoints("sticky", pods)
    address = service["spec"]["clusterIP"]
    await eventually(lambda: plane.fetch(address))
    port = plane.config.port(80)
    by_client = {
        client: {(await asyncio.to_thread(request, address, port, source=plane.pod_address(client)))[1] for _ in range(5)}
        for client in range(100, 116)
    }
    assert all(len(answers) == 1 for answers in by_client.values())
    assert len({next(iter(answers)) for answers in by_client.values()}) > 1


async def test_a_node_port_leads_to_the_service_on_every_node_and_local_ones_stay_there(plane: Plane) -> None:
    await plane.nodes()
    pod = await plane.pod(2)
    everywhere = await plane.service("everywhere", type="NodePort")
    local = await plane.service("local", type="NodePort", externalTrafficPolicy="Local")
    await plane.endpoints("everywhere", [pod], nodeName="node-1")
    await plane.endpoints("local", [pod], nodeName="node-1")
    nodes = [plane.config.addresses.node(index) for index in range(3)]
    number = everywhere["spec"]["ports"][0]["nodePort"]
    for node in nodes:
        await eventually(lambda node=node: plane.fetch(node, number))
    number = local["spec"]["ports"][0]["nodePort"]
    await eventually(lambda: plane.fetch(nodes[0], number))
    with pytest.raises(ConnectionRefusedError):
        await plane.fetch(nodes[1], number)


async def test_the_kubernetes_service_leads_to_the_api_server(plane: Plane) -> None:
    reader, writer = await asyncio.open_connection(plane.config.addresses.kubernetes_service, plane.config.port(443))
    writer.close()
    assert reader is not None


async def test_open_connections_survive_a_change_of_endpoints(plane: Plane) -> None:
    pods = [await plane.pod(number) for number in (2, 3)]
    service = await plane.service("web")
    address = service["spec"]["clusterIP"]
    await plane.endpoints("web", pods[:1])
    await eventually(lambda: plane.fetch(address))
    reader, writer = await asyncio.open_connection(address, plane.config.port(80))
    await plane.endpoints("web", pods[1:])

    async def moved() -> bool:
        return (await plane.fetch(address))[1].startswith("pod-3 ")

    await eventually(moved)
    writer.write(b"GET /still HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"pod-2 /still" in await reader.readuntil(b"/still\n")
    writer.close()


async def test_envoy_is_started_again_when_it_is_killed(plane: Plane) -> None:
    pod = await plane.pod(2)
    service = await plane.service("web")
    await plane.endpoints("web", [pod])
    address = service["spec"]["clusterIP"]
    await eventually(lambda: plane.fetch(address))
    envoys = await asyncio.to_thread(lambda: [pid for pid in descendants(os.getpid()) if "envoy" in program_of(pid)])
    assert len(envoys) == 1
    os.kill(envoys[0], signal.SIGKILL)
    await asyncio.sleep(0.05)
    await eventually(lambda: plane.fetch(address))


async def test_a_fault_on_a_service_delays_or_fails_its_requests(plane: Plane) -> None:
    pod = await plane.pod(2)
    service = await plane.service("web", annotations={"halab.dev/fault": '{"abort": 503}'})
    await plane.endpoints("web", [pod])
    address = service["spec"]["clusterIP"]
    await eventually(lambda: plane.fetch(address))
    assert (await plane.fetch(address))[0] == 503
    from halab.cluster.kube.kinds import SERVICES

    await plane.client.patch(SERVICES, "web", "default", {"metadata": {"annotations": {"halab.dev/fault": None}}})

    async def healed() -> bool:
        return (await plane.fetch(address))[0] == 200

    await eventually(healed)


async def test_a_port_that_is_taken_costs_one_listener_until_it_is_free(plane: Plane) -> None:
    await plane.nodes()
    pod = await plane.pod(2)
    nodes = [plane.config.addresses.node(index) for index in range(3)]
    blocker = await asyncio.start_server(lambda reader, writer: writer.close(), nodes[1], 30999)
    blocked = await plane.service("blocked", type="NodePort", ports=[{"port": 80, "nodePort": 30999}])
    await plane.endpoints("blocked", [pod])
    fine = await plane.service("fine", type="NodePort")
    await plane.endpoints("fine", [pod])
    await eventually(lambda: plane.fetch(nodes[1], fine["spec"]["ports"][0]["nodePort"]))
    await eventually(lambda: plane.fetch(blocked["spec"]["clusterIP"]))
    blocker.close()
    await blocker.wait_closed()
    await eventually(lambda: plane.fetch(nodes[1], 30999), within=10.0)


async def test_envoy_does_not_outlive_the_data_plane(cluster: ClusterConfig) -> None:
    command = [sys.executable, "-m", "halab.cluster.dataplane", "--config", str(cluster.directory / "cluster.json")]
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL)
    children = await eventually_value(lambda: [pid for pid in descendants(process.pid) if "envoy" in program_of(pid)])
    watched = os.pidfd_open(children[0])
    process.kill()
    await process.wait()
    ended, _, _ = await asyncio.to_thread(select.select, [watched], [], [], 5.0)
    os.close(watched)
    assert ended
