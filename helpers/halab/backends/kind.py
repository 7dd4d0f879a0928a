"""A real Kubernetes whose nodes are Docker containers (https://kind.sigs.k8s.io), made and removed by halab.

Only a cluster that this backend made is ever touched: its name begins with ``halab-`` and ``choice.json`` holds its containers' ids, so that
another one that somebody made by the same name, later or on another engine, is left alone.
"""

from __future__ import annotations

import tempfile
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from halab.backends import choice, gateway, kind_config, kind_registry, kind_relay, kind_run, preflight, provided
from halab.backends.access import Api, ApiError, Obj
from halab.backends.base import Address, Report, Summary
from halab.backends.choice import Choice
from halab.backends.features import OWN, POD_SECURITY
from halab.backends.kind_controls import KindControls
from halab.backends.remote import Remote
from halab.cluster.supervisor.files import private_directory, write_private
from halab.errors import ClusterError, HalabError, ImageError, MachineError
from halab.images import api
from halab.images.types import Engine

PREFIX = "halab-"
READY_SECONDS, API_SECONDS = 180.0, 60.0
FIRST_PORTS = {"http": 8080, "https": 8443}
WORKERS = 3


class Kind(Remote):
    """``options``: nodes (workers), control_planes, image, http, https (ports of this machine), gateway, registry."""

    def __init__(self, name: str, options: dict[str, Any] | None = None) -> None:
        super().__init__(name)
        known = choice.read(name)
        before = known if known is not None and known.backend == choice.KIND else Choice(choice.KIND)
        given = {key: value for key, value in (options or {}).items() if value is not None}
        self.choice = replace(before, options=before.options | given)

    @property
    def cluster(self) -> str:
        return PREFIX + self.name

    # Up and down

    def up(self, report: Report) -> Summary:
        if there := self._nodes():
            self._wake(there, report)
        else:
            self._require_same_engine()
            self._refuse_strangers()
            self._create(report)
        self._wait_until_ready(report)
        self._equip(report)
        if self.choice.options.get("registry"):
            self._register(report)
        return self.summary()

    def _register(self, report: Report) -> None:
        """The registry beside the cluster; ``up`` fails without it, because it was asked for by name."""
        port = int(self.choice.made.get("registry") or self._free_port(kind_registry.FIRST_PORT))
        kind_registry.ensure(self.cluster, port, report)
        kind_registry.introduce(self.cluster, self._nodes(), port, self.kubeconfig())
        self.choice = replace(self.choice, made=self.choice.made | {"registry": port})
        choice.write(self.name, self.choice)
        report(f"images pushed to localhost:{port} can be pulled by that name in the cluster")

    def _nodes(self) -> list[kind_run.NodeContainer]:
        """The containers that halab made, the control plane first; while it makes them, all that carry the cluster's name (it was free before)."""
        if not self.choice.made:
            return []
        known = self.choice.made.get("nodes")
        return [node for node in kind_run.nodes(self.cluster) if known is None or node.id in known]

    def _refuse_strangers(self) -> None:
        """A cluster of this name that halab did not make is someone else's."""
        self._preflight()
        if kind_run.nodes(self.cluster):
            remedy = f"if it is yours to remove: kind delete cluster --name {self.cluster}; else take another name: --name OTHER"
            raise ClusterError(f"kind cluster {self.cluster}", "exists, and halab did not make it", remedy)

    def _require_same_engine(self) -> None:
        """What was made in another Docker context is still there, and would be forgotten."""
        before = self.choice.made.get("engine")
        if before and before != (now := kind_run.engine_id()):
            fact = f"was made in another Docker engine ({before[:12]}) than the one that answers now ({now[:12]})"
            remedy = "choose that engine again (docker context use, DOCKER_HOST), or take another name: --name OTHER"
            raise ClusterError(f"kind cluster {self.cluster}", fact, remedy)

    def _preflight(self) -> None:
        for finding in preflight.kind_findings():
            if finding.level == "fail":
                raise MachineError(finding.subject, finding.fact, finding.remedy)

    def _create(self, report: Report) -> None:
        self._preflight()
        private_directory(self.folder)
        version = preflight.kind_version() or (0, 0)
        options = self.choice.options
        ports = {key: int(options.get(key) or self._free_port(first)) for key, first in FIRST_PORTS.items()}
        image = kind_config.node_image(version, str(options.get("image") or ""))
        text = kind_config.config(
            self.cluster,
            workers=int(options.get("nodes", WORKERS)),
            control_planes=int(options.get("control_planes", 1)),
            image=image,
            http=ports["http"],
            https=ports["https"],
        )
        file = self.folder / "kind.yaml"
        write_private(file, text)
        # Written first: a creation that is interrupted leaves a cluster that is known to be ours.
        ours = bool(self.choice.made.get("network")) or not kind_run.network_exists()
        made = {"cluster": self.cluster, "ports": ports, "image": image, "engine": kind_run.engine_id()}
        self.choice = replace(self.choice, made=made | {"network": ours})
        choice.write(self.name, self.choice)
        report(f"creating kind cluster {self.cluster} (its configuration: {file})")
        try:
            kind_run.create(self.cluster, file, self.folder / "kubeconfig", report)
        except BaseException:
            report("removing what was made of it")
            with suppress(HalabError):  # the first error is the one that tells why
                self._remove()
            raise
        self.choice = replace(self.choice, made=self.choice.made | {"nodes": [node.id for node in self._nodes()]})
        choice.write(self.name, self.choice)
        self._reset()

    @staticmethod
    def _free_port(first: int) -> int:
        for port in range(first, first + 100):
            if preflight.port_is_free(port):
                return port
        raise MachineError(
            f"ports {first} to {first + 99}", "are all taken", "name free ones: --http-port PORT --https-port PORT"
        )

    def _wake(self, there: list[kind_run.NodeContainer], report: Report) -> None:
        paused = [node.id for node in there if node.state == "paused"]
        stopped = [node.id for node in there if node.state not in ("running", "paused")]
        if paused:
            kind_run.checked("docker", "unpause", *paused)
        if stopped:
            report(f"starting {len(stopped)} nodes")
            kind_run.checked("docker", "start", *stopped)

    def _wait_until_ready(self, report: Report) -> None:
        deadline = time.monotonic() + API_SECONDS
        while True:
            try:
                count = len(self.api().list("nodes"))
                break
            except (OSError, TimeoutError, ApiError) as error:
                if time.monotonic() > deadline:
                    fact = f"its API server does not answer ({error or type(error).__name__})"
                    raise kind_run.explained(f"kind cluster {self.cluster}", fact + kind_run.last_words(self.cluster)) from error
                time.sleep(0.3)  # nothing tells of an API server that begins to listen
        report("waiting for the nodes to be Ready")
        nodes = self.api().wait("nodes", lambda found: len(found) >= count and all(map(ready, found)), READY_SECONDS)
        late = [node["metadata"]["name"] for node in nodes if not ready(node)]
        if late:
            remedy = f"see: docker exec {late[0]} journalctl -u kubelet | tail"
            raise ClusterError(
                f"kind cluster {self.cluster}", f"not Ready after {READY_SECONDS:.0f} s: {', '.join(late)}", remedy
            )

    def _equip(self, report: Report) -> None:
        """The gateway and the metrics; a cluster that lacks them is still a cluster, and ``features`` says so."""
        if self.choice.made.get("equipped"):
            return
        said = ""
        try:
            if self.choice.options.get("gateway", True):
                gateway.install(
                    self.kubeconfig(),
                    self._load,
                    report,
                    published=kind_config.LOOPBACK,
                    on_control_plane=True,
                    **self.choice.made["ports"],
                )
            gateway.install_metrics(self.kubeconfig(), report)
        except HalabError as error:
            said = str(error)
            report(f"without its gateway or metrics: {error}")
        if not said:
            self.choice = replace(self.choice, made=self.choice.made | {"equipped": True})
            choice.write(self.name, self.choice)

    def down(self, *, purge: bool) -> bool:
        """Stop the nodes; with ``purge`` remove them, their volumes, and their network where no other kind cluster uses it."""
        if not self.choice.made:
            return False
        if purge:
            self._remove()
            choice.forget(self.name)
            return True
        running = [node.id for node in self._nodes() if node.state == "running"]
        if self.choice.made.get("registry"):
            kind_registry.stop(self.cluster)
        if running:
            kind_run.checked("docker", "stop", "--time", "5", *running)
        return bool(running)

    def _remove(self) -> None:
        if self.choice.options.get("registry"):
            kind_registry.remove(self.cluster)
        if len(self._nodes()) == len(
            kind_run.nodes(self.cluster)
        ):  # kind goes by the name alone: not where somebody else has it by now
            kind_run.delete(self.cluster, self.folder / "kubeconfig")
        if left := self._nodes():
            kind_run.checked("docker", "rm", "-f", "-v", *(node.id for node in left))
        others = kind_run.checked("docker", "ps", "-aq", "--filter", f"label={kind_run.CLUSTER_LABEL}").strip()
        if self.choice.made.get("network") and not others:
            kind_run.run("docker", "network", "rm", "kind")  # refused while anything is attached to it, which is right
        self.choice = replace(self.choice, made={})
        choice.forget(self.name)

    # What the course asks

    def namespace(self, wanted: str) -> str:
        return wanted

    def summary(self) -> Summary:
        if not self.choice.made or not (self.folder / "kubeconfig").exists():
            return Summary(self.name, choice.KIND, "absent", 0)
        if not any(node.state == "running" for node in self._nodes()):
            return Summary(self.name, choice.KIND, "stopped", 0)
        try:
            nodes = self.api().list("nodes")
        except (OSError, TimeoutError, ApiError):
            return Summary(self.name, choice.KIND, "degraded", 0)
        # Nodes that take no pods of learners do not count for what a lab requires.
        free = [node for node in nodes if ready(node) and not node.get("spec", {}).get("taints")]
        whole = all(map(ready, nodes))
        return Summary(self.name, choice.KIND, "running" if whole else "degraded", len(free))

    def features(self) -> frozenset[str]:
        return features(self.api(), preflight.kind_version()) | {OWN, POD_SECURITY}

    def images(self) -> Engine:
        return api.engine("docker")

    def provide_image(self, reference: str, folder: Path, report: Report) -> None:
        engine = self._holder(reference, folder, report)
        image_id = str(engine.inspect(reference).get("Id", ""))
        loaded: dict[str, str] = self.choice.made.get("images", {})
        if image_id and loaded.get(reference) == image_id:
            return
        report(f"loading {reference} into the nodes")
        with tempfile.TemporaryDirectory() as scratch:
            archive = Path(scratch) / "image.tar"
            engine.save([reference], archive)
            self._load(archive)
        self.choice = replace(self.choice, made=self.choice.made | {"images": loaded | {reference: image_id}})
        choice.write(self.name, self.choice)

    def _load(self, archive: Path) -> None:
        kind_run.load(self.cluster, archive, [node.name for node in self._nodes() if node.role != "external-load-balancer"])

    def _holder(self, reference: str, folder: Path, report: Report) -> Engine:
        """The engine that has the image: Docker's, or halab's own builder where Docker cannot pull what it is built on."""
        engine = self.images()
        if provided.is_current(engine, reference, folder):
            return engine
        report(f"building {reference}")
        try:
            engine.build(provided.request(engine, reference, folder), lambda _event: None)
            return engine
        except ImageError as error:
            report(f"Docker cannot build it ({error}); building it from this machine's programs")
        own = api.engine("embedded")
        own.build(provided.request(own, reference, folder), lambda _event: None)
        return own

    def ingress(self, *, tls: bool = False) -> Address:
        ports: dict[str, int] = self.choice.made.get("ports", {})
        port = ports.get("https" if tls else "http")
        return (kind_config.LOOPBACK, port) if port else self._gateway(tls)

    def pod_beside_the_api(self, namespace: str, name: str, port: int) -> Address:
        found = self._get("pods", name, namespace)
        node = next((one for one in self._nodes() if one.name == found["spec"].get("nodeName")), None)
        address = found.get("status", {}).get("podIP")
        if node is None or not address:
            raise ClusterError(
                f"pod {namespace}/{name}", "has no address yet", f"kubectl -n {namespace} describe pod {name} says why"
            )
        return kind_relay.open_to(node, address, port)

    def controls(self) -> KindControls:
        return KindControls(self._nodes, self.folder)


def ready(node: Obj) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in node.get("status", {}).get("conditions", ()))


def features(api: Api, version: tuple[int, int] | None) -> frozenset[str]:
    """Found out, not assumed: a gateway that has no pod ready routes nothing."""
    found = set()
    own = api.find("deployments", gateway.DEPLOYMENT, gateway.NAMESPACE)
    if own is not None and own.get("status", {}).get("readyReplicas"):
        found |= {"ingress"}
        if gateway.serves(api, "gateway.networking.k8s.io"):
            found |= {"gateway"}
    if gateway.serves(api, "metrics.k8s.io"):
        found |= {"metrics"}
    if version is not None and version >= preflight.NETWORK_POLICY:
        found |= {"networkpolicy"}
    return frozenset(found)
