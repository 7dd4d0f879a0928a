"""Find and read the labs: ``labs/NN-slug/lab.yaml`` -> ``Lab``.

A lab's folder is its definition; nothing about a lab stands anywhere else. All faults of a file are reported together, so
an author mends them in one go. Neighbours: ``checks`` loads the functions, ``runner`` runs them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from halab.backends import features
from halab.errors import UsageError

Mode = Literal["level", "edge"]
FOLDER = re.compile(r"^\d\d-[a-z0-9]+(-[a-z0-9]+)*$")
TASK_ID = re.compile(r"^[a-z0-9]+(-[a-z0-9]+)*$")


@dataclass(frozen=True, slots=True)
class Task:
    """One thing to achieve, checked by behaviour.

    ``mode`` level: must hold whenever it is looked at; edge: once seen, it stays done. ``timeout`` (seconds) is how long one
    check may wait for the state to come right. ``active`` checks act on the cluster (kill a pod, send a burst of load), so they run
    only when asked for, never in the background. ``given`` tasks hold from the beginning: they are there to be looked at.
    """

    id: str
    title: str
    mode: Mode = "level"
    timeout: float = 30.0
    points: int = 1
    active: bool = False
    given: bool = False

    @property
    def function(self) -> str:
        """The name of its function in ``checks.py``."""
        return self.id.replace("-", "_")


@dataclass(frozen=True, slots=True)
class Lab:
    """A lab, as its ``lab.yaml`` says. ``requires`` names what a cluster must have: ``nodes`` (a number), ``features``.
    ``images`` maps a name to the folder whose Dockerfile makes it, so that a lab can be done without the earlier ones.
    ``made_images``, ``made_containers``, ``made_registries`` and ``made_clusters`` (embedded ones) are what the learner makes beside the cluster; a reset removes them
    (``$LAB_ADDRESS`` in an image's name is what it is in the learner's shell)."""

    slug: str
    folder: Path
    title: str
    minutes: int
    summary: str
    tasks: tuple[Task, ...]
    nodes: int = 1
    features: tuple[str, ...] = ()
    images: tuple[tuple[str, Path], ...] = ()
    made_images: tuple[str, ...] = ()
    made_containers: tuple[str, ...] = ()
    made_registries: tuple[str, ...] = ()
    made_components: tuple[str, ...] = ()  # second API servers and the like: stopped again
    made_clusters: tuple[str, ...] = ()

    @property
    def number(self) -> str:
        return self.slug[:2]

    @property
    def namespace(self) -> str:
        """The Kubernetes namespace that holds the lab's scene."""
        return f"lab-{self.slug}"

    @property
    def manifests(self) -> Path:
        return self.folder / "manifests"

    @property
    def start(self) -> Path:
        """Files that the learner's working folder begins with."""
        return self.folder / "start"

    @property
    def solution(self) -> Path:
        return self.folder / "solution"

    def mistakes(self) -> list[Path]:
        """Folders of typical mistakes, each with ``apply.sh`` and ``expected-hint.txt``."""
        folder = self.folder / "mistakes"
        return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []

    def task(self, task_id: str) -> Task:
        for task in self.tasks:
            if task.id == task_id:
                return task
        known = ", ".join(task.id for task in self.tasks)
        raise UsageError(f"lab {self.slug}: task {task_id}", "there is no such task", f"this lab has: {known}")


def course_root() -> Path:
    """The folder that holds ``labs/`` and ``notebooks/``: ``$HALAB_COURSE``, else upwards from here, else the repository of this package."""
    candidates = [Path(os.environ["HALAB_COURSE"])] if os.environ.get("HALAB_COURSE") else []
    candidates += [Path.cwd(), *Path.cwd().parents, *Path(__file__).resolve().parents]
    for folder in candidates:
        if (folder / "labs").is_dir() and (folder / "notebooks").is_dir():
            return folder
    raise UsageError(
        "the course", "its folders labs/ and notebooks/ were not found", "run this inside the repository, or set HALAB_COURSE"
    )


def load_all(root: Path | None = None) -> list[Lab]:
    """All labs in order of their numbers."""
    folder = (root or course_root()) / "labs"
    return [load(path) for path in sorted(folder.iterdir()) if FOLDER.match(path.name)]


