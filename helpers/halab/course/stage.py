"""Set a lab's scene: its namespace, its images, its initial objects, the learner's working folder. And set it back.

Laying is idempotent: a namespace that carries the scene's mark is left as the learner has it, so a restarted kernel changes nothing.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from halab.backends.access import Api, ApiError
from halab.backends.base import Backend
from halab.course.catalog import Lab, course_root
from halab.course.scene import Scene
from halab.errors import ClusterError, ImageError, MachineError, UsageError
from halab.settings import halab_home

Report = Callable[[str], None]
MARK = "halab.io/scene"
CLEARED = (
    "deployments",
    "statefulsets",
    "daemonsets",
    "cronjobs",
    "jobs",
    "replicasets",
    "pods",
    "services",
    "ingresses",
    "httproutes",
    "gateways",
    "networkpolicies",
    "horizontalpodautoscalers",
    "poddisruptionbudgets",
    "rolebindings",
    "roles",
    "configmaps",
    "secrets",
    "persistentvolumeclaims",
    "events",
)  # owners before what they own, so that nothing is made anew
KEPT = {("configmaps", "kube-root-ca.crt")}
CLEAR_TIMEOUT = 20.0  # seconds until everything of a scene must be gone


def open_stage(lab: Lab, backend: Backend, report: Report) -> Scene:
    """Bring the cluster up if needed, check what the lab requires, lay its scene if it is not there; the scene, ready for checks."""
    summary = backend.up(report)
    if summary.nodes < lab.nodes:
        raise UsageError(
            f"lab {lab.slug}", f"needs {lab.nodes} nodes, this cluster has {summary.nodes}", f"run: halab up --nodes {lab.nodes}"
        )
    lacking = sorted(set(lab.features) - backend.features())
    if lacking:
        raise UsageError(f"lab {lab.slug}", f"needs {', '.join(lacking)}, which this cluster does not have", "see: halab status")
    for reference, folder in lab.images:
        backend.provide_image(reference, folder, report)
    scene = Scene(
        Api(backend.kubeconfig(), lab.namespace),
        backend,
        lab.namespace,
        work_folder(lab),
        learner_environment(lab, backend),
        backend.images(),
    )
    namespace = scene.api.find("namespaces", lab.namespace)
    if namespace is None or MARK not in namespace["metadata"].get("annotations", {}):
        report(f"laying the scene in namespace {lab.namespace}")
        lay(lab, scene)
    return scene


def lay(lab: Lab, scene: Scene) -> None:
    """Create the namespace and the initial objects, then mark it as laid."""
    scene.api.apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": lab.namespace, "labels": {"halab.io/lab": lab.slug}}}
    )
    if lab.manifests.is_dir():
        done = scene.kubectl("apply", "-f", str(lab.manifests))
        if done.returncode:
            raise ClusterError(f"lab {lab.slug}", f"its scene was refused: {done.stderr.strip()}", f"see {lab.manifests}")
    mark = {"metadata": {"annotations": {MARK: scene_digest(lab)}}}
    scene.api.patch("namespaces", lab.namespace, mark)


def scene_digest(lab: Lab) -> str:
    found = hashlib.sha256()
    for file in sorted(lab.manifests.rglob("*")) if lab.manifests.is_dir() else []:
        if file.is_file():
            found.update(file.read_bytes())
    return found.hexdigest()[:16]


def clear(scene: Scene) -> None:
    """Remove the learner's and the scene's objects from the namespace, and wait until they are gone."""
    api = scene.api
    for kind in CLEARED:
        for obj in _present(api, kind):
            name = obj["metadata"]["name"]
            if (kind, name) not in KEPT:
                api.delete(kind, name, grace=0 if kind == "pods" else None)
    deadline = time.monotonic() + CLEAR_TIMEOUT
    for kind in ("replicasets", "pods"):
        left = api.wait(kind, lambda objects: not objects, max(0.1, deadline - time.monotonic()))
        if left:
            raise ClusterError(
                f"namespace {scene.namespace}",
                f"{kind} are still there: {', '.join(o['metadata']['name'] for o in left)}",
                "try again",
            )


def _present(api: Api, kind: str) -> list[Any]:
    """The objects of a kind; none where the cluster does not know it (the Gateway API is an addition)."""
    try:
        return api.list(kind)
    except ApiError as error:
        if error.code == 404:
            return []
        raise


def reset(lab: Lab, scene: Scene) -> Path | None:
    """The initial scene again. The learner's files are moved aside, not lost; returns the folder they are now in."""
    clear(scene)
    _remove_made(lab, scene)
    lay(lab, scene)
    saved = None
    folder = scene.files
    if _differs(lab.start, folder):
        saved = folder.with_name(f"{folder.name}.{time.strftime('%Y%m%d-%H%M%S')}")
        shutil.copytree(folder, saved)
    for entry in list(folder.iterdir()):
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    _copy_start(lab, folder)
    return saved


