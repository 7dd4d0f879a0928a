"""The command line's contract: lazy, documented, and with exit statuses that scripts can rely on."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from halab.cli import COMMANDS, cli


def run(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    environment = {"HALAB_HOME": str(home), "PATH": "/usr/bin:/bin"}
    return subprocess.run(
        [sys.executable, "-m", "halab.cli", *arguments], env=environment, capture_output=True, text=True, check=False
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
