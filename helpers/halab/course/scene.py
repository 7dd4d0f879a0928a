"""What a check can do: look at the lab's objects and send requests as users do. The vocabulary of every ``checks.py``.

A check never reads a manifest's text and never knows the backend: it asks for a Service's or the Ingress's address and sends requests.
``Failed`` results carry what was observed; ``describe_pods`` turns pods into such words.
"""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from halab.backends.access import Api, Obj
from halab.course.requests import Address, Answer, fetch, fetch_many, wait_until_answered
from halab.errors import ClusterError, MachineError
from halab.images.types import Engine
from halab.traffic.availability import Availability
from halab.traffic.meter import Meter

if TYPE_CHECKING:
    from halab.backends.base import Backend
    from halab.faults.api import Handle

Objects = list[Obj]
MOST_ASTRAY = 0.1  # of the users' requests of a check: beyond, the check is void
REDIRECTS = (301, 302, 307, 308)
ASK_AGAIN = 0.1  # seconds between two requests while waiting for an answer to change
Answers = list[Answer]
Names = list[str]


class Reach(Protocol):
    """How to reach what runs in a cluster from this machine. Each backend has its own way."""

    def service(self, namespace: str, name: str, port: int) -> Address: ...

    def pod(self, namespace: str, name: str, port: int) -> Address: ...

    def pod_beside_the_api(self, namespace: str, name: str, port: int) -> Address: ...

    def node_port(self, node: str, port: int) -> Address: ...

    def ingress(self, *, tls: bool = False) -> Address: ...


