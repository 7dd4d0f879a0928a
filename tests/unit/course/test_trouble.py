"""A cell that fails says what to do; a fault in the learner's own code keeps its traceback."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any

import pytest

from halab import trouble
from halab.backends.access import ApiError
from halab.course.results import Failed, NotPassed
from halab.errors import ClusterError


def cell(source: str, **names: Any) -> tuple[BaseException, TracebackType | None]:
    """What ``source`` raises, run as ipykernel runs a cell."""
    try:
        exec(compile(source, "/tmp/ipykernel_1/1.py", "exec"), names)
    except Exception as error:
        return error, error.__traceback__
    raise AssertionError("nothing was raised")


def told(source: str, **names: Any) -> list[str] | None:
    return trouble.told(*cell(source, **names))


def ours(error: Exception) -> Any:
    """A function of halab that raises ``error``."""
    names: dict[str, Any] = {"error": error}
    exec(compile("def call():\n    raise error", f"{trouble.HERE}/made_up.py", "exec"), names)
    return names["call"]


def test_a_name_that_an_earlier_cell_makes() -> None:
    lines = told("one = 1\nmeter.stop()")
    assert lines is not None and "name 'meter' is not defined (line 2 of this cell)" in lines[0]
    assert "run that one first" in lines[1]


def test_a_list_of_what_is_not_there() -> None:
    lines = told("pods = []\nvictim = pods[0]")
    assert lines is not None and "(line 2 of this cell)" in lines[0] and "lab.hint()" in lines[1]


def test_an_api_server_that_says_no() -> None:
    assert told("call()", call=ours(ApiError(404, 'pods "web" not found'))) == ['✘ the API server says: pods "web" not found']


@pytest.mark.parametrize("error", [ConnectionRefusedError(111, "Connection refused"), TimeoutError()])
def test_a_cluster_that_does_not_answer(error: Exception) -> None:
    lines = told("call()", call=ours(error))
    assert lines is not None and "does not answer" in lines[0] and "halab status" in lines[1]


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("1 / 0", {}),
        ("open('/nowhere')", {}),
        ("call()", {"call": ours(KeyError("web"))}),
        ("call()", {"call": ours(NameError("name 'x' is not defined", name="x"))}),
    ],
)
def test_other_faults_keep_their_traceback(source: str, names: dict[str, Any]) -> None:
    assert told(source, **names) is None


def test_our_own_errors_and_checks_are_shown_without_a_traceback() -> None:
    assert ClusterError("cluster default", "is not running", "run: halab up")._render_traceback_() == [
        "✘ cluster default: is not running; run: halab up"
    ]
    lines = NotPassed("Three pods answer", Failed("2 of 3 pods are ready", "look at its events"))._render_traceback_()
    assert lines == ["✘ Three pods answer", "  not yet: 2 of 3 pods are ready", "  hint: look at its events"]


def test_it_is_installed_in_a_kernel_only(monkeypatch: pytest.MonkeyPatch) -> None:
    trouble.install()  # this process is none
    monkeypatch.setitem(sys.modules, "IPython", None)  # one without IPython
    trouble.install()


def test_in_ipython_the_message_takes_the_place_of_the_traceback() -> None:
    from IPython.core.interactiveshell import InteractiveShell

    shell: Any = InteractiveShell()  # type: ignore[no-untyped-call]
    shown: list[list[str]] = []
    shell._showtraceback = lambda _kind, _value, lines: shown.append(lines)
    trouble.install_in(shell)
    assert shell.run_cell("1 / 0").error_in_exec is not None and len(shown[0]) > 1
    shell.user_ns["call"] = ours(ApiError(403, "no"))
    assert isinstance(shell.run_cell("call()").error_in_exec, ApiError)
    assert shown[1:] == [["✘ the API server says: no"]]
