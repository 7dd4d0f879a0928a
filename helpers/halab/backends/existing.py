"""A cluster that someone else made, known by a kubeconfig's context: a classroom's, a cloud's, minikube, k3d.

The learner has one namespace there, created or given, and all labs are played in it, one at a time. Nothing outside it is changed, and
nothing is deleted that was not created here: the rights that this needs are in ``manifests/learner-role.yaml`` and are asked for, not assumed.
"""

from __future__ import annotations

import getpass
import os
import re
import shlex
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from halab.backends import choice, gateway, provided, rights
from halab.backends.access import ApiError
from halab.backends.base import Address, Report, Summary
from halab.backends.choice import Choice
from halab.backends.remote import Remote
from halab.backends.remote_controls import SharedControls
from halab.cluster.client import kubeconfig, kubeconfig_files
from halab.cluster.supervisor.files import private_directory, write_private
from halab.errors import ClusterError, ImageError, MachineError, UsageError
from halab.images import api
from halab.images.types import Engine

OWNER = "halab.io/owner"
LABEL_NAMESPACE = ("patch", "", "namespaces")
LOADERS = {  # of well-known local clusters, by their contexts' names; {archive} and {name} are filled in
    r"kind-(?P<name>.+)": "kind load image-archive {archive} --name {name}",
    r"k3d-(?P<name>.+)": "k3d image import {archive} --cluster {name}",
    r"(?P<name>minikube)": "minikube image load {archive}",
}


