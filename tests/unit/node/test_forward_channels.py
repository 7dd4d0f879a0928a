"""Port-forward over a WebSocket's channels: what the query and the header ask for."""

from __future__ import annotations

import pytest

from halab.cluster.node.server.forward_channels import ports_of, protocol_of


def test_ports_may_be_repeated_or_listed() -> None:
    assert ports_of(["80", "81,82"]) == [80, 81, 82]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([], 'query parameter "port" is required'),
        ([""], 'query parameter "port" cannot be empty'),
        (["x"], 'unable to parse "x" as a port: strconv.ParseUint: parsing "x": invalid syntax'),
        (["70000"], 'unable to parse "70000" as a port: strconv.ParseUint: parsing "70000": value out of range'),
        (["0"], 'port "0" must be > 0'),
    ],
)
def test_what_is_no_port_is_refused_in_kubelets_words(values: list[str], said: str) -> None:
    with pytest.raises(ValueError, match="^" + said.replace(".", r"\.") + "$"):
        ports_of(values)


def test_the_first_protocol_that_is_known_answers() -> None:
    assert protocol_of("v5.channel.k8s.io, v4.channel.k8s.io") == "v4.channel.k8s.io"
    assert protocol_of("") == ""
    assert protocol_of("chat") is None
