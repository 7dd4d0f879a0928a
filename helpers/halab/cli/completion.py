"""halab completion: the shell's own completion of commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of SHELL, for example: source <(halab completion bash)"""
    from halab.cli import cli

    found = get_completion_class(shell)
    assert found is not None  # click.Choice allows no other
    click.echo(found(cli, {}, "halab", "_HALAB_COMPLETE").source())