def find(name: str, root: Path | None = None) -> Lab:
    """A lab by slug (``02-deploy``), by number (``02`` or ``2``) or by the slug's words (``deploy``)."""
    folder = (root or course_root()) / "labs"
    slugs = sorted(path.name for path in folder.iterdir() if FOLDER.match(path.name))
    number = name.zfill(2) if name.isdigit() else name
    for slug in slugs:
        if number in (slug, slug[:2], slug[3:]):
            return load(folder / slug)  # and no other: a fault of one lab is not the fault of all
    raise UsageError(f"lab {name}", "there is no such lab", f"labs: {', '.join(slugs)}")


def load(folder: Path) -> Lab:
    """Read one lab's folder; raises ``UsageError`` with every fault of the file."""
    file = folder / "lab.yaml"
    try:
        raw = yaml.safe_load(file.read_text())
    except OSError as error:
        raise UsageError(str(file), f"cannot be read: {error.strerror}", "every lab folder needs a lab.yaml") from error
    except yaml.YAMLError as error:
        raise UsageError(str(file), f"is not YAML: {error}") from error
    faults: list[str] = []
    if not isinstance(raw, dict):
        raise UsageError(str(file), "must be a mapping")
    reader = _Reader(raw, "", faults)
    requires = _Reader(reader.take("requires", dict, {}), "requires.", faults)
    makes = _Reader(reader.take("makes", dict, {}), "makes.", faults)
    rows = reader.take("tasks", list, None)
    tasks = [_task(row, f"tasks[{i}].", faults) for i, row in enumerate(rows or [])]
    lab = Lab(
        slug=folder.name,
        folder=folder,
        title=reader.take("title", str, None),
        minutes=reader.take("minutes", int, None),
        summary=reader.take("summary", str, None),
        tasks=tuple(tasks),
        nodes=requires.take("nodes", int, 1),
        features=tuple(requires.take("features", list, [])),
        images=tuple((name, (folder / path).resolve()) for name, path in reader.take("images", dict, {}).items()),
        made_images=tuple(makes.take("images", list, [])),
        made_containers=tuple(makes.take("containers", list, [])),
        made_registries=tuple(makes.take("registries", list, [])),
        made_components=tuple(makes.take("components", list, [])),
        made_clusters=tuple(makes.take("clusters", list, [])),
    )
    unknown = sorted(set(lab.features) - set(features.WORDS))
    faults += [f"requires.features: {name} is not known; one of: {', '.join(features.WORDS)}" for name in unknown]
    makes.nothing_left()
    requires.nothing_left()
    reader.nothing_left()
    faults += [f"images: {name}: {path} has no Dockerfile" for name, path in lab.images if not (path / "Dockerfile").is_file()]
    ids = [task.id for task in tasks]
    faults += [f"tasks: id {i} is used twice" for i in sorted({i for i in ids if ids.count(i) > 1})]
    if faults:
        raise UsageError(str(file), "; ".join(faults))
    return lab


def _task(row: Any, where: str, faults: list[str]) -> Task:
    if not isinstance(row, dict):
        faults.append(f"{where[:-1]}: must be a mapping")
        return Task("invalid", "invalid")
    reader = _Reader(row, where, faults)
    task = Task(
        id=reader.take("id", str, None, lambda v: bool(TASK_ID.match(v))),
        title=reader.take("title", str, None),
        mode=reader.take("mode", str, "level", lambda v: v in ("level", "edge")),
        timeout=float(reader.take("timeout", (int, float), 30, lambda v: 0 < v <= 600)),
        points=reader.take("points", int, 1, lambda v: v >= 0),
        active=reader.take("active", bool, False),
        given=reader.take("given", bool, False),
    )
    reader.nothing_left()
    return task


class _Reader:
    """Takes known keys out of a mapping and collects what is wrong."""

    def __init__(self, raw: dict[str, Any], where: str, faults: list[str]) -> None:
        self.raw, self.where, self.faults = dict(raw), where, faults

    def take(self, key: str, kind: type | tuple[type, ...], default: Any, good: Callable[[Any], bool] | None = None) -> Any:
        value = self.raw.pop(key, default)
        if value is None:
            self.faults.append(f"{self.where}{key}: is missing")
            return "" if kind is str else 0 if kind is int else []
        if not isinstance(value, kind) or (good is not None and not good(value)):
            self.faults.append(f"{self.where}{key}: {value!r} will not do")
        return value

    def nothing_left(self) -> None:
        self.faults += [f"{self.where}{key}: is unknown" for key in self.raw]
