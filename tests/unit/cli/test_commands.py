"""The command line's contract: lazy, documented, and with exit statuses that scripts can rely on."""

from __future__ import annotations

import importlib
import json
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from halab.cli import COMMANDS, _remedy, cli
from halab.cli.lab import JUPYTERLAB


def run(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    environment = {"HALAB_HOME": str(home), "PATH": "/usr/bin:/bin"}
    return subprocess.run(
        [sys.executable, "-m", "halab", *arguments], env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_exists_and_has_help(name: str) -> None:
    module, _, attribute = COMMANDS[name][0].partition(":")
    command = getattr(importlib.import_module(module), attribute)
    assert isinstance(command, click.Command)
    assert command.help
    assert COMMANDS[name][1].endswith((".", ")", '"'))


def test_help_imports_neither_rich_nor_a_cluster(tmp_path: Path) -> None:
    code = (
        "import sys; sys.argv = ['halab', '--help']\nfrom halab.cli import main\ntry: main()\nfinally: print(sorted(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"HALAB_HOME": str(tmp_path)}
    )
    loaded = set(done.stdout.splitlines()[-1].strip("[]").replace("'", "").split(", "))
    heavy = {"rich", "halab.cluster", "kubernetes", "docker", "cryptography", "asyncio", "IPython"}
    assert loaded & heavy == set()


def test_help_lists_every_command() -> None:
    shown = CliRunner().invoke(cli, ["--help"]).output
    assert [name for name in COMMANDS if f"  {name} " not in shown] == []


def test_status_of_a_cluster_that_never_was_is_one_json_object(tmp_path: Path) -> None:
    done = run("status", "--json", home=tmp_path)
    document = json.loads(done.stdout)
    assert done.returncode == 0
    assert done.stderr == ""
    wanted = {"name", "backend", "state", "kubeconfig", "api", "nodes", "ingress", "memory_mb", "up_seconds"}
    assert wanted <= document.keys()
    assert document["state"] == "absent"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nonsense"], "No such command"),
        (["up", "--nodes", "0"], "0 is not in the range"),
        (["up", "--name", "Not_A_Label"], "is not lower-case letters"),
        (["kubeconfig"], "does not exist; run: halab up"),
        (["env", "--name", "two"], "run: halab up --name two"),
        (["component", "stop", "apiserver", "--name", "two"], "run: halab up --name two"),
        (["check", "02", "--cluster", "tow"], "cluster tow: does not exist; run: halab up --name tow"),
        (["status", "--no-such-option"], "No such option"),
    ],
)
def test_wrong_usage_is_one_message_and_exit_status_2(arguments: list[str], message: str, tmp_path: Path) -> None:
    done = run(*arguments, home=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_for_each_shell(shell: str, tmp_path: Path) -> None:
    done = run("completion", shell, home=tmp_path)
    assert done.returncode == 0
    assert "_HALAB_COMPLETE" in done.stdout


def test_doctor_says_json_and_its_status_agrees_with_it(tmp_path: Path) -> None:
    done = run("doctor", "--json", home=tmp_path)
    document = json.loads(done.stdout)
    assert document["healthy"] == (done.returncode == 0)
    assert {one["level"] for one in document["findings"]} <= {"ok", "warn", "fail"}
    assert all(one["remedy"] for one in document["findings"] if one["level"] == "fail")


def leaves(command: click.Command, path: str = "") -> list[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        return [(path.strip(), command)]
    context = click.Context(command)
    found = [(name, command.get_command(context, name)) for name in command.list_commands(context)]
    return [leaf for name, below in found if below is not None for leaf in leaves(below, f"{path} {name}")]


LEAVES = leaves(cli)
SPEAKS_JSON = (  # the CLI contract, and what scripts ask for besides
    *("up", "status", "doctor", "labs", "start", "check", "hint", "reset", "solve", "course", "load", "grade", "fidelity"),
    *("fault list", "fault inject", "fault heal", "snapshot save", "snapshot restore"),
    *("image build", "image ls", "image history", "image ps", "image registry ls"),
)


@pytest.mark.parametrize(("path", "command"), LEAVES, ids=[path for path, _ in LEAVES])
def test_every_command_below_a_command_has_help_that_names_its_options(path: str, command: click.Command) -> None:
    shown = CliRunner().invoke(cli, [*path.split(), "--help"])
    assert shown.exit_code == 0 and command.help
    assert [one.opts[0] for one in command.params if isinstance(one, click.Option) and not one.help] == []


def test_what_scripts_ask_for_speaks_json() -> None:
    able = {path for path, command in LEAVES if any("--json" in one.opts for one in command.params)}
    assert set(SPEAKS_JSON) - able == set()


@pytest.mark.parametrize(
    ("words", "offered"),
    [("halab sn", "snapshot"), ("halab check 0", "02-deploy"), ("halab snapshot re", "restore"), ("halab up --na", "--name")],
)
def test_the_shell_completes_commands_options_and_labs(words: str, offered: str, tmp_path: Path) -> None:
    environment = {"_HALAB_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    code = "import sys; sys.argv = ['halab']\nfrom halab.cli import main\nmain()"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment | {"HALAB_HOME": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert f"plain,{offered}" in done.stdout.split()


def test_a_locale_without_the_marks_gets_other_ones(tmp_path: Path) -> None:
    environment = {"HALAB_HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "PYTHONIOENCODING": "latin-1"}
    done = subprocess.run([sys.executable, "-m", "halab", "fidelity"], env=environment, capture_output=True, check=False)
    assert done.returncode == 0 and done.stderr == b""


@pytest.mark.parametrize(
    ("program", "imported"),
    [("from halab.__main__ import main; main()", "click.py"), (JUPYTERLAB, "jupyterlab.py")],
    ids=["halab", "halab lab"],
)
def test_ctrl_c_before_anything_is_begun_is_no_traceback(program: str, imported: str, tmp_path: Path) -> None:
    (tmp_path / imported).write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"HALAB_HOME": str(tmp_path), "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        check=False,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler) and None,
    )
    assert (done.returncode, done.stderr) == (-signal.SIGINT, b"")


def test_a_refusal_outside_of_halabs_own_files_is_not_about_its_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HALAB_HOME", str(tmp_path / "home"))
    assert "HALAB_HOME" in _remedy(PermissionError(13, "denied", str(tmp_path / "home" / "x")))
    assert "HALAB_HOME" not in _remedy(PermissionError(13, "denied", str(tmp_path / "homework")))
    assert "free some space" in _remedy(OSError(28, "full", str(tmp_path / "homework")))


@pytest.mark.parametrize("arguments", [["up"], ["image", "ls"], ["snapshot", "restore", "x"]])
def test_a_home_that_cannot_be_written_is_named_with_the_way_out(arguments: list[str], tmp_path: Path) -> None:
    home = tmp_path / "file"
    home.write_text("no directory")
    done = run(*arguments, home=home / "home")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "Traceback" not in done.stderr
    assert str(home) in done.stderr or "x: does not exist" in done.stderr
