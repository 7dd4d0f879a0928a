"""Every lab, because its folder exists: the pristine scene fails, the solution passes, each mistake gets its hint, nothing strays."""

from __future__ import annotations

import ast
import os
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import yaml

from halab.course import catalog
from halab.course.runner import load_checks
from halab.session import LabSession

ROOT = Path(__file__).resolve().parents[2]
LABS = catalog.load_all(ROOT)
MISTAKES = [(lab, folder) for lab in LABS for folder in lab.mistakes()]
KNOWN = {"lab.yaml", "README.md", "checks.py", "manifests", "start", "solution", "mistakes", "Dockerfile", "app"}
HIDDEN = {"aio", "cluster", "engine", "sandbox"}  # below what labs are written in (ARCHITECTURE.md, Layers)
HINT_TIMEOUT = 40.0  # seconds until a mistake has shown its effect

Play = Callable[[str], LabSession]
each_lab = pytest.mark.parametrize("lab", LABS, ids=lambda lab: lab.slug)
each_mistake = pytest.mark.parametrize(("lab", "folder"), MISTAKES, ids=[f"{lab.slug}-{folder.name}" for lab, folder in MISTAKES])


@each_lab
def test_a_lab_folder_is_complete_and_holds_nothing_else(lab: catalog.Lab) -> None:
    names = {path.name for path in lab.folder.iterdir()} - {"__pycache__"}
    assert names <= KNOWN, f"stray: {names - KNOWN}"
    assert (lab.folder / "README.md").is_file() and (lab.solution / "apply.sh").is_file()
    assert len(lab.mistakes()) >= 3
    assert set(load_checks(lab)) == {task.id for task in lab.tasks}
    assert (ROOT / "notebooks" / "src" / f"{lab.slug.replace('-', '_')}.py").is_file()


@each_mistake
def test_a_mistake_names_a_task_and_what_its_hint_must_say(lab: catalog.Lab, folder: Path) -> None:
    assert os.access(folder / "apply.sh", os.X_OK)
    task, *lines = (folder / "expected-hint.txt").read_text().splitlines()
    assert lab.task(task) and lines and all(lines)


@each_lab
def test_checks_speak_of_the_course_and_never_of_how_a_cluster_is_made(lab: catalog.Lab) -> None:
    for node in ast.walk(ast.parse((lab.folder / "checks.py").read_text())):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        hidden = [name for name in names if name.startswith("halab.") and name.split(".")[1] in HIDDEN]
        assert not hidden, hidden


@each_lab
def test_manifests_are_yaml_of_kubernetes_objects(lab: catalog.Lab) -> None:
    for file in [*lab.folder.glob("manifests/*.yaml"), *lab.folder.glob("solution/*.yaml"), *lab.folder.glob("start/*.yaml")]:
        for document in yaml.safe_load_all(file.read_text()):
            assert {"apiVersion", "kind", "metadata"} <= set(document), file


@each_lab
@pytest.mark.needs("kubectl", "nginx", "busybox")
def test_pristine_fails_and_the_solution_passes(
    lab: catalog.Lab, play: Play, record_property: Callable[[str, object], None]
) -> None:
    session = play(lab.slug)
    for task in lab.tasks:
        result = session.runner.check(task, timeout=0)
        assert bool(result) is task.given, f"pristine: {task.id}: {result}"
    began = time.monotonic()
    session.solve()
    for task in lab.tasks:
        result = session.runner.check(task)
        assert result, f"solved: {task.id}: {result}"
    record_property("seconds", time.monotonic() - began)
    assert set(session.progress.passed()) == {task.id for task in lab.tasks}


@each_lab
@pytest.mark.needs("kubectl", "nginx", "busybox")
def test_the_scene_has_no_field_that_the_api_does_not_know(lab: catalog.Lab, play: Play) -> None:
    if lab.manifests.is_dir():
        done = play(lab.slug).scene.kubectl("apply", "--dry-run=server", "-f", str(lab.manifests))
        assert done.returncode == 0 and "unknown field" not in done.stderr, done.stderr


@each_lab
@pytest.mark.needs("kubectl", "nginx", "busybox")
def test_reset_brings_the_beginning_back_and_keeps_the_learner_s_files(lab: catalog.Lab, play: Play) -> None:
    session = play(lab.slug)
    aside = partial(session.scene.files.parent.glob, f"{lab.slug}.*/mine.txt")
    before = set(aside())
    for note in ("my notes", "my other notes"):
        (session.scene.files / "mine.txt").write_text(note)
        session.reset(quiet=True)
        assert not (session.scene.files / "mine.txt").exists()
    assert sorted(p.read_text() for p in set(aside()) - before) == ["my notes", "my other notes"]
    for task in lab.tasks:
        assert bool(session.runner.check(task, timeout=0)) is task.given


@each_mistake
@pytest.mark.needs("kubectl", "nginx", "busybox")
def test_a_mistake_gets_its_hint(lab: catalog.Lab, folder: Path, play: Play) -> None:
    session = play(lab.slug)
    done = subprocess.run(
        [str(folder / "apply.sh")],
        env=session.scene.environment,
        cwd=session.scene.files,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    task_id, *expected = (folder / "expected-hint.txt").read_text().splitlines()
    task = lab.task(task_id)
    deadline = time.monotonic() + HINT_TIMEOUT
    while True:
        result = session.runner.check(task, timeout=0)
        missing = [line for line in expected if line not in str(result)]
        if not missing and not result:
            return
        assert time.monotonic() < deadline, f"{task_id} says: {result}\nmissing: {missing}"
        time.sleep(0.2)  # the mistake's effect comes when the cluster has acted on it
