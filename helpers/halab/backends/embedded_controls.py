"""The embedded cluster's half of the failure catalogue: its supervisor, its node agents, its registry."""

from __future__ import annotations

import http.client
import json
import ssl
from pathlib import Path

from halab.backends import controls
from halab.backends.controls import Answer, Unreachable, Vanished
from halab.cluster.supervisor import engine, manage
from halab.cluster.supervisor.files import private_directory
from halab.errors import ClusterError, UsageError
from halab.images.registry.manage import Registries
from halab.settings import KUBELET_PORT, ClusterConfig, halab_home

TIMEOUT = 15.0  # seconds for a node agent to do its part; filling a disk is the longest


class EmbeddedControls:
    """Implements ``controls.Controls``."""

    shared = False

    def __init__(self, config: ClusterConfig) -> None:
        self.config = config
        without = set(config.without)
        powers = {controls.API, controls.REGISTRY, controls.component_power("apiserver")}
        if "nodes" not in without:
            powers |= controls.EVERY_NODE | {controls.NODES}
        if "dataplane" not in without:
            powers |= {controls.TRAFFIC, controls.DNS, controls.component_power("dataplane")}
        if not {"controllers", "scheduler"} <= without:
            powers.add(controls.component_power("controllers"))
        self.powers = frozenset(powers)

    def records(self) -> Path:
        folder = self.config.directory / "faults"
        private_directory(folder)
        return folder

    def component(self, name: str, action: str) -> None:
        kind, _, node = name.partition("/")
        if kind == "node":
            name = f"node-agent/{node}"  # a node's containers die with its agent
        if (kind, action) == ("node-agent", "pause"):
            self._ask(node, "/halab/node", {"brace": True})  # programs may write on while nobody reads
        if action in ("stop", "kill"):
            manage.component(self.config.name, name, "stop", signal_name="SIGKILL")
        else:
            manage.component(self.config.name, name, action)
        if action in ("stop", "kill"):
            manage.wait_stopped(self.config.name, name)
            if name.startswith("node-agent/"):
                engine.clear_node(self.config, node)

    def node(self, name: str, request: Answer) -> Answer:
        return self._ask(name, "/halab/node", request)

    def container(self, node: str, namespace: str, pod: str, container: str, request: Answer) -> Answer:
        return self._ask(node, f"/halab/containers/{namespace}/{pod}/{container}", request)

    def _ask(self, node: str, path: str, request: Answer) -> Answer:
        if node not in self.config.nodes:
            raise UsageError(f"node {node}", "does not exist", f"one of: {', '.join(self.config.nodes)}")
        address = self.config.addresses.kubelet(self.config.nodes.index(node))
        context = ssl.create_default_context(cafile=str(self.config.ca_file))
        connection = http.client.HTTPSConnection(address, KUBELET_PORT, timeout=TIMEOUT, context=context)
        headers = {"Authorization": f"Bearer {self.config.tokens['admin']}", "Content-Type": "application/json"}
        try:
            connection.request("POST", path, json.dumps(request), headers)
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            gone = isinstance(error, ConnectionRefusedError)
            fact = f"its agent does not answer ({reason})"
            raise Unreachable(f"node {node}", fact, "see: halab status", gone=gone) from error
        finally:
            connection.close()
        if response.status == 404:
            raise Vanished(f"node {node}", body.decode(errors="replace").strip(), "look again: kubectl get pods -o wide")
        if response.status != 200:
            raise ClusterError(f"node {node}", body.decode(errors="replace").strip())
        answer: Answer = json.loads(body)
        return answer

    def registry(self, name: str, action: str, address: str = "") -> str:
        registries = Registries(halab_home())
        if action == "start":
            return registries.start(name, address).address
        found = {one.name: one for one in registries.registries()}.get(name)
        if found is None or not found.pid:
            raise UsageError(f"registry {name}", "does not run", f"start it: halab image registry start {name}")
        if action == "stop":
            registries.stop(name)
        return found.address
