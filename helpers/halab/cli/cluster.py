"""up, down, status, kubeconfig, env, role."""

from __future__ import annotations

import shlex
import time
from typing import TYPE_CHECKING, Any

import click

from halab import fidelity
from halab.backends import choice
from halab.cli import leftovers
from halab.cli.output import emit, progress, say
from halab.cluster.supervisor import layout, manage
from halab.errors import ClusterError, UsageError
from halab.settings import DOCKER, PROCESS, ClusterConfig

if TYPE_CHECKING:
    from halab.backends.base import Backend

name_option = click.option("--name", default="default", envvar="HALAB_CLUSTER", show_default=True, help="Which cluster.")
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
ONLY = {  # options of `up` that one backend alone understands
    choice.KIND: ("control_planes", "image", "http", "https", "registry"),
    choice.EXISTING: ("kubeconfig", "context", "namespace", "ingress", "load", "has"),
}


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
@click.option(
    "--backend", type=click.Choice(choice.BACKENDS), help="What makes the cluster  [default: what it is, embedded for a new one]"
)
@click.option("--nodes", type=click.IntRange(1, 60), help="How many nodes  [default: those it has, 3 for a new cluster]")
@click.option(
    "--runtime",
    type=click.Choice(["auto", PROCESS, DOCKER]),
    help="embedded: pods as processes, or as containers of a Docker engine (docs/docker.md)  [default: what it is, process for a new one]",
)
@click.option(
    "--without",
    multiple=True,
    type=click.Choice(["controllers", "scheduler", "nodes", "dataplane"]),
    help="Leave a component out, to run your own in its place (docs/replace-a-component.md).",
)
@click.option("--control-planes", type=click.Choice(["1", "3"]), help="kind: how many control planes.")
@click.option("--node-image", "image", help="kind: another node image, by digest  [default: $HALAB_KIND_IMAGE or the pinned one]")
@click.option(
    "--http-port", "http", type=click.IntRange(1, 65535), help="kind: this machine's port for Ingress  [default: free, from 8080]"
)
@click.option("--https-port", "https", type=click.IntRange(1, 65535), help="kind: the same for TLS  [default: free, from 8443]")
@click.option(
    "--registry", is_flag=True, default=None, help="kind: a registry beside it, at localhost:5001 or the next free port."
)
@click.option("--kubeconfig", type=click.Path(exists=True, dir_okay=False), help="existing: the kubeconfig  [default: kubectl's]")
@click.option("--context", help="existing: its context  [default: the current one]")
@click.option("--namespace", help="existing: your namespace, given or to be created  [default: halab-USER]")
@click.option("--ingress", help="existing: where its Ingress controller is reached, HOST:PORT[:TLSPORT].")
@click.option("--has", multiple=True, type=click.Choice(["networkpolicy"]), help="existing: what its network is known to do.")
@click.option("--load", help="existing: a command that brings {archive} to its nodes, or none.")
@click.option(
    "--gateway/--no-gateway", default=None, help="kind, existing: deploy halab's own gateway for Ingress and Gateway API."
)
@json_option
def up(
    name: str,
    backend: str | None,
    nodes: int | None,
    runtime: str | None,
    without: tuple[str, ...],
    as_json: bool,
    **options: Any,
) -> None:
    """Bring the cluster up and wait until its nodes are Ready."""
    began = time.monotonic()
    chosen, runtime = _backend(name, backend, runtime or "")
    given = {key: value for key, value in options.items() if value is not None and value != ()}
    for other, keys in ONLY.items():
        if other != chosen and (stray := next((key for key in keys if key in given), "")):
            raise UsageError(f"--{stray.replace('_', '-')}", f"is an option of the {other} backend", f"say --backend {other}")
    if chosen != choice.EMBEDDED:
        from halab.cli.backends import up_other

        up_other(name, chosen, {"nodes": nodes, **given} if chosen == choice.KIND else given, as_json)
        return
    fresh = manage.status(name).state in ("absent", "stopped")
    with progress() as shown:
        status = manage.up(name, nodes=nodes, without=without, runtime=runtime, report=shown.step)
    took = time.monotonic() - began
    leftovers.heal_embedded(name, fresh=fresh)
    if as_json:
        emit(document(status))
    else:
        assert status.config is not None
        say(
            f"cluster {name} is up: {sum(node.ready for node in status.nodes)} nodes Ready, {status.config.server} ({took:.1f} s)"
        )


