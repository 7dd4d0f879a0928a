"""up, down, status, kubeconfig, env."""

from __future__ import annotations

import shlex
import time

import click

from halab import fidelity
from halab.cli.output import emit, progress, say
from halab.cluster.supervisor import layout, manage
from halab.errors import ClusterError
from halab.settings import ClusterConfig

name_option = click.option("--name", default="default", envvar="HALAB_CLUSTER", show_default=True, help="Which cluster.")
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")


def document(status: manage.Status) -> dict[str, object]:
    """``status --json``; the fields of the CLI contract."""
    config = status.config
    ingress = (
        {}
        if config is None
        else {
            "http": f"{config.addresses.ingress}:{config.port(80)}",
            "https": f"{config.addresses.ingress}:{config.port(443)}",
        }
    )
    return {
        "name": status.name,
        "backend": "embedded",
        "state": status.state,
        "kubeconfig": str(config.kubeconfig) if config else None,
        "api": config.server if config else None,
        "nodes": [{"name": node.name, "ready": node.ready, "address": node.address} for node in status.nodes],
        "ingress": ingress,
        "memory_mb": status.memory_mb,
        "up_seconds": status.up_seconds,
        "components": list(status.components),
    }


@click.command()
@name_option
@click.option("--nodes", type=click.IntRange(1, 60), help="How many nodes  [default: those it has, 3 for a new cluster]")
@click.option("--without", multiple=True, type=click.Choice(["controllers", "scheduler", "nodes", "dataplane"]), hidden=True)
@json_option
def up(name: str, nodes: int | None, without: tuple[str, ...], as_json: bool) -> None:
    """Bring the cluster up and wait until its nodes are Ready."""
    began = time.monotonic()
    with progress() as shown:
        status = manage.up(name, nodes=nodes, without=without, report=shown.step)
    took = time.monotonic() - began
    if as_json:
        emit(document(status))
    else:
        assert status.config is not None
        say(
            f"cluster {name} is up: {sum(node.ready for node in status.nodes)} nodes Ready, {status.config.server} ({took:.1f} s)"
        )


@click.command()
@name_option
@click.option("--purge", is_flag=True, help="Also remove its objects, images' containers, keys and logs.")
def down(name: str, purge: bool) -> None:
    """Stop the cluster; its objects are kept for the next `up`."""
    acted = manage.down(name, purge=purge)
    say(f"cluster {name} {'is gone' if purge else 'is stopped'}" if acted else f"cluster {name} was not running")


@click.command()
@name_option
@json_option
def status(name: str, as_json: bool) -> None:
    """Show the cluster, its nodes and its memory."""
    found = manage.status(name)
    if as_json:
        emit(document(found))
        return
    click.echo(f"cluster {found.name}: {found.state}")
    if found.config is None or found.state in ("absent", "stopped"):
        return
    click.echo(f"  api         {found.config.server}")
    click.echo(f"  ingress     http://{found.config.addresses.ingress}:{found.config.port(80)}")
    click.echo(f"  kubeconfig  {found.config.kubeconfig}")
    click.echo(f"  memory      {found.memory_mb:.0f} MB, up for {found.up_seconds:.0f} s")
    click.echo(f"  fidelity    {fidelity.summary()}: halab fidelity")
    for node in found.nodes:
        click.echo(f"  {node.name:<11} {node.address:<15} {'Ready' if node.ready else 'NotReady'}")
    for one in found.components:
        if one["state"] != "ready" or one["restarts"]:
            click.echo(f"  {one['name']}: {one['state']}, restarted {one['restarts']} times")


@click.command()
@name_option
def kubeconfig(name: str) -> None:
    """Print the path of the cluster's kubeconfig."""
    click.echo(_config(name).kubeconfig)


@click.command()
@name_option
def env(name: str) -> None:
    """Print shell exports: eval "$(halab env)"."""
    config = _config(name)
    click.echo(f"export KUBECONFIG={shlex.quote(str(config.kubeconfig))}")
    click.echo(f"export HALAB_INGRESS={config.addresses.ingress}:{config.port(80)}")


def _config(name: str) -> ClusterConfig:
    config = layout.read_config(layout.directory_of(name))
    if config is None:
        raise ClusterError(
            f"cluster {name}", "does not exist", "run: halab up" + ("" if name == "default" else f" --name {name}")
        )
    return config
