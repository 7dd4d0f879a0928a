"""What kind is given, and what is made of what it says."""

import pytest
import yaml

from halab.backends import kind_config, kind_run
from halab.errors import UsageError


def made(**changes: object) -> dict:
    values = {"workers": 3, "control_planes": 1, "image": "kindest/node:v1.34.0@sha256:00", "http": 8080, "https": 8443} | changes
    return yaml.safe_load(kind_config.config("halab-x", **values))


def test_the_usual_cluster_is_one_control_plane_and_three_workers_in_three_zones() -> None:
    found = made()
    assert [node["role"] for node in found["nodes"]] == ["control-plane", "worker", "worker", "worker"]
    assert {node["labels"]["topology.kubernetes.io/zone"] for node in found["nodes"][1:]} == {"zone-a", "zone-b", "zone-c"}
    assert all(node["image"].endswith("@sha256:00") for node in found["nodes"])


def test_ports_are_mapped_once_and_on_loopback_alone() -> None:
    found = made(control_planes=3)
    assert [node["role"] for node in found["nodes"]].count("control-plane") == 3
    mapped = [node["extraPortMappings"] for node in found["nodes"] if "extraPortMappings" in node]
    assert [(m["containerPort"], m["hostPort"], m["listenAddress"]) for m in mapped[0]] == [
        (30080, 8080, "127.0.0.1"),
        (30443, 8443, "127.0.0.1"),
    ]
    assert len(mapped) == 1 and found["networking"]["apiServerAddress"] == "127.0.0.1"


def test_an_even_number_of_control_planes_is_refused() -> None:
    with pytest.raises(UsageError, match="quorum"):
        made(control_planes=2)


def test_the_node_image_is_the_one_given_the_setting_s_or_the_pinned_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "@sha256:" in kind_config.node_image((0, 33))
    assert kind_config.node_image((0, 1)) == ""
    monkeypatch.setenv("HALAB_KIND_IMAGE", "mine:v1.33.1")
    assert kind_config.node_image((0, 33)) == "mine:v1.33.1" and kind_config.node_minor() == 33
    assert kind_config.node_image((0, 33), "given") == "given"


def test_steps_of_kind_are_told_once_and_without_pictures() -> None:
    assert kind_run.step(" • Preparing nodes 📦 📦 📦 📦   ...\n") == "kind: preparing nodes"
    assert (
        kind_run.step(" • Ensuring node image (kindest/node:v1.34.11) 🖼  ...\n")
        == "kind: ensuring node image (kindest/node:v1.34.11)"
    )
    assert kind_run.step(" ✓ Preparing nodes 📦\n") == "" and kind_run.step("Creating cluster ...\n") == ""


@pytest.mark.parametrize(
    ("said", "meaning"),
    [
        ("runc create failed: unable to apply caps: operation not permitted", "does not allow privileged"),
        ('ERROR: failed to create cluster: failed to pull image "kindest/node:v1"', "cannot be pulled"),
        ("Bind for 127.0.0.1:8080 failed: port is already allocated", "port of this machine is taken"),
        ("failed to create fsnotify watcher: too many open files", "inotify"),
        ("Cannot connect to the Docker daemon at unix:///var/run/docker.sock.", "no Docker engine"),
        ("write /x: no space left on device", "disk is full"),
    ],
)
def test_known_failures_say_what_they_mean_and_what_to_do(said: str, meaning: str) -> None:
    error = kind_run.explained("kind cluster x", f"Creating\n{said}\nStack Trace: main.go")
    assert meaning in error.fact and error.remedy


def test_an_unknown_failure_shows_the_program_s_last_words() -> None:
    assert "the moon is full" in kind_run.explained("kind", "one\nthe moon is full\n").fact


def test_a_program_s_own_error_comes_before_what_nodes_logged_and_a_warning_is_none() -> None:
    said = "WARNING: cgroup v1 is deprecated in Kubernetes\nERROR: failed to create cluster: failed to read it\n\nCommand Output: no such file\nStack Trace:\nx"
    fact = kind_run.explained("kind cluster x", said, "\nx-worker (running): Reached target").fact
    assert (
        fact.startswith("ERROR: failed to create cluster: failed to read it / Command Output: no such file")
        and "x-worker" not in fact
    )
    assert "free subnet" not in fact and "cgroup" not in fact
    assert "inotify" in kind_run.explained("kind cluster x", said, "\nx: too many open files").fact
