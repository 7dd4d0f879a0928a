"""``halab image registry ...``"""

from __future__ import annotations

from dataclasses import asdict

import click

from halab.images.commands_common import emit, json_option, table
from halab.images.registry.manage import Registries
from halab.settings import halab_home


@click.group()
def registry() -> None:
    """Registries on this machine."""


@registry.command("start")
@click.argument("name", default="default")
@click.option("--address", default="127.0.0.1:5000", show_default=True, help="IP:PORT to listen on.")
@json_option
def registry_start(name: str, address: str, as_json: bool) -> None:
    """Start a registry; its images are kept across restarts."""
    running = _registries().start(name, address)
    if as_json:
        emit(asdict(running))
    else:
        click.echo(f"registry {name} listens on {running.address}; push to it: halab image push {running.address}/NAME:TAG")


@registry.command("stop")
@click.argument("name", default="default")
@click.option("--purge", is_flag=True, help="Delete its images too.")
def registry_stop(name: str, purge: bool) -> None:
    """Stop a registry."""
    _registries().stop(name, purge=purge)
    click.echo(f"registry {name} {'is gone' if purge else 'is stopped'}")


@registry.command("mirror")
@click.argument("registry")
@click.argument("mirrors", nargs=-1)
def registry_mirror(registry: str, mirrors: tuple[str, ...]) -> None:
    """Pull from MIRRORS (IP:PORT ...) what REGISTRY (IP:PORT) does not give; without MIRRORS, from it alone again."""
    _registries().mirror(registry, mirrors)
    click.echo(f"{registry} has mirrors: {', '.join(mirrors)}" if mirrors else f"{registry} has no mirrors")


@registry.command("ls")
@json_option
def registry_list(as_json: bool) -> None:
    """List registries."""
    rows = _registries().registries()
    if as_json:
        emit({"registries": [asdict(row) for row in rows]})
    else:
        table(["NAME", "ADDRESS", "STATE"], [[row.name, row.address, "running" if row.pid else "stopped"] for row in rows])


def _registries() -> Registries:
    return Registries(halab_home())