def _remove_made(lab: Lab, scene: Scene) -> None:
    """Containers and images that the learner made beside the cluster, where they are there."""
    for container in lab.made_containers:
        with suppress(ImageError):
            scene.images.remove_container(container, force=True)
    for image in lab.made_images:
        with suppress(ImageError):
            scene.images.remove(image, force=True)


def solve(lab: Lab, scene: Scene) -> None:
    """Play the lab's solution."""
    script = lab.solution / "apply.sh"
    if not script.is_file():
        raise UsageError(f"lab {lab.slug}", "has no solution to play", "")
    done = subprocess.run(
        ["sh", str(script)], env=scene.environment, cwd=scene.files, capture_output=True, text=True, check=False, timeout=180
    )
    if done.returncode:
        raise ClusterError(
            f"lab {lab.slug}: solution", done.stderr.strip() or done.stdout.strip(), "try: halab reset, then solve again"
        )


def learner_environment(lab: Lab, backend: Backend) -> dict[str, str]:
    """The environment of the learner's shell: kubectl talks to this cluster, in this lab's namespace."""
    file = halab_home() / "labs" / backend.summary().name / lab.slug / "kubeconfig"
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    config: dict[str, Any] = yaml.safe_load(backend.kubeconfig().read_text())
    for context in config["contexts"]:
        if context["name"] == config["current-context"]:
            context["context"]["namespace"] = lab.namespace
    new = file.with_suffix(f".{os.getpid()}")
    with open(os.open(new, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as out:
        yaml.safe_dump(config, out)
    new.replace(file)
    # The halab of this very environment comes first: scripts and notebooks call it by name.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    return {**os.environ, "KUBECONFIG": str(file), "PATH": path}


def work_folder(lab: Lab) -> Path:
    """Where the learner's files of this lab are: ``work/NN-slug`` beside the notebooks, begun with the lab's starting files.

    With ``$HALAB_HOME`` set, or where the course's folder is not ours to write to, it is under ``$HALAB_HOME``.
    """
    root = course_root()
    base = halab_home() if os.environ.get("HALAB_HOME") or not os.access(root, os.W_OK) else root
    folder = base / "work" / lab.slug
    try:
        if not folder.is_dir():
            folder.mkdir(parents=True)
            _copy_start(lab, folder)
    except OSError as error:
        raise MachineError(
            str(folder), f"cannot be written: {error.strerror}", "set HALAB_HOME to a folder that you may write"
        ) from error
    return folder


def _copy_start(lab: Lab, folder: Path) -> None:
    if lab.start.is_dir():
        shutil.copytree(lab.start, folder, dirs_exist_ok=True)


def _differs(start: Path, folder: Path) -> bool:
    """Whether ``folder`` holds anything that is not as in ``start``."""
    for file in folder.rglob("*"):
        if file.is_file():
            before = start / file.relative_to(folder)
            if not before.is_file() or before.read_bytes() != file.read_bytes():
                return True
    return False
