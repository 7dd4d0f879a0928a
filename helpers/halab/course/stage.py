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
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from string import Template
from typing import Any, cast
from urllib.parse import urlsplit

import yaml

from halab.backends import beside, features
from halab.backends.access import Api, ApiError
from halab.backends.base import Backend
from halab.course import given
from halab.course.catalog import Lab, course_root
from halab.course.scene import Scene, program
from halab.errors import ClusterError, ImageError, MachineError, UsageError
from halab.images.registry.manage import Registries
from halab.settings import halab_home

Report = Callable[[str], None]
MARK = "halab.io/scene"
OWNERS = (
    ("deployments", "statefulsets", "daemonsets", "cronjobs", "horizontalpodautoscalers"),
    ("jobs", "replicasets"),
)  # owners before what they own, so that nothing is made anew
OWNED = (
    "pods",
    "services",
    "ingresses",
    "httproutes",
    "gateways",
    "networkpolicies",
    "poddisruptionbudgets",
    "rolebindings",
    "roles",
    "serviceaccounts",
    "configmaps",
    "secrets",
    "persistentvolumeclaims",
    "events",
)
CLEARED = (*OWNERS[0], *OWNERS[1], *OWNED)
AT_ONCE = 8  # requests: on a busy machine each waits for the processor more than it works
CLEAR_TIMEOUT = 20.0  # seconds until everything of a scene must be gone
SOLVED_WITHIN = 180  # seconds that a solution's script may take


def open_stage(lab: Lab, backend: Backend, report: Report) -> Scene:
    """Bring the cluster up if needed, check what the lab requires, lay its scene if it is not there; the scene, ready for checks."""
    summary = backend.up(report)
    if summary.nodes < lab.nodes:
        raise UsageError(
            f"lab {lab.slug}",
            f"needs {lab.nodes} nodes, this cluster has {summary.nodes}",
            features.ELSEWHERE if backend.controls().shared else f"run: halab up --nodes {lab.nodes}",
        )
    lacking = sorted(set(lab.features) - backend.features())
    if lacking:
        raise UsageError(
            f"lab {lab.slug}", f"needs what this cluster lacks: {features.in_words(lacking)}", features.remedy(lacking)
        )
    for reference, folder in lab.images:
        backend.provide_image(reference, folder, report)
    namespace = backend.namespace(lab.namespace)
    scene = Scene(
        Api(backend.kubeconfig(), namespace),
        backend,
        namespace,
        work_folder(lab),
        learner_environment(lab, backend),
        backend.images(),
    )
    found = scene.api.find("namespaces", namespace)
    if namespace != lab.namespace:
        _enter_given(lab, scene, report)
    elif found is None or MARK not in found["metadata"].get("annotations", {}):
        report(f"laying the scene in namespace {namespace}")
        lay(lab, scene)
    return scene


def lay(lab: Lab, scene: Scene) -> None:
    """Create the namespace and the initial objects, then mark it as laid."""
    if scene.namespace != lab.namespace:
        given.restore_security(scene.api)
    else:
        labels = {"halab.io/lab": lab.slug}
        space = scene.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": lab.namespace, "labels": labels}})
        if learnt := {name: None for name in space["metadata"]["labels"] if name.startswith(given.POD_SECURITY)}:
            scene.api.patch("namespaces", lab.namespace, {"metadata": {"labels": learnt}})
    if lab.manifests.is_dir():
        # Fetching and reading the API's whole schema is most of kubectl's work; our own manifests are held against it by tests/labs.
        done = scene.kubectl("apply", "--validate=false", "-f", str(lab.manifests))
        if done.returncode:
            raise ClusterError(f"lab {lab.slug}", f"its scene was refused: {done.stderr.strip()}", f"see {lab.manifests}")
    if scene.namespace == lab.namespace:
        mark = {"metadata": {"annotations": {MARK: scene_digest(lab)}}}
        scene.api.patch("namespaces", lab.namespace, mark)
    else:
        given.note(scene.api, lab=lab.slug)


