"""Containers beside any cluster: real processes, real ports, real crashes."""

import os
import signal
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from halab.errors import ImageError
from halab.images.api import ContainerSpec, Port, Request, Restart
from halab.images.embedded import EmbeddedEngine


@pytest.fixture
def engine(halab_home: Path) -> Iterator[EmbeddedEngine]:
    engine = EmbeddedEngine(halab_home)
    yield engine
    for row in engine.containers(everything=True):
        engine.remove_container(row.id, force=True)


def eventually(probe: Callable[[], object], seconds: float = 15.0) -> object:
    """What ``probe`` gives as soon as it gives something true."""
    until = time.monotonic() + seconds
    while True:
        try:
            if found := probe():
                return found
        except OSError:
            pass
        if time.monotonic() > until:
            raise AssertionError(f"not within {seconds} s")
        time.sleep(0.02)


def fetch(row: object) -> str:
    address = row.ports[0].partition("->")[0]  # type: ignore[attr-defined]
    with urllib.request.urlopen(f"http://{address}/", timeout=2) as answer:
        return str(answer.read().decode())


@pytest.mark.needs("nginx")
def test_a_crashed_container_with_a_restart_policy_answers_again(engine: EmbeddedEngine) -> None:
    row = engine.run(ContainerSpec("nginx:1.17.10", name="web", ports=(Port.parse("0:80"),), restart=Restart.parse("always")))
    assert "nginx:1.17.10" in str(eventually(lambda: fetch(row)))
    first = engine.container("web").pid
    os.kill(first, signal.SIGKILL)
    eventually(lambda: engine.container("web").pid not in (0, first))
    assert "Welcome" in str(eventually(lambda: fetch(row)))
    assert engine.container("web").restarts == 1
    assert any("GET / HTTP" in text for stream, text in engine.logs("web") if stream == "stdout")
    stopped = engine.stop("web")
    assert (stopped.running, stopped.exit_code) == (False, 0)
    with pytest.raises(OSError):
        fetch(row)


@pytest.mark.needs("busybox")
def test_a_container_that_a_person_kills_is_not_brought_back_until_it_is_started(engine: EmbeddedEngine) -> None:
    engine.run(ContainerSpec("busybox:1.36", name="one", command=("sleep", "100"), restart=Restart.parse("always")))
    engine.kill("one")
    ended = engine.wait("one", 10)
    assert (ended.running, ended.exit_code, ended.restarts) == (False, 137, 0)
    first = engine.start("one").pid
    os.kill(first, signal.SIGKILL)
    eventually(lambda: engine.container("one").pid not in (0, first))
    engine.kill("one")


@pytest.mark.needs("nginx")
def test_a_signal_that_is_not_the_images_stop_signal_leaves_its_restart_policy_alone(engine: EmbeddedEngine) -> None:
    first = engine.run(ContainerSpec("nginx:1.22", name="web", restart=Restart.parse("always"))).pid
    engine.kill("web", "HUP")
    os.kill(first, signal.SIGKILL)
    eventually(lambda: engine.container("web").pid not in (0, first))
    engine.kill("web")
    assert not engine.wait("web", 10).running


@pytest.mark.needs("nginx")
def test_the_articles_image_runs_and_answers(engine: EmbeddedEngine, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(
        'FROM ubuntu:18.04\nRUN apt-get update && apt-get install -y nginx\nEXPOSE 80\nCMD ["nginx", "-g", "daemon off;"]\n'
    )
    built = engine.build(Request(tmp_path, tags=("my-nginx:1.0",)), lambda _: None)
    assert built.names == ("my-nginx:1.0",)
    row = engine.run(ContainerSpec("my-nginx:1.0", ports=(Port.parse("0:80"),)))
    assert "Welcome to nginx!" in str(eventually(lambda: fetch(row)))
    engine.kill(row.id)
    assert engine.wait(row.id, 10).exit_code == 137


@pytest.mark.needs("busybox")
def test_on_failure_gives_up_after_its_maximum(engine: EmbeddedEngine) -> None:
    row = engine.run(
        ContainerSpec("busybox:1.36", command=("sh", "-c", "echo try; exit 5"), restart=Restart.parse("on-failure:2"))
    )
    ended = engine.wait(row.id, 20)
    assert (ended.running, ended.exit_code, ended.restarts) == (False, 5, 2)
    assert [text for _, text in engine.logs(row.id)] == ["try\n"] * 3


@pytest.mark.needs("busybox")
def test_a_container_keeps_what_it_wrote_across_restarts(engine: EmbeddedEngine) -> None:
    script = "echo x >> /data; wc -l < /data; [ $(wc -l < /data) -ge 2 ]"
    row = engine.run(ContainerSpec("busybox:1.36", command=("sh", "-c", script), restart=Restart.parse("on-failure")))
    engine.wait(row.id, 20)
    assert [text.strip() for _, text in engine.logs(row.id)] == ["1", "2"]
    engine.start(row.id)
    engine.wait(row.id, 20)
    assert [text.strip() for _, text in engine.logs(row.id, tail=1)] == ["3"]


@pytest.mark.needs("busybox")
def test_environment_host_name_volumes_and_exit_code(engine: EmbeddedEngine, tmp_path: Path) -> None:
    from halab.images.api import Volume

    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "f").write_text("from the host\n")
    row = engine.run(
        ContainerSpec(
            "busybox:1.36",
            command=("sh", "-c", "echo $COLOUR; hostname; cat /in/f; touch /in/no 2>/dev/null; echo $?; exit 42"),
            environment={"COLOUR": "blue"},
            hostname="box",
            volumes=(Volume.parse(f"{tmp_path}/in:/in:ro"),),
        )
    )
    assert engine.wait(row.id, 10).exit_code == 42
    assert [text.strip() for _, text in engine.logs(row.id)] == ["blue", "box", "from the host", "1"]


