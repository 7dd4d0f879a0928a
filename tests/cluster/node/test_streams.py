"""exec, attach, cp and port-forward with the real kubectl, over WebSocket (its default) and over SPDY (older clients)."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import pty
import ssl
import subprocess
import time
from pathlib import Path

import pytest

from halab.aio import websocket
from halab.cluster.kube.kinds import CONFIG_MAPS, PODS
from halab.settings import API_PORT

from .conftest import FOREVER, SECONDS, Space

pytestmark = pytest.mark.needs("kubectl")


@pytest.fixture(params=["websocket", "spdy"])
def environment(request: pytest.FixtureRequest) -> dict[str, str]:
    value = "true" if request.param == "websocket" else "false"
    return {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": value, "KUBECTL_PORT_FORWARD_WEBSOCKETS": value}


async def test_exec_keeps_streams_apart_and_tells_the_exit_code(space: Space, environment: dict[str, str]) -> None:
    await space.create()
    await space.ready()
    assert await space.kubectl("exec", "p", "--", "sh", "-c", "echo out; echo err >&2", **environment) == (0, "out\n", "err\n")
    code, out, error = await space.kubectl("exec", "-i", "p", "--", "sh", "-c", "cat; exit 3", stdin=b"one\ntwo\n", **environment)
    assert (code, out, error) == (3, "one\ntwo\n", "command terminated with exit code 3\n")


async def test_a_megabyte_passes_both_ways_unharmed(space: Space, environment: dict[str, str]) -> None:
    await space.create()
    await space.ready()
    data = b"".join(b"%07d\n" % number for number in range(131_072))
    code, out, _ = await space.kubectl("exec", "-i", "p", "--", "cat", stdin=data, **environment)
    assert code == 0
    assert out.encode() == data


async def test_a_program_that_is_not_there_fails_as_a_shell_would(space: Space, environment: dict[str, str]) -> None:
    await space.create()
    await space.ready()
    code, _, error = await space.kubectl("exec", "p", "--", "nosuch", **environment)
    assert code != 0
    assert "executable file not found in $PATH" in error


async def test_a_terminal_is_one_and_knows_its_size(space: Space, environment: dict[str, str]) -> None:
    await space.create()
    await space.ready()
    master, slave = pty.openpty()
    from halab.cluster.node.runtime.process import set_size

    set_size(slave, 33, 101)
    process = await asyncio.create_subprocess_exec(
        "kubectl",
        f"--kubeconfig={space.config.kubeconfig}",
        f"--namespace={space.name}",
        "exec",
        "-it",
        "p",
        "--",
        "sh",
        "-c",
        "sleep 0.5; stty size; test -t 0 && echo terminal",
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**os.environ, **environment},
    )
    os.close(slave)
    await asyncio.wait_for(process.wait(), 20)
    text = (await asyncio.to_thread(os.read, master, 4096)).decode()
    os.close(master)
    assert "33 101" in text
    assert "terminal" in text


async def test_files_are_copied_in_and_out(space: Space, environment: dict[str, str], tmp_path: Path) -> None:
    await space.create()
    await space.ready()
    (tmp_path / "in").write_text("content\n")
    code, _, error = await space.kubectl("cp", str(tmp_path / "in"), "p:/tmp/there", **environment)
    assert code == 0, error
    code, _, error = await space.kubectl("cp", "p:/tmp/there", str(tmp_path / "out"), **environment)
    assert code == 0, error
    assert (tmp_path / "out").read_text() == "content\n"


async def test_attach_feeds_the_programs_own_input(space: Space, environment: dict[str, str]) -> None:
    await space.create(
        command="while read l; do echo got $l; done; sleep 0.3; echo end",
        container={"stdin": True, "stdinOnce": True},
        restartPolicy="Never",
    )
    await space.until(lambda pod: pod["status"].get("phase") == "Running")
    code, out, _ = await space.kubectl("attach", "-i", "p", stdin=b"one\ntwo\n", **environment)
    assert code == 0
    assert out.endswith("got one\ngot two\nend\n")
    await space.until(lambda pod: pod["status"].get("phase") == "Succeeded")


async def test_ports_are_forwarded_even_to_what_listens_on_localhost_only(space: Space, environment: dict[str, str]) -> None:
    await space.create(command="mkdir /www; echo inside > /www/index.html; exec httpd -f -p 127.0.0.1:8080 -h /www")
    await space.ready()
    process = await asyncio.create_subprocess_exec(
        "kubectl",
        f"--kubeconfig={space.config.kubeconfig}",
        f"--namespace={space.name}",
        "port-forward",
        "pod/p",
        ":8080",
        ":9",
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **environment},
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        ports = {}
        while len(ports) < 2:
            line = (await asyncio.wait_for(process.stdout.readline(), 20)).decode()
            if "127.0.0.1" in line:
                local, _, remote = line.strip().rpartition(":")[2].partition(" -> ")
                ports[int(remote)] = int(local)
        for _ in range(3):
            assert b"inside" in await _get(ports[8080])
        await _get(ports[9])
        refused = await asyncio.wait_for(process.stderr.readline(), 20)
        assert b"connection refused" in refused.lower()
    finally:
        process.kill()
        await process.wait()


async def _get(port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        return await asyncio.wait_for(reader.read(), 10)
    except ConnectionError:
        return b""
    finally:
        writer.close()


def _by_channels(kubeconfig: Path, namespace: str) -> tuple[bytes, str | None, str | None]:
    """Asks the pod's port 8080 through the library that most Python programs use, and its port 9, where nothing listens."""
    from kubernetes import client, config
    from kubernetes.stream import portforward

    api = client.CoreV1Api(config.new_client_from_config(str(kubeconfig)))
    forward = portforward(api.connect_get_namespaced_pod_portforward, "p", namespace, ports="8080,9")
    socket = forward.socket(8080)
    socket.setblocking(True)
    socket.sendall(b"GET / HTTP/1.0\r\n\r\n")
    answer = b""
    while piece := socket.recv(65_536):
        answer += piece
    return answer, forward.error(8080), forward.error(9)


