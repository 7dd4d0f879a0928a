"""``--backend`` and its options: what contradicts itself is refused before anything is made."""

from pathlib import Path

import pytest

from halab import backends
from halab.backends import choice
from halab.backends.embedded import Embedded
from halab.backends.existing import Existing
from halab.backends.kind import Kind
from halab.cli import cli
from halab.errors import UsageError


def test_an_option_of_another_backend_is_refused(halab_home: Path) -> None:
    with pytest.raises(UsageError, match="option of the existing backend"):
        cli.main(["up", "--backend", "kind", "--context", "c"], standalone_mode=False)
    with pytest.raises(UsageError, match="option of the kind backend"):
        cli.main(["up", "--node-image", "i"], standalone_mode=False)


def test_one_name_is_never_two_clusters(halab_home: Path) -> None:
    choice.write("x", choice.Choice(choice.EXISTING))
    with pytest.raises(UsageError, match="is a cluster of the existing backend"):
        cli.main(["up", "--name", "x", "--backend", "kind"], standalone_mode=False)


def test_notebooks_get_the_backend_that_was_chosen(halab_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    choice.write("x", choice.Choice(choice.KIND, {"nodes": 2}))
    found = backends.connect("x")
    assert isinstance(found, Kind) and found.choice.options == {"nodes": 2}
    assert isinstance(backends.connect("y"), Embedded)
    monkeypatch.setenv("HALAB_BACKEND", "existing")
    assert isinstance(backends.connect("z"), Existing)
    monkeypatch.setenv("HALAB_BACKEND", "cloud")
    with pytest.raises(UsageError, match="cloud"):
        backends.connect("z")


def test_the_role_is_printed_for_an_administrator(capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["role", "--namespace", "n", "--user", "u"], standalone_mode=False)
    assert "namespace: n" in capsys.readouterr().out