def test_a_container_that_cannot_start_leaves_nothing(engine: EmbeddedEngine) -> None:
    with pytest.raises(ImageError, match="executable file not found"):
        engine.run(ContainerSpec("ubuntu:18.04", name="x", command=("no-such-program",)))
    with pytest.raises(ImageError, match="not found; this machine can provide"):
        engine.run(ContainerSpec("no-such-image:1"))
    assert engine.containers(everything=True) == []


@pytest.mark.needs("busybox")
def test_names_and_ports_are_taken_once(engine: EmbeddedEngine) -> None:
    row = engine.run(ContainerSpec("busybox:1.36", name="one", command=("sleep", "100"), ports=(Port.parse("0:80"),)))
    with pytest.raises(ImageError, match="the name is in use"):
        engine.run(ContainerSpec("busybox:1.36", name="one", command=("sleep", "1")))
    port = row.ports[0].partition("->")[0].partition(":")[2]
    with pytest.raises(ImageError, match="choose another host port"):
        engine.run(ContainerSpec("busybox:1.36", name="two", command=("sleep", "1"), ports=(Port.parse(f"{port}:80"),)))
    with pytest.raises(ImageError, match="is running; stop it first"):
        engine.remove_container("one")
    with pytest.raises(ImageError, match="is used by the container one"):
        engine.remove("busybox:1.36")
    assert [item.name for item in engine.containers()] == ["one"]


@pytest.mark.needs("busybox")
def test_a_container_ends_with_its_killed_monitor_and_that_is_said(engine: EmbeddedEngine) -> None:
    row = engine.run(ContainerSpec("busybox:1.36", name="one", command=("sleep", "100")))
    monitor = engine._containers.find("one").state.monitor
    os.kill(monitor, signal.SIGKILL)
    eventually(lambda: not Path(f"/proc/{row.pid}").exists() or "Z" in Path(f"/proc/{row.pid}/stat").read_text())
    eventually(lambda: not engine.container("one").running)
    assert "monitor process was killed" in engine.inspect_container("one")["State"]["Error"]


@pytest.mark.needs("busybox")
def test_a_health_check_is_told(engine: EmbeddedEngine, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(
        'FROM busybox:1.36\nHEALTHCHECK --interval=100ms --retries=1 CMD test -e /tmp/ok\nCMD ["sh", "-c", "touch /tmp/ok; sleep 1; rm /tmp/ok; sleep 60"]\n'
    )
    engine.build(Request(tmp_path, tags=("checked:1",)), lambda _: None)
    row = engine.run(ContainerSpec("checked:1"))
    eventually(lambda: engine.container(row.id).health == "healthy")
    eventually(lambda: engine.container(row.id).health == "unhealthy")
    assert "(unhealthy)" in engine.container(row.id).status


@pytest.mark.needs("nginx")
def test_exec_runs_beside_the_program(engine: EmbeddedEngine, capfd: pytest.CaptureFixture[str]) -> None:
    row = engine.run(ContainerSpec("nginx:1.22", environment={"COLOUR": "blue"}))
    code = engine.execute(
        row.id, ["sh", "-c", "echo $COLOUR; cat /proc/1/comm; test -e /usr/share/nginx/html/index.html; exit 4"]
    )
    assert code == 4
    assert capfd.readouterr().out == "blue\nnginx\n"
    with pytest.raises(ImageError, match="executable file not found"):
        engine.execute(row.id, ["no-such-program"])
    engine.stop(row.id)
    with pytest.raises(ImageError, match="is not running; start it"):
        engine.execute(row.id, ["true"])
