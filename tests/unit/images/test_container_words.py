import pytest

from halab.errors import UsageError
from halab.images.containers.signals import signal_number
from halab.images.containers.spec import ContainerSpec, Port, Restart, Volume


@pytest.mark.parametrize(
    ("policy", "code", "restarts", "stopped", "again"),
    [
        ("no", 1, 0, False, False),
        ("on-failure", 0, 0, False, False),
        ("on-failure", 1, 99, False, True),
        ("on-failure:3", 1, 2, False, True),
        ("on-failure:3", 1, 3, False, False),
        ("always", 0, 5, False, True),
        ("always", 137, 5, True, False),
        ("unless-stopped", 0, 0, False, True),
        ("unless-stopped", 0, 0, True, False),
    ],
)
def test_restart_policies(policy: str, code: int, restarts: int, stopped: bool, again: bool) -> None:
    restart = Restart.parse(policy)
    assert restart.again(code, restarts, stopped=stopped) is again
    assert str(restart) == policy


@pytest.mark.parametrize("text", ["sometimes", "always:3", "on-failure:x"])
def test_other_policies_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        Restart.parse(text)


@pytest.mark.parametrize(
    ("text", "port"),
    [
        ("8080:80", Port("127.0.0.1", 8080, 80)),
        ("80", Port("127.0.0.1", 0, 80)),
        ("127.0.0.9:1:2/tcp", Port("127.0.0.9", 1, 2)),
        ("localhost:8080:80", Port("127.0.0.1", 8080, 80)),
        ("0.0.0.0:8080:80", Port("127.0.0.1", 8080, 80)),
    ],
)
def test_ports_stay_on_loopback(text: str, port: Port) -> None:
    assert Port.parse(text) == port


@pytest.mark.parametrize("text", ["", "x:80", "80:", "10.0.0.1:1:2", "70000:80", "1:0", "53:53/udp"])
def test_what_is_no_port_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        Port.parse(text)


def test_a_specification_survives_its_file() -> None:
    spec = ContainerSpec(
        "x:1",
        "n",
        ("a",),
        ("b",),
        {"K": "v"},
        (Port("127.0.0.1", 1, 2),),
        (Volume("/a", "/b", True),),
        Restart("on-failure", 2),
        "u",
        "/w",
        "h",
        True,
        9,
    )
    assert ContainerSpec.from_json(spec.to_json()) == spec


def test_signals_have_names_and_numbers() -> None:
    assert [signal_number(text) for text in ("SIGQUIT", "quit", "9", "nonsense")] == [3, 3, 9, 15]
