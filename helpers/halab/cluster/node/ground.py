"""What a pod stands on: its address and sandbox, its volumes, its ports on the node. Had before the first container, given back after the last."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from halab.cluster.kube.kinds import RUNTIME_CLASSES
from halab.cluster.kube.status import ApiError
from halab.settings import PROCESS

from . import clockfile
from .hostports import HostPorts
from .hosts import domain_name_of, hostname_of, hostname_problem, resolver, resolver_problems
from .node import private_localhost
from .projection import VolumeError, references
from .registration import HANDLERS
from .runtime import PodSandbox

if TYPE_CHECKING:
    from .worker import PodWorker

VOLUME_RETRY = (0.5, 122.0)  # seconds until a volume is tried again: the first time, and at most (kubelet's)


TOKEN_LOOK_SECONDS = 60.0  # as often as kubelet looks at a pod's volumes


def until_refresh(refresh_at: float, now: float) -> float:
    """Seconds until a token's time is looked at again: a clock that is set ahead ends a token's life sooner than its timer does."""
    return min(max(1.0, refresh_at - now), TOKEN_LOOK_SECONDS)


class Ground:
    """``stale`` is set when a volume's source, or the pod's labels or annotations, changed."""

    def __init__(self, worker: PodWorker) -> None:
        self.worker = worker
        self.sandbox: PodSandbox | None = None
        self.stale = False
        self._host_ports = HostPorts()
        self._delay = VOLUME_RETRY[0]

    async def prepare(self) -> bool:
        """Volumes and sandbox. False if they cannot be had yet; the worker is woken when to try again."""
        worker, node = self.worker, self.worker.node
        volumes = worker.volumes
        if self.sandbox is None and (problem := hostname_problem(worker.pod)):
            return self._later("FailedCreatePodSandBox", f"Failed to create pod sandbox: {problem}")
        if self.sandbox is None and (problem := await self._runtime_problem()):
            return self._later("FailedCreatePodSandBox", f"Failed to create pod sandbox: {problem}")
        try:
            if self.sandbox is None:
                await self._warn()
                self.sandbox = self._new_sandbox()
            first = not volumes.paths and worker.pod["spec"].get("volumes")
            await volumes.set_up(worker.context)
        except VolumeError as error:
            return self._later("FailedMount", str(error))
        if first:
            for kind, name in references(worker.pod):
                node.watch_object(kind, worker.namespace, name, worker.source_changed)
        if self.stale and volumes.paths:
            self.stale = False
            await volumes.refresh(worker.context)
        elif volumes.refresh_at and time.time() >= volumes.refresh_at:
            await volumes.refresh(worker.context)
        if volumes.refresh_at:
            worker.wake_in(until_refresh(volumes.refresh_at, time.time()))
        if not worker.record.sandbox_ready:
            await node.runtime.open_pod(self.sandbox)
            localhost = node.inside(node.address)[0] if node.config.runtime == PROCESS else "127.0.0.1"
            await self._host_ports.open(worker.pod, node.own_address, localhost, node.target(worker.record.address))
            worker.record.sandbox_ready = True
            worker.publish()
        return True

    async def _warn(self) -> None:
        """Of what the pod wishes and does not get, but can do without."""
        worker, node = self.worker, self.worker.node
        names = [each["name"] for each in worker.pod["spec"].get("imagePullSecrets") or () if each.get("name")]
        if missing := [name for name in names if await node.secret(worker.namespace, name) is None]:
            text = f"Unable to retrieve some image pull secrets ({', '.join(missing)}); attempting to pull the image may not succeed."
            worker.event("Warning", "FailedToRetrieveImagePullSecret", text)
        for problem in resolver_problems(worker.pod, node.config.addresses.dns):
            worker.event("Warning", "DNSConfigForming", problem)

    async def _runtime_problem(self) -> str:
        """Why the pod's RuntimeClass cannot be had here, or empty."""
        name = self.worker.pod["spec"].get("runtimeClassName")
        if not name:
            return ""
        try:
            handler = (await self.worker.node.client.get(RUNTIME_CLASSES, name))["handler"]
        except ApiError as error:
            return str(error) if error.code == 404 else f"failed to lookup RuntimeClass {name}: {error}"
        if handler in HANDLERS:
            return ""
        return f'rpc error: code = Unknown desc = failed to get sandbox runtime: no runtime for "{handler}" is configured'

    def _later(self, reason: str, message: str) -> bool:
        self.worker.event("Warning", reason, message)
        self.worker.wake_in(self._delay)
        self._delay = min(self._delay * 2, VOLUME_RETRY[1])
        return False

    def _new_sandbox(self) -> PodSandbox:
        pod, node, record = self.worker.pod, self.worker.node, self.worker.record
        spec = pod["spec"]
        host = bool(spec.get("hostNetwork"))
        record.address = node.address if host else node.addresses.take()
        dns, _ = resolver(pod, node.config.addresses.dns)
        hostname, full = hostname_of(pod, node.name), domain_name_of(pod)
        return PodSandbox(
            uid=self.worker.uid,
            hostname=hostname,
            address=record.address,
            local=private_localhost(record.address),
            name=self.worker.name,
            namespace=self.worker.namespace,
            directory=self.worker.directory,
            host_network=host,
            lost=self._lost,
            dns=dns,
            port_shift=node.config.port_shift,
            policy=None if host else self._policy_tables(),
            clock=clockfile.of(node.directory),
            share_processes=bool(spec.get("shareProcessNamespace")),
            host_names=(full,) if full else (),
        )

    def _lost(self) -> None:
        """The runtime lost the sandbox: the next step opens it again, and the containers that were in it start anew."""
        self._host_ports.close()
        self.worker.record.sandbox_ready = False
        self.worker.event("Normal", "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.")
        self.worker.wake()

    def _policy_tables(self) -> Path:
        directory = self.worker.node.config.policies
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(0o755)  # read by programs of any user; what is in it is no secret
        return directory

    async def clear(self) -> None:
        """No container runs any more: the sandbox and the ports go."""
        if self.sandbox is not None:
            await self.worker.node.runtime.close_pod(self.sandbox)
        self._host_ports.close()
        self.worker.record.sandbox_ready = False

    async def give_back(self) -> None:
        """The pod's end has been told: its sources are followed no more, and its address may be another's."""
        worker, node = self.worker, self.worker.node
        for kind, name in references(worker.pod):
            await node.unwatch_object(kind, worker.namespace, name, worker.source_changed)
        if self.sandbox is not None and worker.record.address != node.address:
            node.addresses.give_back(worker.record.address)
