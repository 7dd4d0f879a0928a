"""``halab grade``: a class of good, wrong and malformed submissions, graded on clusters that are gone afterwards."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from halab.course.catalog import course_root, find


@pytest.mark.needs("kubectl", "nginx")
def test_a_class_is_graded_by_what_its_submissions_do(tmp_path: Path) -> None:
    lab, handed_in, home = find("02"), tmp_path / "class", tmp_path / "home"
    shutil.copytree(lab.solution, handed_in / "ada" / lab.slug)
    shutil.copytree(lab.start, handed_in / "bob" / lab.slug)
    cid = handed_in / "cid" / lab.slug
    cid.mkdir(parents=True)
    (cid / "deployment.yaml").write_text("kind: [unfinished")
    (cid / "role.yaml").write_text("apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: all}\n")
    dan = handed_in / "dan" / lab.slug
    dan.mkdir(parents=True)
    (dan / "apply.sh").write_text('kubectl apply -f "$HALAB_COURSE"/labs/02-deploy/solution/deployment.yaml\nexit 3\n')
    eve = handed_in / "eve" / "00-start-here"
    eve.mkdir(parents=True)
    shutil.copy(course_root() / "notebooks" / "solved" / "00-start-here.ipynb", eve)
    labs = ("--lab", "02", "--lab", "00")
    words = [sys.executable, "-m", "halab.cli", "grade", str(handed_in), "--out", str(tmp_path / "marks.csv"), *labs, "--json"]
    done = subprocess.run(
        words, capture_output=True, text=True, check=False, timeout=400, env=os.environ | {"HALAB_HOME": str(home)}
    )
    assert done.returncode == 0, done.stderr
    assert [row["learner"] for row in json.loads(done.stdout)["rows"]] == ["ada", "bob", "cid", "dan", "eve"]
    rows = {row["learner"]: row for row in csv.DictReader((tmp_path / "marks.csv").open())}
    assert rows["ada"]["points"] == rows["ada"]["of"] and rows["ada"]["problem"] == ""
    assert rows["bob"]["points"] == "0" and "spec.template.spec.containers" in rows["bob"]["problem"]
    assert rows["cid"]["points"] == "0" and "is not YAML" in rows["cid"]["problem"] and "ClusterRole" in rows["cid"]["problem"]
    assert rows["dan"]["points"] == rows["dan"]["of"] and "exit status 3" in rows["dan"]["problem"]
    assert rows["eve"]["points"] == rows["eve"]["of"] == "1", "her notebook deletes the pod again, after the check has seen it"
    assert "there is no Deployment" in rows["bob"]["reason_1"] and "passed: 3 distinct pods" in rows["ada"]["reason_1"]
    assert not list((home / "grading" / "clusters").glob("*"))
