"""The runtime itself: sandboxes and containers made, followed and removed through the engine's API."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from halab.cluster.node.runtime.base import ContainerSpec, Dial, PodSandbox, StartFailed
from halab.engine import hijack, owned, tool
from halab.engine.client import Engine, reason
from halab.engine.image import PROGRAM, ensure
from halab.engine.network import gateway_name, network_name
from halab.errors import MachineError
from halab.settings import ClusterConfig

from .container import DockerContainer, seconds_of
from .events import Event, Events
from .options import container_name, container_options, sandbox_options
from .program import Program

log = logging.getLogger(__name__)
T = TypeVar("T")

AT_ONCE = 8  # requests to the engine
READY, READY_SECONDS = b"ready\n", 20.0  # what a sandbox says when it is complete, and how long that may take
LOST = 255  # the exit code of a container that vanished, as containerd has it


@dataclass(slots=True)
class Holder:
    """A pod's sandbox container, and the stream that keeps it alive."""

    identity: str
    writer: asyncio.StreamWriter


class DockerRuntime:
    """Implements ``base.Runtime`` for the node ``node`` of a cluster. ``socket`` is the engine's."""

    def __init__(self, client: Engine, config: ClusterConfig, node: str) -> None:
        self.client, self.config, self.node = client, config, node
        self.socket = config.engine
        version = client.version()
        self.podman = any(part.get("Name") == "Podman Engine" for part in version.get("Components") or ())
        self.version = f"{'podman' if self.podman else 'docker'}://{version.get('Version', 'unknown')}"
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="engine")
        self._containers: dict[str, DockerContainer] = {}
        self._programs: dict[str, Program] = {}
        self._sandboxes: dict[str, PodSandbox] = {}
        self._tasks: set[asyncio.Future[Any]] = set()
        self._events: Events | None = None
        self._image = ""
        self._count = 0

    shares_processes = True

    # The engine, from the loop's thread

    async def ask(self, function: Callable[..., T], *arguments: Any, **named: Any) -> T:
        """Call the client in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, lambda: function(*arguments, **named))

    def later(self, function: Callable[..., Any], *arguments: Any) -> None:
        """The same, with nobody waiting: what is gone meanwhile cannot be signalled."""

        async def call() -> None:
            from docker.errors import APIError

            try:
                await self.ask(function, *arguments)
            except APIError as error:
                log.debug("%s: %s", function.__name__, reason(error))
            except (OSError, RuntimeError) as error:
                log.warning("%s: %s", function.__name__, error)

        self._keep(call())

    # Life

    async def open(self) -> None:
        """Remove what a former agent of this node left, and listen."""
        directory = str(self.config.directory)
        await self.ask(owned.sweep, self.client, directory, self.node)
        self._image = await self.ask(ensure, self.client)
        self._events = Events(self.client, owned.wanted(directory, self.node), self._told, self._look)
        await self._events.start()

    async def close(self) -> None:
        """The node goes down."""
        if self._events is not None:
            self._events.close()
        with suppress(Exception):  # the supervisor removes what is left
            await self.ask(owned.sweep, self.client, str(self.config.directory), self.node)
        for task in list(self._tasks):
            task.cancel()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _told(self, event: Event) -> None:
        identity, attributes = event.get("id", ""), (event.get("Actor") or {}).get("Attributes") or {}
        when = event.get("timeNano", 0) / 1e9 or time.time()
        match event.get("Action"):
            case "exec_die":
                if program := self._programs.pop(attributes.get("execID", ""), None):
                    program.finish(int(attributes.get("exitCode", LOST)))
            case "oom":
                if container := self._containers.get(identity):
                    container.out_of_memory = True
            case "die":
                if container := self._containers.get(identity):
                    container.dies(int(attributes.get("exitCode", LOST)), when)
                elif pod := self._sandboxes.pop(identity, None):
                    self._sandbox_died(pod, identity)

    def _look(self) -> None:
        """The stream of events was broken: what ended meanwhile?"""

        async def look() -> None:
            known = {
                item["Id"]: item for item in await self.ask(owned.containers, self.client, str(self.config.directory), self.node)
            }
            for identity, container in list(self._containers.items()):
                if identity not in known:
                    container.dies(LOST, time.time())
                elif known[identity]["State"] not in ("running", "paused", "created"):
                    state = (await self.ask(self.client.inspect_container, identity))["State"]
                    container.dies(int(state["ExitCode"]), seconds_of(state["FinishedAt"]))
            for identity, pod in list(self._sandboxes.items()):
                if identity not in known or known[identity]["State"] != "running":
                    del self._sandboxes[identity]
                    self._sandbox_died(pod, identity)

        self._keep(look())

    def _sandbox_died(self, pod: PodSandbox, identity: str) -> None:
        """Somebody removed the sandbox: its containers have lost their network, so they go too, and the worker makes all of it anew."""
        for container in self._containers.values():
            if container.spec.log.is_relative_to(pod.directory):
                container.kill()
        self._release(pod)
        self.later(self._remove, identity)
        if pod.lost is not None:
            pod.lost()

    @staticmethod
    def _release(pod: PodSandbox) -> str:
        holder, pod.holder = pod.holder, None
        if not isinstance(holder, Holder):
            return ""
        holder.writer.close()
        return holder.identity

    # Pods

    def _labels(self, role: str) -> dict[str, str]:
        return owned.labels(self.config, role, self.node)

    def _attempt(self) -> str:
        """Names are the engine's, which may still be removing the last one."""
        self._count += 1
        return f"{os.getpid()}-{self._count}"

    async def open_pod(self, pod: PodSandbox) -> None:
        """Raises OSError, which is tried again, in the engine's words."""
        places = (network_name(self.config), gateway_name(self.config))
        options = sandbox_options(pod, self._image, *places, self._labels("sandbox"), self.config.policies)
        identity = await self._create(options, container_name(pod, "POD", self._attempt()))
        try:
            streams = "stream=1&stdin=1&stdout=1&stderr=1"
            reader, writer = await hijack.take_over(self.socket, f"/containers/{identity}/attach?{streams}")
            self._sandboxes[identity] = pod
            pod.holder = Holder(identity, writer)
            await self._start(identity)
            async with asyncio.timeout(READY_SECONDS):
                await self._until_ready(hijack.pieces(reader, terminal=False), pod)
        except (StartFailed, hijack.Refused, TimeoutError) as error:
            self._sandboxes.pop(identity, None)
            self._release(pod)
            self.later(self._remove, identity)
            raise OSError(f"Failed to create pod sandbox: {error}") from error

    async def _until_ready(self, pieces: AsyncIterator[tuple[bytes, bytes]], pod: PodSandbox) -> None:
        """The sandbox's address may connect only where it may before anything runs in it. Raises StartFailed with the sandbox's words."""
        said = b""
        async for _, data in pieces:
            said += data
            if said.endswith(READY):
                break
        else:
            raise StartFailed(said.decode(errors="replace").strip() or "it ended at once")

        async def listen() -> None:
            async for _, data in pieces:
                log.warning("pod %s/%s: %s", pod.namespace, pod.name, data.decode(errors="replace").strip())

        self._keep(listen())

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close_pod(self, pod: PodSandbox) -> None:
        if identity := self._release(pod):
            self._sandboxes.pop(identity, None)
            with suppress(Exception):
                await self.ask(self._remove, identity)

    async def start(self, pod: PodSandbox, spec: ContainerSpec) -> DockerContainer:
        """Raises StartFailed with the engine's words."""
        if not isinstance(pod.holder, Holder):
            raise StartFailed("the pod's sandbox is gone")
        files = await asyncio.to_thread(write_files, pod.directory / "files" / spec.name, spec.files)
        target = next((each.identity for each in self._containers.values() if each.pid == spec.share_processes_of), "")
        options = container_options(
            pod, spec, pod.holder.identity, self._labels("container"), files, target if spec.share_processes_of else ""
        )
        if self.podman and not pod.host_network:
            options["HostConfig"]["UTSMode"] = (
                f"container:{pod.holder.identity}"  # for Docker the host name comes with the network
            )
        identity = await self._create(options, container_name(pod, spec.name, self._attempt()))
        container = DockerContainer(self, spec, identity)
        try:
            await container.attach()
            self._containers[identity] = container
            await self._start(identity)
        except (StartFailed, hijack.Refused, OSError) as error:
            self._containers.pop(identity, None)
            container.close()
            self.later(self._remove, identity)
            raise StartFailed(str(error)) from error
        except asyncio.CancelledError:
            self.later(self._remove, identity)
            raise
        try:
            container.runs(int((await self.ask(self.client.inspect_container, identity))["State"]["Pid"]))
        except Exception:  # it has ended and is gone: its end is told
            container.runs(0)
        return container

    async def _create(self, options: Mapping[str, Any], name: str) -> str:
        from docker.errors import APIError

        try:
            made = await self.ask(self.client.create_container_from_config, dict(options), name)
        except APIError as error:
            raise StartFailed(f"Error response from daemon: {reason(error)}") from error
        return str(made["Id"])

    async def _start(self, identity: str) -> None:
        from docker.errors import APIError

        try:
            await self.ask(self.client.start, identity)
        except APIError as error:
            raise StartFailed(reason(error)) from error

    def _remove(self, identity: str) -> None:
        self.client.remove_container(identity, force=True, v=True)

    def gone(self, container: DockerContainer) -> None:
        """It has ended, and all that is asked of it is in the agent's files."""
        self._containers.pop(container.identity, None)
        self.later(self._remove, container.identity)

    async def was_out_of_memory(self, identity: str) -> bool:
        try:
            return bool((await self.ask(self.client.inspect_container, identity))["State"].get("OOMKilled"))
        except Exception:  # it is gone: then nobody knows
            return False

    # Programs and signals; called in threads

    async def execute(
        self, container: DockerContainer, argv: Sequence[str], stdin: int, stdout: int, stderr: int, terminal: bool
    ) -> Program:
        from docker.errors import APIError

        try:
            made = await self.ask(
                self.client.exec_create,
                container.identity,
                list(argv),
                stdin=True,
                tty=terminal,
                environment={"TERM": "xterm"} if terminal else None,
            )
        except APIError as error:
            raise StartFailed(reason(error)) from error
        program = Program(self, str(made["Id"]), terminal)
        self._programs[program.identity] = program
        try:
            await program.start(stdin, stdout, stderr)
        except (hijack.Refused, OSError) as error:
            self._programs.pop(program.identity, None)
            raise StartFailed(str(error)) from error
        return program

    async def remove(self, directory: Path) -> None:
        try:
            await self.ask(tool.remove_trees, self.client, self.config, [directory])
        except MachineError as error:
            log.warning("%s: %s", directory, error)

    def dialler(self, pod: PodSandbox) -> Dial:
        return partial(self.dial, pod)

    async def dial(self, pod: PodSandbox, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to a port of the pod's own localhost, made by a program in its sandbox. Raises OSError."""
        from docker.errors import APIError

        if not isinstance(pod.holder, Holder):
            raise ConnectionRefusedError(errno.ECONNREFUSED, "the pod's sandbox is gone")
        try:
            made = await self.ask(self.client.exec_create, pod.holder.identity, [PROGRAM, "dial", str(port)], stdin=True)
            reader, writer = await hijack.take_over(self.socket, f"/exec/{made['Id']}/start", {"Detach": False, "Tty": False})
        except (APIError, hijack.Refused) as error:
            raise ConnectionRefusedError(errno.ECONNREFUSED, reason(error)) from error
        pieces = hijack.pieces(reader, terminal=False)
        stream, first = await anext(pieces, (b"", b""))
        if stream != b"stderr" or not first.startswith(b"connected"):
            writer.close()
            raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
        plain = asyncio.StreamReader(limit=hijack.LIMIT)

        async def pump() -> None:
            try:
                async for stream, data in pieces:
                    if stream == b"stdout":
                        plain.feed_data(data)
            finally:
                plain.feed_eof()

        self._keep(pump())
        return plain, writer

    def signal(self, identity: str, number: int) -> None:
        if number == signal.SIGKILL:
            with suppress(Exception):
                self.client.unpause(identity)  # what is frozen cannot end
        self.client.kill(identity, number)

    def change(self, identity: str, limits: dict[str, int]) -> None:
        """Other limits for a container that runs. The library's own call knows no NanoCpus, which the engine will not mix with quotas."""
        client = self.client
        client._result(client._post_json(client._url("/containers/{0}/update", identity), data=limits), True)

    def signal_all(self, identity: str, number: int) -> None:
        match number:
            case signal.SIGSTOP:
                self.client.pause(identity)
            case signal.SIGCONT:
                self.client.unpause(identity)
            case _:
                self.client.kill(identity, number)

    def kill_program(self, identity: str) -> None:
        """The engine can start a program inside a container and not end it: it is signalled, by ourselves or by a container that may."""
        found = self.client.exec_inspect(identity)
        if not found.get("Running") or not (pid := int(found.get("Pid") or 0)):
            return
        try:
            os.kill(pid, signal.SIGKILL)
        except PermissionError:
            status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line)
            inside = int(status["NSpid"].split()[-1])
            tool.signal(self.client, self.config, found["ContainerID"], signal.SIGKILL, [inside])
        except ProcessLookupError:
            pass


def write_files(folder: Path, files: Mapping[str, str]) -> dict[str, Path]:
    """path in the container -> file that is shown there. Written in place: a container that still runs sees the same file."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {}
    for place, text in files.items():
        found[place] = folder / place.strip("/").replace("/", "_")
        found[place].write_text(text)
        found[place].chmod(0o644)
    return found