def _backend(name: str, wanted: str | None, runtime: str) -> tuple[str, str]:
    """The backend that ``name`` is, or becomes, and the embedded cluster's runtime (empty: as it is). One name is never two clusters."""
    if wanted == choice.AUTO:
        from halab.backends import auto

        chosen = auto.choose(name)
        say(chosen.why)
        return chosen.backend, runtime if runtime not in ("", "auto") else chosen.runtime
    backend = _named_backend(name, wanted)
    if runtime and backend != choice.EMBEDDED:
        raise UsageError("--runtime", "is an option of the embedded backend", "say --backend embedded")
    if runtime == "auto":
        from halab.backends import auto

        config = layout.read_config(layout.directory_of(name))
        if config is not None:
            return backend, config.runtime
        chosen = auto.choose_runtime()
        say(chosen.why)
        return backend, chosen.runtime
    return backend, runtime


def _named_backend(name: str, wanted: str | None) -> str:
    known = choice.read(name)
    there = known.backend if known else choice.EMBEDDED if layout.read_config(layout.directory_of(name)) else ""
    if wanted and there and wanted != there:
        fact = f"is a cluster of the {there} backend"
        raise UsageError(
            f"cluster {name}", fact, f"take another name: --name {wanted}; or remove it: halab down --purge --name {name}"
        )
    return wanted or there or choice.EMBEDDED


@click.command()
@name_option
@click.option(
    "--purge",
    is_flag=True,
    help="Also remove its objects, volumes, keys and logs; with the last cluster, `halab image` containers and running registries end too.",
)
def down(name: str, purge: bool) -> None:
    """Stop the cluster; its objects are kept for the next `up`."""
    if choice.read(name) is not None:
        from halab.cli.backends import down_other

        down_other(name, purge)
    else:
        acted = manage.down(name, purge=purge)
        say(f"cluster {name} {'is gone' if purge else 'is stopped'}" if acted else f"cluster {name} was not running")
    if purge:
        from halab.backends import belongings

        for one in belongings.end_with_the_last_cluster():
            say(f"{one} has ended")


@click.command()
@name_option
@json_option
def status(name: str, as_json: bool) -> None:
    """Show the cluster, its nodes and its memory."""
    if choice.read(name) is not None:
        from halab.cli.backends import status_other

        status_other(name, as_json)
        return
    found = manage.status(name)
    if as_json:
        emit(document(found))
        return
    click.echo(f"cluster {found.name}: {found.state}")
    if found.config is None or found.state in ("absent", "stopped"):
        click.echo(f"  {manage.start_it(name)}")
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
    click.echo(_other(name).kubeconfig() if choice.read(name) else config_of(name).kubeconfig)


@click.command()
@name_option
def env(name: str) -> None:
    """Print shell exports: eval "$(halab env)"."""
    if known := choice.read(name):
        click.echo(f"export KUBECONFIG={shlex.quote(str(_other(name).kubeconfig()))}")
        if known.options.get("ingress") or known.made.get("ports"):  # else it is reached by a way that ends with this command
            click.echo("export HALAB_INGRESS={}:{}".format(*_other(name).ingress()))
        return
    config = config_of(name)
    click.echo(f"export KUBECONFIG={shlex.quote(str(config.kubeconfig))}")
    click.echo(f"export HALAB_INGRESS={config.addresses.ingress}:{config.port(80)}")


@click.command()
@click.option("--namespace", required=True, help="The learner's namespace.")
@click.option("--user", default="learner", show_default=True, help="The ServiceAccount that the learner uses.")
def role(namespace: str, user: str) -> None:
    """Print the YAML that gives a learner the least rights the labs need: for a cluster's administrator to apply."""
    from halab.backends import rights

    click.echo(rights.manifests(namespace, user), nl=False)


def _other(name: str) -> Backend:
    from halab import backends

    return backends.connect(name)


def config_of(name: str) -> ClusterConfig:
    """What is written of an embedded cluster. Raises ClusterError if there is none."""
    config = layout.read_config(layout.directory_of(name))
    if config is None:
        raise ClusterError(f"cluster {name}", "does not exist", manage.start_it(name))
    return config
