"""Findings about Docker, from what it says of itself."""

from pathlib import Path
from typing import Any

import pytest

from halab.backends import auto, choice, preflight
from halab.backends.findings import Finding

GOOD: dict[str, Any] = {
    "ServerVersion": "28.0",
    "CgroupVersion": "2",
    "MemTotal": 16 << 30,
    "DockerRootDir": "/",
    "SecurityOptions": [],
}
ALL = ~0


def levels(info: dict[str, Any], bounding: int = ALL) -> dict[str, str]:
    return {finding.subject: finding.level for finding in preflight.engine(info, bounding)}


def test_a_good_engine_has_nothing_against_it() -> None:
    assert levels(GOOD)["docker"] == "ok" and levels(GOOD)["cgroup"] == "ok"


def test_a_machine_without_the_capability_cannot_run_nodes() -> None:
    assert levels(GOOD, ALL & ~(1 << preflight.CAP_SYS_RESOURCE))["docker"] == "fail"


def test_docker_desktop_s_machine_is_another_one_than_this() -> None:
    assert levels(GOOD | {"OperatingSystem": "Docker Desktop"}, 0)["docker"] == "ok"


def test_cgroup_v1_matters_from_1_35_on(monkeypatch: pytest.MonkeyPatch) -> None:
    assert levels(GOOD | {"CgroupVersion": "1"})["cgroup"] == "ok"
    monkeypatch.setenv("HALAB_KIND_IMAGE", "kindest/node:v1.35.1")
    assert levels(GOOD | {"CgroupVersion": "1"})["cgroup"] == "fail"


def test_rootless_on_cgroup_v1_and_snap_and_little_memory_are_told() -> None:
    found = levels(GOOD | {"CgroupVersion": "1", "SecurityOptions": ["name=rootless"]})
    assert found["docker mode"] == "fail"
    assert levels(GOOD | {"DockerRootDir": "/var/snap/docker"})["docker mode"] == "warn"
    assert levels(GOOD | {"MemTotal": 2 << 30})["docker memory"] == "warn"


@pytest.mark.parametrize(
    ("status", "errors", "remedy"),
    [
        (127, "not found", "docker.io"),
        (1, "permission denied while trying to connect", "usermod"),
        (1, "Cannot connect", "start"),
    ],
)
def test_each_way_of_having_no_docker_has_its_remedy(status: int, errors: str, remedy: str) -> None:
    found = preflight.docker_missing(status, errors)
    assert found.level == "fail" and remedy in found.remedy


def test_low_inotify_limits_come_with_the_command(tmp_path: Path) -> None:
    (tmp_path / "max_user_instances").write_text("128\n")
    (tmp_path / "max_user_watches").write_text("1048576\n")
    found = list(preflight.kernel(tmp_path))
    assert [finding.remedy for finding in found] == ["sudo sysctl fs.inotify.max_user_instances=512"]


def test_auto_takes_kind_where_nothing_fails_and_says_why_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HALAB_HOME", str(tmp_path))
    monkeypatch.setattr(preflight, "kind_findings", lambda: [Finding("kind", "warn", "old")])
    assert auto.choose("x").backend == choice.KIND
    monkeypatch.setattr(preflight, "kind_findings", lambda: [Finding("docker", "fail", "is not installed", "install it")])
    chosen = auto.choose("x")
    assert chosen.backend == choice.EMBEDDED and "docker: is not installed; install it" in chosen.why


def test_what_was_chosen_once_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HALAB_HOME", str(tmp_path))
    choice.write("x", choice.Choice(choice.EXISTING, {"context": "c"}))
    assert auto.choose("x").backend == choice.EXISTING and choice.names() == ["x"]
    assert choice.folder_of("x").stat().st_mode & 0o077 == 0
    choice.forget("x")
    assert choice.read("x") is None


def test_auto_does_not_advise_what_it_has_just_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HALAB_HOME", str(tmp_path))
    found = [*preflight.engine(GOOD, ALL & ~(1 << preflight.CAP_SYS_RESOURCE))]
    monkeypatch.setattr(preflight, "kind_findings", lambda: found)
    monkeypatch.setattr(auto, "engine_obstacle", lambda: "")
    chosen = auto.choose("x")
    assert chosen.runtime == "docker" and "unable to apply caps" in chosen.why and "--backend embedded" not in chosen.why


def test_an_engine_on_another_machine_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "ssh://me@elsewhere")
    found = preflight.engine_elsewhere()
    assert found is not None and found.level == "fail" and "ssh://me@elsewhere" in found.fact and "DOCKER_HOST" in found.remedy
    monkeypatch.setenv("DOCKER_HOST", "unix:///run/docker.sock")
    assert preflight.engine_elsewhere() is None
