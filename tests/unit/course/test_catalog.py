"""Reading lab.yaml: what is right is read, what is wrong is all reported at once."""

from pathlib import Path

import pytest

from halab.course import catalog
from halab.errors import UsageError

GOOD = """
title: Deploy
minutes: 25
summary: Ask for three.
requires: {nodes: 3, features: [ingress]}
tasks:
  - {id: three-answer, title: Three pods answer, timeout: 45, points: 2}
  - {id: replaced, title: Replaced, mode: edge, active: true}
"""


def write(tmp_path: Path, text: str, name: str = "02-deploy") -> Path:
    folder = tmp_path / "labs" / name
    folder.mkdir(parents=True)
    (folder / "lab.yaml").write_text(text)
    (tmp_path / "notebooks").mkdir(exist_ok=True)
    return folder


def test_a_good_lab_is_read_whole(tmp_path: Path) -> None:
    lab = catalog.load(write(tmp_path, GOOD))
    assert (lab.slug, lab.number, lab.namespace, lab.nodes, lab.features) == ("02-deploy", "02", "lab-02-deploy", 3, ("ingress",))
    assert lab.tasks[0] == catalog.Task("three-answer", "Three pods answer", "level", 45.0, 2, False)
    assert lab.tasks[1].active and lab.tasks[1].mode == "edge" and lab.tasks[1].timeout == 30.0
    assert lab.tasks[0].function == "three_answer"


def test_all_faults_of_a_file_are_reported_together(tmp_path: Path) -> None:
    text = "title: 3\nsummary: x\ncolour: red\ntasks:\n  - {id: Not OK, title: t}\n  - {id: a, title: t, mode: sometimes, timeout: 9000}\n"
    with pytest.raises(UsageError) as caught:
        catalog.load(write(tmp_path, text))
    said = str(caught.value)
    for fault in (
        "title: 3 will not do",
        "minutes: is missing",
        "colour: is unknown",
        "tasks[0].id",
        "tasks[1].mode",
        "tasks[1].timeout",
    ):
        assert fault in said


def test_two_tasks_of_one_id_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="id three-answer is used twice"):
        catalog.load(write(tmp_path, GOOD.replace("id: replaced", "id: three-answer")))


def test_an_image_needs_a_dockerfile(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no Dockerfile"):
        catalog.load(write(tmp_path, GOOD + "images: {'my-nginx:1.0': ../nowhere}\n"))


def test_text_that_is_not_yaml_is_said_to_be_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not YAML"):
        catalog.load(write(tmp_path, "title: [unclosed"))


@pytest.mark.parametrize("name", ["02-deploy", "02", "2", "deploy"])
def test_a_lab_is_found_by_slug_number_or_words(tmp_path: Path, name: str) -> None:
    write(tmp_path, GOOD)
    assert catalog.find(name, tmp_path).slug == "02-deploy"


def test_an_unknown_lab_names_those_there_are(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    with pytest.raises(UsageError, match="labs: 02-deploy"):
        catalog.find("99", tmp_path)


def test_an_unknown_task_names_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="this lab has: three-answer, replaced"):
        catalog.load(write(tmp_path, GOOD)).task("nope")
