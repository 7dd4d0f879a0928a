"""Ports that other programs of the machine hold at every address. Tried in a network of its own, so that no neighbour is disturbed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import ALONE

HOLD_AND_UP = f"""
import fcntl, socket, struct, sys
# bring the new network's loopback up: SIOCSIFFLAGS with IFF_UP | IFF_RUNNING
with socket.socket() as any_socket:
    fcntl.ioctl(any_socket, 0x8914, struct.pack("16sH14s", b"lo", 0x41, b""))
held = [socket.create_server(("0.0.0.0", int(port))) for port in sys.argv[1:]]
from halab.cluster.supervisor import manage
from halab.errors import HalabError
try:
    status = manage.up(without={ALONE!r})
    print(status.config.port(80))
except HalabError as error:
    print(error)
manage.down(purge=True)
"""


def up_while_held(home: Path, *ports: int) -> str:
    command = ["unshare", "--net", sys.executable, "-c", HOLD_AND_UP, *map(str, ports)]
    return subprocess.run(command, capture_output=True, text=True, timeout=90, check=True, env=os.environ).stdout.strip()


needs_network_namespace = pytest.mark.skipif(
    os.geteuid() != 0, reason="a network namespace of one's own takes root; run: sudo make test"
)


@needs_network_namespace
def test_a_web_server_of_the_machine_shifts_the_low_ports(halab_home: Path) -> None:
    assert up_while_held(halab_home) == "80"
    assert up_while_held(halab_home, 80) == "20080"


@needs_network_namespace
def test_another_api_server_on_every_address_is_named_with_the_way_to_find_it(halab_home: Path) -> None:
    message = up_while_held(halab_home, 6443)
    assert "none of its 250 cluster ranges is free (port 6443 is in use)" in message
    assert "ss -ltnp 'sport = :6443'" in message
    assert not (halab_home / "clusters" / "default").exists()