def _enter_given(lab: Lab, scene: Scene, report: Report) -> None:
    """The learner's one namespace on somebody's cluster holds one lab at a time, and what was in it before the course stays."""
    former = given.laid(scene.api)
    if former == lab.slug:
        return
    if former is None:
        kinds = [kind for kind in CLEARED if kind != "events"]
        given.remember(scene.api, [f"{kind}/{obj['metadata']['name']}" for kind in kinds for obj in _present(scene.api, kind)])
    else:
        if former:
            report(f"clearing lab {former} away")
        clear(scene)
    report(f"laying the scene in namespace {scene.namespace}")
    lay(lab, scene)


def doomed(scene: Scene) -> list[str]:
    """What ``clear`` would remove now, as ``kind/name``: the dry run."""
    kept = given.spared(scene.api)
    found = [f"{kind}/{obj['metadata']['name']}" for kind in CLEARED for obj in _present(scene.api, kind) if not kept(kind, obj)]
    return [name for name in found if not name.startswith("events/")]


def scene_digest(lab: Lab) -> str:
    found = hashlib.sha256()
    for file in sorted(lab.manifests.rglob("*")) if lab.manifests.is_dir() else []:
        if file.is_file():
            found.update(file.read_bytes())
    return found.hexdigest()[:16]


def clear(scene: Scene) -> None:
    """Remove the learner's and the scene's objects from the namespace, and wait until they are gone."""
    api, kept = scene.api, given.spared(scene.api)

    def remove(found: tuple[str, Any]) -> None:
        kind, obj = found
        api.delete(kind, obj["metadata"]["name"], grace=0 if kind == "pods" else None)

    with ThreadPoolExecutor(AT_ONCE) as together:
        for wave in (*OWNERS, OWNED):
            present = zip(wave, together.map(partial(_present, api), wave), strict=True)
            list(together.map(remove, [(kind, obj) for kind, objects in present for obj in objects if not kept(kind, obj)]))
    deadline = time.monotonic() + CLEAR_TIMEOUT
    for kind in ("replicasets", "pods"):
        gone = partial(_all, partial(kept, kind))
        objects = api.wait(kind, gone, max(0.1, deadline - time.monotonic()))
        left = [obj["metadata"]["name"] for obj in objects if not kept(kind, obj)]
        if left:
            raise ClusterError(
                f"namespace {scene.namespace}",
                f"{kind} are still there: {', '.join(left)}",
                "try again",
            )


def _all(holds: Callable[[Any], bool], objects: list[Any]) -> bool:
    return all(map(holds, objects))


def _present(api: Api, kind: str) -> list[Any]:
    """The objects of a kind; none where the cluster does not know it (the Gateway API is an addition) or keeps it from the learner."""
    try:
        return api.list(kind)
    except ApiError as error:
        if error.code in (403, 404):
            return []
        raise


def reset(lab: Lab, scene: Scene) -> Path | None:
    """The initial scene again. The learner's files are moved aside, not lost; returns the folder they are now in."""
    with ThreadPoolExecutor(1) as meanwhile:  # a cluster takes as long to end as a scene to be cleared
        clusters = meanwhile.submit(_forget_clusters, lab)
        clear(scene)
        _remove_made(lab, scene)
        lay(lab, scene)
        clusters.result()
    saved = None
    folder = scene.files
    if _differs(lab.start, folder):
        saved = _beside(folder)
        shutil.copytree(folder, saved)
    for entry in list(folder.iterdir()):
        shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    _copy_start(lab, folder)
    return saved


def leave(lab: Lab, scene: Scene) -> None:
    """Nothing of the lab is left on the cluster or beside it, but for the learner's files; the next time its scene is laid anew."""
    clear(scene)
    _remove_made(lab, scene)
    _forget_clusters(lab)
    if scene.namespace == lab.namespace:
        scene.api.delete("namespaces", lab.namespace)
        scene.api.wait("namespaces", lambda found: all(one["metadata"]["name"] != lab.namespace for one in found), CLEAR_TIMEOUT)
    else:
        given.restore_security(scene.api)
        given.note(scene.api, lab="")


