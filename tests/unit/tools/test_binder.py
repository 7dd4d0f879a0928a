"""What Binder runs at a session's start."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from halab.settings import cluster_directory, halab_home

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("given", [{}, {"XDG_STATE_HOME": "/somewhere/state"}, {"HALAB_HOME": "/somewhere/halab"}])
def test_a_session_starts_with_the_kubeconfig_that_its_cluster_will_have(
    given: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HALAB_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": str(tmp_path), **given}.items():
        monkeypatch.setenv(name, value)
    start = [str(ROOT / "binder" / "start"), "env"]
    done = subprocess.run(start, env=os.environ | {"KUBECONFIG": "/other"}, capture_output=True, text=True, check=True)
    seen = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    assert seen["KUBECONFIG"] == str(cluster_directory("default", halab_home()) / "kubeconfig")
    assert seen.get("HALAB_HOME") == given.get("HALAB_HOME"), "set, it would move the learner's files out of sight"