class Existing(Remote):
    """``options``: kubeconfig, context, namespace, ingress (HOST:PORT[:TLSPORT]), load (a command with {archive}), gateway (install ours),
    has (features that cannot be found out from outside)."""

    all_namespaces = False

    def __init__(self, name: str, options: dict[str, Any] | None = None) -> None:
        super().__init__(name)
        known = choice.read(name)
        before = known if known is not None and known.backend == choice.EXISTING else Choice(choice.EXISTING)
        given = {key: value for key, value in (options or {}).items() if value}
        self.choice = replace(before, options=before.options | given)

    # Up and down

    def up(self, report: Report) -> Summary:
        private_directory(self.folder)
        if "namespace" not in self.choice.options:
            self.choice = replace(self.choice, options=self.choice.options | {"namespace": default_namespace()})
        self._read_kubeconfig(report)
        self._reach()
        self._own_namespace(report)
        choice.write(self.name, self.choice)
        missing = rights.lacking(self.api(), self.namespace(""))
        if missing:
            fact = f"you may not: {'; '.join(missing)}"
            raise ClusterError(f"namespace {self.namespace('')}", fact, rights.remedy(self.namespace("")))
        if self.choice.options.get("gateway") and not self.choice.made.get("gateway"):
            gateway.install(self.kubeconfig(), self._load, report)
            self.choice = replace(self.choice, made=self.choice.made | {"gateway": True})
            choice.write(self.name, self.choice)
        return self.summary()

    def _read_kubeconfig(self, report: Report) -> None:
        """Keep a copy of the one context: other contexts and a later ``kubectl config use-context`` are not this cluster's business.

        It is read again at every ``up``, since credentials are renewed; where it is gone, the copy still serves.
        """
        copy, options = self.folder / "kubeconfig", self.choice.options
        given = str(options.get("kubeconfig") or "")
        try:
            document = kubeconfig_files.minified(kubeconfig_files.read(given), str(options.get("context") or ""))
        except UsageError:
            if copy.exists() and self._same_place():
                return
            raise
        kubeconfig.access_of(document)  # refuses here what could not be used later
        document["contexts"][0]["context"]["namespace"] = self.namespace("")  # where kubectl is to look, too
        text = yaml.safe_dump(document, sort_keys=False)
        if not copy.exists() or copy.read_text() != text:
            report("reading the kubeconfig")
            write_private(copy, text)
            self._reset()
        places = os.pathsep.join(map(str, kubeconfig_files.places(given)))
        self.choice = replace(self.choice, options=options | {"kubeconfig": places, "context": document["current-context"]})

    def _same_place(self) -> bool:
        known = choice.read(self.name)
        same = ("kubeconfig", "context")
        return known is not None and all(known.options.get(key) == self.choice.options.get(key) for key in same)

    def _reach(self) -> None:
        """One request, and what to do where it is not answered."""
        try:
            self.api().list("pods", namespace=self.choice.options.get("namespace", "default"))
        except ApiError as error:
            if error.code == 401:
                fact = "does not know you (401): the credentials are wrong or have expired"
                raise ClusterError(
                    f"cluster {self.name}", fact, "get new ones, then run halab up again with --kubeconfig"
                ) from error
        except (OSError, TimeoutError) as error:
            where = self.api().client.server
            fact = f"{where} does not answer ({error or type(error).__name__})"
            raise ClusterError(
                f"cluster {self.name}", fact, "is it up, and this the right context? kubectl config get-contexts"
            ) from error

    def _own_namespace(self, report: Report) -> None:
        name = self.namespace("")
        try:
            found = self.api().find("namespaces", name)
        except ApiError as error:
            if error.code == 403:  # it was given, without the right to look at the object itself
                return
            raise ClusterError(f"namespace {name}", str(error)) from error
        if found is not None:
            return
        report(f"creating namespace {name}")
        labels = {"app.kubernetes.io/managed-by": "halab"}
        meta = {"name": name, "labels": labels, "annotations": {OWNER: self.name}}
        try:
            made = self.api().create({"apiVersion": "v1", "kind": "Namespace", "metadata": meta})
        except ApiError as error:
            fact = f"does not exist, and you may not: create namespaces ({error})"
            raise ClusterError(f"namespace {name}", fact, rights.remedy(name)) from error
        self.choice = replace(self.choice, made=self.choice.made | {"namespace": name, "uid": made["metadata"]["uid"]})

    def down(self, *, purge: bool) -> bool:
        """The cluster itself goes on. With ``purge``, what halab created there is removed, and what it knows of it forgotten."""
        if choice.read(self.name) is None:
            return False
        if purge:
            made = self.choice.made
            if made.get("gateway"):
                gateway.remove(self.kubeconfig())
            if made.get("namespace"):
                found = self.api().find("namespaces", made["namespace"])
                if found is not None and found["metadata"]["uid"] == made.get("uid"):
                    self.api().delete("namespaces", made["namespace"])
            choice.forget(self.name)
        return True

    # What the course asks

    def namespace(self, wanted: str) -> str:
        """All labs are played in the learner's one namespace."""
        return str(self.choice.options.get("namespace") or default_namespace())

    def summary(self) -> Summary:
        try:
            nodes = self.api().list("nodes")
        except ApiError as error:
            if error.code != 403:
                raise ClusterError(f"cluster {self.name}", str(error)) from error
            return Summary(self.name, choice.EXISTING, "running", 1)  # at least; who may not look cannot count
        except (OSError, TimeoutError):
            return Summary(self.name, choice.EXISTING, "unreachable", 0)
        ready = [node for node in nodes if _is_ready(node)]
        return Summary(self.name, choice.EXISTING, "running" if ready else "degraded", len(ready))

    def features(self) -> frozenset[str]:
        found = set(self.choice.options.get("has", ()))
        if self.choice.options.get("ingress") or self.choice.made.get("gateway"):
            found.add("ingress")
        if "ingress" in found and gateway.serves(self.api(), "gateway.networking.k8s.io"):
            found.add("gateway")
        if gateway.serves(self.api(), "metrics.k8s.io"):
            found.add("metrics")
        if not rights.denied(self.api(), self.namespace(""), LABEL_NAMESPACE):
            found.add("pod-security")
        return frozenset(found)

    def images(self) -> Engine:
        return api.engine("auto")

    def provide_image(self, reference: str, folder: Path, report: Report) -> None:
        engine = self.images()
        if not provided.is_current(engine, reference, folder):
            report(f"building {reference}")
            engine.build(provided.request(engine, reference, folder), lambda _event: None)
        image_id = str(engine.inspect(reference).get("Id", ""))
        loaded: dict[str, str] = self.choice.made.get("images", {})
        if loaded.get(reference) == image_id and image_id:
            return
        report(f"bringing {reference} to the cluster's nodes")
        with tempfile.TemporaryDirectory() as scratch:
            archive = Path(scratch) / "image.tar"
            engine.save([reference], archive)
            self._load(archive)
        self.choice = replace(self.choice, made=self.choice.made | {"images": loaded | {reference: image_id}})
        choice.write(self.name, self.choice)

    def _load(self, archive: Path) -> None:
        command = self.choice.options.get("load") or loader_of(str(self.choice.options.get("context", "")))
        if not command:
            remedy = "say how: halab up --load 'COMMAND {archive}'; or --load none where they are there already (docs/kind.md)"
            raise ImageError("images of the labs", "cannot be brought to this cluster's nodes: no way is known", remedy)
        if command == "none":
            return
        words = [word.replace("{archive}", str(archive)) for word in shlex.split(command)]
        try:
            done = subprocess.run(words, capture_output=True, text=True, timeout=600, check=False)
        except OSError as error:
            raise MachineError(words[0], f"cannot be run: {error.strerror}", "correct --load") from error
        if done.returncode:
            raise ImageError("images of the labs", f"{' '.join(words)}: {(done.stderr or done.stdout).strip()[-400:]}")

    def ingress(self, *, tls: bool = False) -> Address:
        if given := self.choice.options.get("ingress"):
            return parse_ingress(str(given), tls)
        return self._gateway(tls)

    def controls(self) -> SharedControls:
        return SharedControls(self.folder)


def _is_ready(node: dict[str, Any]) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in node.get("status", {}).get("conditions", ()))


def default_namespace() -> str:
    """``halab-USER``, as a namespace may be called."""
    return f"halab-{re.sub(r'[^a-z0-9-]+', '-', getpass.getuser().lower()).strip('-') or 'learner'}"[:63].rstrip("-")


def loader_of(context: str) -> str:
    """How images get to the nodes of a well-known kind of local cluster; empty where it is none."""
    for pattern, command in LOADERS.items():
        if found := re.fullmatch(pattern, context):
            return command.replace("{name}", found["name"])
    return ""


def parse_ingress(text: str, tls: bool = False) -> Address:
    """``HOST``, ``HOST:PORT`` or ``HOST:PORT:TLSPORT`` (80 and 443 where they are left out)."""
    host, _, rest = text.partition(":")
    plain, _, secure = rest.partition(":")
    try:
        return host, int(secure or 443) if tls else int(plain or 80)
    except ValueError:
        raise UsageError(f"--ingress {text}", "is not HOST:PORT or HOST:PORT:TLSPORT", "as in: 192.0.2.7:80:443") from None