def _remove_made(lab: Lab, scene: Scene) -> None:
    """Components, containers, images and registries that the learner added to the cluster or made beside it, where they are there."""
    for component in lab.made_components:
        with suppress(UsageError, ClusterError):
            cast("Backend", scene.reach).controls().component(component, "stop")
    for container in lab.made_containers:
        with suppress(ImageError):
            scene.images.remove_container(container, force=True)
    for image in lab.made_images:
        with suppress(ImageError):
            scene.images.remove(Template(image).safe_substitute(scene.environment), force=True)
    for registry in lab.made_registries:
        with suppress(ImageError):
            Registries(halab_home()).stop(registry, purge=True)


def _forget_clusters(lab: Lab) -> None:
    for cluster in lab.made_clusters:
        beside.forget(cluster)


def solve(lab: Lab, scene: Scene) -> None:
    """Play the lab's solution."""
    script = lab.solution / "apply.sh"
    if not script.is_file():
        raise UsageError(f"lab {lab.slug}", "has no solution to play", "")
    again = f"try: halab reset {lab.slug[:2]}, then solve again"
    program("kubectl", scene.environment)
    try:
        done = subprocess.run(
            ["sh", str(script)],
            env=scene.environment,
            cwd=scene.files,
            capture_output=True,
            text=True,
            check=False,
            timeout=SOLVED_WITHIN,
        )
    except subprocess.TimeoutExpired as error:
        raise ClusterError(f"lab {lab.slug}: solution", f"did not end within {SOLVED_WITHIN} s", again) from error
    if done.returncode:
        raise ClusterError(f"lab {lab.slug}: solution", done.stderr.strip() or done.stdout.strip(), again)


def learner_environment(lab: Lab, backend: Backend) -> dict[str, str]:
    """The environment of the learner's shell: kubectl talks to this cluster, in this lab's namespace; ``LAB_ADDRESS`` is a loopback address
    that no other cluster of this machine uses, for what runs beside the cluster."""
    file = halab_home() / "labs" / backend.summary().name / lab.slug / "kubeconfig"
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    config: dict[str, Any] = yaml.safe_load(backend.kubeconfig().read_text())
    for context in config["contexts"]:
        if context["name"] == config["current-context"]:
            context["context"]["namespace"] = backend.namespace(lab.namespace)
    new = file.with_suffix(f".{os.getpid()}")
    with open(os.open(new, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as out:
        yaml.safe_dump(config, out)
    new.replace(file)
    # The halab of this very environment comes first: scripts and notebooks call it by name.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    cluster = backend.summary().name  # which halab's own commands mean, too
    return {**os.environ, "HALAB_CLUSTER": cluster, "KUBECONFIG": str(file), "PATH": path, "LAB_ADDRESS": _own_address(config)}


def _own_address(config: dict[str, Any]) -> str:
    """The API server's address where it is a loopback one (each embedded cluster has its own), else 127.0.0.1."""
    hosts = {urlsplit(cluster["cluster"]["server"]).hostname or "" for cluster in config["clusters"]}
    return next((host for host in sorted(hosts) if host.startswith("127.")), "127.0.0.1")


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


def _beside(folder: Path) -> Path:
    """``NN-slug.DATE-TIME``; of two resets in one second, the second's name ends in -2."""
    named = f"{folder.name}.{time.strftime('%Y%m%d-%H%M%S')}"
    names = (named, *(f"{named}-{number}" for number in range(2, 1000)))
    return next(place for place in map(folder.with_name, names) if not place.exists())


def _differs(start: Path, folder: Path) -> bool:
    """Whether ``folder`` holds anything that is not as in ``start``."""
    for file in folder.rglob("*"):
        if file.is_file():
            before = start / file.relative_to(folder)
            if not before.is_file() or before.read_bytes() != file.read_bytes():
                return True
    return False