@dataclass
class Scene:
    """One lab on one cluster. ``files`` is the learner's working folder, ``images`` builds and runs images beside the cluster, ``memory`` is what earlier checks of this lab noted."""

    api: Api
    reach: Reach
    namespace: str
    files: Path
    environment: dict[str, str]
    images: Engine
    memory: dict[str, Any] = field(default_factory=dict)

    # Objects

    def get(self, kind: str, name: str) -> Obj | None:
        return self.api.find(kind, name)

    def list(self, kind: str, selector: str | None = None) -> Objects:
        return self.api.list(kind, selector)

    def pods(self, selector: str | None = None) -> Objects:
        """Pods that are not being deleted."""
        return [pod for pod in self.api.list("pods", selector) if "deletionTimestamp" not in pod["metadata"]]

    def ready_pods(self, selector: str | None = None) -> Objects:
        return [pod for pod in self.pods(selector) if is_ready(pod)]

    def pods_of(self, kind: str, name: str) -> Objects:
        """The pods that a workload's selector takes in."""
        owner = self.get(kind, name)
        labels = ((owner or {}).get("spec", {}).get("selector") or {}).get("matchLabels") or {}
        return self.pods(",".join(f"{key}={value}" for key, value in labels.items())) if labels else []

    def wait_for_ready(self, kind: str, name: str, count: int, timeout: float = 30.0) -> Objects:
        """Watch until a workload has exactly ``count`` ready pods; the ready pods as they are then or at the end of ``timeout``."""
        owner = self.get(kind, name)
        labels = ((owner or {}).get("spec", {}).get("selector") or {}).get("matchLabels") or {}
        selector = ",".join(f"{key}={value}" for key, value in labels.items())
        seen = self.api.wait("pods", lambda pods: len([p for p in pods if serves(p)]) == count, timeout, selector=selector)
        return [pod for pod in seen if serves(pod)]

    def restarts(self, pod: str) -> int:
        """How often containers of ``pod`` have been restarted."""
        found = self.get("pods", pod)
        return restarts_of(found) if found else 0

    def wait_for_restart(self, pod: str, since: int, timeout: float = 30.0) -> Obj | None:
        """Watch until ``pod`` is ready again with more than ``since`` restarts (as ``restarts`` said before); the pod as it then is."""

        def restarted(pods: Objects) -> bool:
            return any(p["metadata"]["name"] == pod and serves(p) and restarts_of(p) > since for p in pods)

        self.api.wait("pods", restarted, timeout)
        return self.get("pods", pod)

    # Requests

    def ask_service(self, name: str, port: int, path: str = "/", count: int = 1, host: str = "") -> Answers:
        return fetch_many(self.reach.service(self.namespace, name, port), count, path, host=host)

    def wait_for_service(self, name: str, port: int = 80, path: str = "/", timeout: float = 15.0) -> Answer:
        """Ask until there is a good answer (a pod without a readiness probe counts as ready before it listens), or until ``timeout``."""
        return wait_until_answered(self.reach.service(self.namespace, name, port), timeout, path)

    def ask_pod(self, pod: Obj, port: int, path: str = "/") -> Answer:
        return fetch(self.reach.pod(self.namespace, pod["metadata"]["name"], port), path)

    def tell_pod(self, pod: Obj, port: int, path: str) -> Answer:
        """A POST to one pod: how a check turns the switches of the course's application."""
        return fetch(self.reach.pod(self.namespace, pod["metadata"]["name"], port), path, method="POST")

    def traffic(self, service: str, port: int = 80, path: str = "/", *, rate: float = 20.0) -> Meter:
        """Users, from now until ``stop`` (or the end of the ``with`` block): ``rate`` requests a second to a Service."""
        host, bound = self.reach.service(self.namespace, service, port)
        return Users(f"http://{host}:{bound}", rate=rate, path=path)

    def wait_for_pod_answer(self, pod: Obj, port: int, path: str = "/", timeout: float = 5.0) -> Answer:
        """Ask a pod until it answers well, or until ``timeout``: without a readiness probe a pod is Ready a moment before its program listens."""
        deadline = time.monotonic() + timeout
        while True:
            answer = self.ask_pod(pod, port, path)
            if answer.ok or time.monotonic() > deadline:
                return answer
            time.sleep(ASK_AGAIN)

    def fault(self, name: str, target: str = "", *, duration: float = 120.0, **options: Any) -> Handle:
        """Inject a failure of the catalogue (``halab fault list``). It heals at the end of a ``with`` block, at the latest after ``duration`` seconds."""
        from halab.faults import api as faults

        return faults.inject(
            cast("Backend", self.reach), name, target, namespace=self.namespace, duration=duration, confirmed=True, **options
        )

    def ask_ingress(self, host: str, path: str = "/", *, tls: bool = False, count: int = 1, together: int = 1) -> Answers:
        """Requests for ``host``, ``together`` at a time, as a browser sends them: one that is sent on from http to https goes there."""
        with ThreadPoolExecutor(together) as pool:
            return list(pool.map(lambda _: self._browse(host, path, tls), range(count)))

    def _browse(self, host: str, path: str, tls: bool) -> Answer:
        answer = fetch(self.reach.ingress(tls=tls), path, host=host, tls=tls)
        if not tls and answer.status in REDIRECTS and answer.headers.get("location", "").startswith(f"https://{host}"):
            return fetch(self.reach.ingress(tls=True), path, host=host, tls=True)
        return answer

    def wait_for_answer(self, status: int, host: str, path: str = "/", timeout: float = 15.0) -> Answer:
        """Ask the Ingress until it answers with ``status`` (a proxy takes up a new rule a moment after the API does), or until ``timeout``."""
        deadline = time.monotonic() + timeout
        while True:
            answer = fetch(self.reach.ingress(), path, host=host)
            if answer.status == status or time.monotonic() > deadline:
                return answer
            time.sleep(ASK_AGAIN)

    def certificate_names(self, host: str) -> Names:
        """The DNS names of the certificate that the Ingress presents for ``host``; empty where there is none."""
        from cryptography import x509

        try:
            found = x509.load_der_x509_certificate(_certificate(self.reach.ingress(tls=True), host))
            names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        except (OSError, ValueError, x509.ExtensionNotFound):
            return []
        return list(names.value.get_values_for_type(x509.DNSName))

    # Programs

    def kubectl(self, *arguments: str, stdin: str | None = None, timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
        """kubectl in the lab's namespace, as the learner's terminal has it. Raises MachineError where there is none, ClusterError if it does not end."""
        try:
            return subprocess.run(
                [program("kubectl", self.environment), *arguments],
                input=stdin,
                capture_output=True,
                text=True,
                timeout=timeout,
                env=self.environment,
                cwd=self.files,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            fact = f"did not end within {timeout:.0f} s"
            raise ClusterError(
                "kubectl " + " ".join(arguments[:2]), fact, "does the API server answer? see: halab status"
            ) from error


def program(name: str, environment: Mapping[str, str]) -> str:
    """The path of ``name`` on the learner's PATH. Raises MachineError if it is not there."""
    found = shutil.which(name, path=environment.get("PATH", os.defpath))
    if found is None:
        raise MachineError(name, "is not on PATH, and this lab needs it", "install it; halab doctor says how")
    return found


class Users(Meter):
    """A meter whose record must say something about the application: one with holes of our own making is none."""

    def finish(self, timeout: float | None = None) -> Availability:
        """Raises ClusterError if many requests went astray on the way to the cluster."""
        found = super().finish(timeout)
        if found.astray > max(MOST_ASTRAY * (found.sent + found.astray), 2):
            fact = f"{found.astray} of {found.sent + found.astray} went astray on halab's own way to the cluster: nothing can be said"
            raise ClusterError(
                "users' requests", fact, "does the API server answer steadily? kubectl get --raw /readyz; then check again"
            )
        return found


def is_ready(pod: Obj) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod.get("status", {}).get("conditions") or [])


def serves(pod: Obj) -> bool:
    """Ready and not on its way out."""
    return is_ready(pod) and "deletionTimestamp" not in pod["metadata"]


def restarts_of(pod: Obj) -> int:
    return sum(int(c.get("restartCount", 0)) for c in pod.get("status", {}).get("containerStatuses") or [])


def state_of(pod: Obj) -> str:
    """A pod's state in the word that ``kubectl get pods`` would show."""
    status = pod.get("status", {})
    if "deletionTimestamp" in pod["metadata"]:
        return "Terminating"
    for container in status.get("containerStatuses") or []:
        state = container.get("state", {})
        reason = (state.get("waiting") or state.get("terminated") or {}).get("reason")
        if reason:
            return str(reason)
    return str(status.get("reason") or status.get("phase") or "Pending")


def describe_pods(pods: Objects) -> str:
    """``3 pods: 2 Running and ready, 1 ImagePullBackOff`` - the state of some pods in a sentence for a hint."""
    if not pods:
        return "there are no pods"
    words = Counter(
        "Running and ready" if is_ready(pod) else f"{state_of(pod)}, not ready" if state_of(pod) == "Running" else state_of(pod)
        for pod in pods
    )
    return f"{len(pods)} pod{'s' if len(pods) > 1 else ''}: " + ", ".join(
        f"{count} {word}" for word, count in words.most_common()
    )


def trouble_of(pod: Obj) -> str:
    """What the kubelet or the scheduler says is wrong with a pod; empty when it says nothing."""
    status = pod.get("status", {})
    for container in (status.get("initContainerStatuses") or []) + (status.get("containerStatuses") or []):
        waiting = container.get("state", {}).get("waiting") or {}
        if waiting.get("message"):
            return f"{waiting['reason']}: {waiting['message']}"
    for condition in status.get("conditions") or []:
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return f"{condition.get('reason', '')}: {condition.get('message', '')}"
    return ""


def _certificate(address: Address, host: str) -> bytes:
    """The certificate (DER) that ``address`` presents when ``host`` is asked for."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(address, timeout=5) as plain, context.wrap_socket(plain, server_hostname=host) as tls:
        return tls.getpeercert(binary_form=True) or b""