async def test_client_libraries_forward_ports_over_channels(space: Space) -> None:
    await space.create(command="mkdir /www; echo inside > /www/index.html; exec httpd -f -p 127.0.0.1:8080 -h /www")
    await space.ready()
    answer, error, refused = await asyncio.to_thread(_by_channels, space.config.kubeconfig, space.name)
    assert answer.endswith(b"inside\n")
    assert error is None
    assert refused is not None
    assert "connection refused" in refused


async def test_following_a_log_shows_lines_as_they_come(space: Space) -> None:
    await space.create(command="echo a; sleep 0.6; echo b", restartPolicy="Never")
    await space.until(lambda pod: pod["status"].get("phase") == "Running")
    begin = time.monotonic()
    code, out, _ = await space.kubectl("logs", "-f", "p")
    assert (code, out) == (0, "a\nb\n")
    assert time.monotonic() - begin < 10


async def over_websocket(space: Space, path: str, protocol: str, count: int) -> tuple[str, list[bytes]]:
    """The head of the answer, and the first ``count`` messages behind it."""
    host = space.config.addresses.api
    context = ssl.create_default_context(cafile=str(space.config.ca_file))
    reader, writer = await asyncio.open_connection(host, API_PORT, ssl=context)
    head = [f"GET {path} HTTP/1.1", f"Host: {host}", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"]
    head += ["Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", f"Authorization: Bearer {space.config.tokens['admin']}"]
    head += [f"Sec-WebSocket-Protocol: {protocol}"] if protocol else []
    writer.write(("\r\n".join(head) + "\r\n\r\n").encode())
    try:
        async with asyncio.timeout(SECONDS):
            answer = (await reader.readuntil(b"\r\n\r\n")).decode()
            receiver, messages = websocket.Receiver(client=True), []
            while answer.startswith("HTTP/1.1 101") and len(messages) < count and not receiver.closed:
                messages += receiver.receive(await reader.read(65536))
            return answer, messages
    finally:
        writer.close()


async def test_a_log_and_a_watch_come_over_websocket_too(space: Space) -> None:
    await space.create(command=f"echo alive; {FOREVER}")
    await space.ready()
    log = f"{PODS.path(space.name, 'p', 'log')}?container=main"
    _, messages = await over_websocket(space, log, "", 3)
    assert (messages[0], b"".join(messages)) == (b"", b"alive\n")  # the first shows that the way is open
    answer, messages = await over_websocket(space, log, "base64.binary.k8s.io", 2)
    assert "Sec-WebSocket-Protocol: base64.binary.k8s.io\r\n" in answer
    assert base64.b64decode(messages[1]) == b"alive\n"
    answer, _ = await over_websocket(space, log, "nosuch", 1)
    assert answer.startswith("HTTP/1.1 403 ")
    answer, _ = await over_websocket(space, log.replace("main", "other"), "", 1)
    assert answer.startswith("HTTP/1.1 400 ")
    watching = asyncio.create_task(over_websocket(space, f"{CONFIG_MAPS.path(space.name)}?watch=1&resourceVersion=0", "", 3))
    for number in range(2):
        await space.client.create(CONFIG_MAPS, {"metadata": {"name": f"m{number}"}}, space.name)
    _, messages = await watching
    events = [json.loads(message) for message in messages]
    assert [(event["type"], event["object"]["metadata"]["name"]) for event in events][1:] == [("ADDED", "m0"), ("ADDED", "m1")]
