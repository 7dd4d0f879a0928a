"""``halab image ...``: arguments in, calls to ``halab.images.api`` out, no logic. Progress and tables for people, ``--json`` for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn

import click

from halab.errors import ImageError, UsageError
from halab.images import api
from halab.images.commands_common import emit, json_option, note, table
from halab.images.registry.commands import registry

engine_option = click.option(
    "--engine",
    "engine_name",
    default="embedded",
    show_default=True,
    envvar="HALAB_IMAGE_ENGINE",
    help="embedded, docker or auto.",
)


def _pairs(words: tuple[str, ...], what: str) -> dict[str, str]:
    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not name or not equals:
            raise UsageError(f"{what} {word!r}", "is not NAME=VALUE")
        found[name] = value
    return found


def _ago(moment: str) -> str:
    from halab.images.containers.records import since

    return f"{since(moment)} ago" if moment else ""


@click.group()
def image() -> None:
    """Build, list, run, save and move images, with or without Docker."""


@image.command()
@click.argument("context", type=click.Path(path_type=Path, file_okay=False, exists=True), default=".")
@click.option("-t", "--tag", "tags", multiple=True, help="NAME[:TAG]; may be given several times.")
@click.option("-f", "--file", "dockerfile", type=click.Path(path_type=Path), help="The Dockerfile  [default: CONTEXT/Dockerfile]")
@click.option("--build-arg", "arguments", multiple=True, help="NAME=VALUE for an ARG.")
@click.option("--label", "labels", multiple=True, help="NAME=VALUE.")
@click.option("--secret", "secrets", multiple=True, help="id=NAME,src=FILE for RUN --mount=type=secret.")
@click.option("--target", default="", help="Build only up to this stage.")
@click.option("--no-cache", is_flag=True, help="Run every step again.")
@click.option("-q", "--quiet", is_flag=True, help="Print only the image's id.")
@engine_option
@json_option
def build(
    context: Path,
    tags: tuple[str, ...],
    dockerfile: Path | None,
    arguments: tuple[str, ...],
    labels: tuple[str, ...],
    secrets: tuple[str, ...],
    target: str,
    no_cache: bool,
    quiet: bool,
    engine_name: str,
    as_json: bool,
) -> None:
    """Build an image from the Dockerfile in CONTEXT."""
    given = {}
    for text in secrets:
        options = dict(part.partition("=")[::2] for part in text.split(","))
        if not options.get("id") or not (options.get("src") or options.get("source")):
            raise UsageError(f"secret {text!r}", "is not id=NAME,src=FILE")
        given[options["id"]] = Path(options.get("src") or options["source"])
    request = api.Request(
        context=context.resolve(),
        dockerfile=dockerfile.resolve() if dockerfile else None,
        tags=tags,
        arguments=_pairs(arguments, "build argument"),
        labels=_pairs(labels, "label"),
        secrets=given,
        target=target,
        cache=not no_cache,
    )
    say: Callable[[str], None] = note if as_json else click.echo
    built = api.engine(engine_name).build(request, lambda event: None if quiet else say(api.line(event)))
    if as_json:
        emit(asdict(built))
    elif quiet:
        click.echo(built.image_id)


@image.command("ls")
@engine_option
@json_option
def list_images(engine_name: str, as_json: bool) -> None:
    """List images, newest first."""
    rows = api.engine(engine_name).images()
    if as_json:
        emit({"images": [asdict(row) for row in rows]})
        return
    rows_shown = []
    for row in rows:
        name, _, tag = row.name.rpartition(":")
        borrowed = f"borrowed: {row.borrows}" if row.borrows else ""
        shown = borrowed if len(borrowed) < 60 else borrowed[:57] + "..."
        rows_shown.append(
            [
                name or "<none>",
                tag or "<none>",
                row.image_id.removeprefix("sha256:")[:12],
                _ago(row.created),
                api.size(row.size),
                shown,
            ]
        )
    table(["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE", "FIDELITY"], rows_shown)


@image.command()
@click.argument("reference")
@click.option("--no-trunc", is_flag=True, help="Whole lines.")
@engine_option
@json_option
def history(reference: str, no_trunc: bool, engine_name: str, as_json: bool) -> None:
    """Show the steps that made an image, newest first."""
    rows = api.engine(engine_name).history(reference)
    if as_json:
        emit({"history": [asdict(row) for row in rows]})
        return

    def cut(text: str, width: int) -> str:
        return text if no_trunc or len(text) <= width else text[: width - 3] + "..."

    rows_shown = [[_ago(row.created), cut(row.created_by, 70), api.size(row.size), cut(row.comment, 50)] for row in rows]
    table(["CREATED", "CREATED BY", "SIZE", "COMMENT"], rows_shown)


@image.command()
@click.argument("name")
@engine_option
def inspect(name: str, engine_name: str) -> None:
    """Show everything about an image or a container, as JSON."""
    chosen = api.engine(engine_name)
    try:
        found = chosen.inspect_container(name)
    except ImageError:
        found = chosen.inspect(name)
    click.echo(json.dumps(found, indent=2, ensure_ascii=False))


@image.command()
@click.argument("source")
@click.argument("name")
@engine_option
def tag(source: str, name: str, engine_name: str) -> None:
    """Give the image SOURCE one more NAME."""
    api.engine(engine_name).tag(source, name)


@image.command("rm")
@click.argument("names", nargs=-1, required=True)
@click.option("-f", "--force", is_flag=True, help="Also a running container, or an image in use.")
@engine_option
def remove(names: tuple[str, ...], force: bool, engine_name: str) -> None:
    """Remove containers or images by name."""
    chosen = api.engine(engine_name)
    for name in names:
        try:
            chosen.container(name)
        except ImageError:
            for gone in chosen.remove(name, force=force):
                click.echo(f"Untagged: {gone}")
        else:
            click.echo(chosen.remove_container(name, force=force))


@image.command()
@click.option("--cache", is_flag=True, help="Also the build cache.")
@engine_option
@json_option
def prune(cache: bool, engine_name: str, as_json: bool) -> None:
    """Remove images without a name and what nothing refers to."""
    done = api.engine(engine_name).prune(cache=cache)
    if as_json:
        emit(asdict(done))
    else:
        click.echo(f"Removed {len(done.images)} images and {done.cache} cache entries; freed {api.size(done.bytes)}")


@image.command()
@click.argument("reference")
@engine_option
@json_option
def push(reference: str, engine_name: str, as_json: bool) -> None:
    """Send an image to the registry in its name, e.g. 127.0.0.1:5000/my-nginx:1.0."""
    digest = api.engine(engine_name).push(reference, note if as_json else click.echo)
    if as_json:
        emit({"reference": reference, "digest": digest})


@image.command()
@click.argument("reference")
@engine_option
@json_option
def pull(reference: str, engine_name: str, as_json: bool) -> None:
    """Fetch an image from its registry."""
    digest = api.engine(engine_name).pull(reference, note if as_json else click.echo)
    if as_json:
        emit({"reference": reference, "digest": digest})


@image.command()
@click.argument("references", nargs=-1, required=True)
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The file to write.")
@engine_option
def save(references: tuple[str, ...], output: Path, engine_name: str) -> None:
    """Write images to a tar file that docker load, skopeo and `image load` read."""
    api.engine(engine_name).save(references, output)
    note(f"{output}: {api.size(output.stat().st_size)}")


@image.command()
@click.option("-i", "--input", "source", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The file to read.")
@engine_option
def load(source: Path, engine_name: str) -> None:
    """Read images from a file that `image save`, docker save or skopeo wrote."""
    for name in api.engine(engine_name).load(source):
        click.echo(f"Loaded image: {name}")


@image.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("reference")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.option("-d", "--detach", is_flag=True, help="Do not wait: print the container's id.")
@click.option("--name", default="", help="The container's name.")
@click.option("-p", "--publish", "ports", multiple=True, help="[IP:]HOST:CONTAINER port.")
@click.option("-e", "--env", "variables", multiple=True, help="NAME=VALUE.")
@click.option("-v", "--volume", "volumes", multiple=True, help="/HOST/PATH:/CONTAINER/PATH[:ro].")
@click.option("--restart", default="no", show_default=True, help="no, on-failure[:MAX], always or unless-stopped.")
@click.option("--entrypoint", default=None, help="Instead of the image's ENTRYPOINT.")
@click.option("-u", "--user", default="", help="NAME or UID[:GID].")
@click.option("-w", "--workdir", default="", help="Working directory.")
@click.option("--hostname", default="", help="Host name in the container.")
@click.option("--rm", "remove_after", is_flag=True, help="Remove the container when it ends.")
@engine_option
@json_option
def run(
    reference: str,
    command: tuple[str, ...],
    detach: bool,
    name: str,
    ports: tuple[str, ...],
    variables: tuple[str, ...],
    volumes: tuple[str, ...],
    restart: str,
    entrypoint: str | None,
    user: str,
    workdir: str,
    hostname: str,
    remove_after: bool,
    engine_name: str,
    as_json: bool,
) -> None:
    """Run a container of an image, outside any cluster."""
    policy = api.Restart.parse(restart)
    if remove_after and policy.policy != "no":
        raise UsageError("--rm", "and --restart exclude each other")
    spec = api.ContainerSpec(
        image=reference,
        name=name,
        command=command,
        entrypoint=None if entrypoint is None else tuple(entrypoint.split()),
        environment=_pairs(variables, "variable"),
        ports=tuple(map(api.Port.parse, ports)),
        volumes=tuple(map(api.Volume.parse, volumes)),
        restart=policy,
        user=user,
        directory=workdir,
        hostname=hostname,
        remove=remove_after and detach,
    )
    chosen = api.engine(engine_name)
    started = chosen.run(spec)
    if as_json:
        emit(asdict(started))
    elif detach:
        click.echo(started.id)
    if as_json or detach:
        return
    _attach(chosen, started, remove_after)


def _attach(chosen: api.Engine, started: api.ContainerRow, remove_after: bool) -> NoReturn:
    """Show the output until the container ends; Ctrl-C stops it. Ends with its exit status."""
    try:
        for stream, text in chosen.logs(started.id, follow=True):
            click.echo(text, nl=False, err=stream == "stderr")
    except KeyboardInterrupt:
        chosen.stop(started.id)
    code = chosen.wait(started.id).exit_code
    if remove_after:
        chosen.remove_container(started.id, force=True)
    sys.exit(code)


@image.command("ps")
@click.option("-a", "--all", "everything", is_flag=True, help="Ended containers too.")
@engine_option
@json_option
def list_containers(everything: bool, engine_name: str, as_json: bool) -> None:
    """List containers."""
    rows = api.engine(engine_name).containers(everything=everything)
    if as_json:
        emit({"containers": [asdict(row) for row in rows]})
        return
    rows_shown = []
    for row in rows:
        command = " ".join(row.command)
        shown = f'"{command if len(command) < 21 else command[:20] + "…"}"'
        rows_shown.append([row.id[:12], row.image, shown, _ago(row.created), row.status, ", ".join(row.ports), row.name])
    table(["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"], rows_shown)


@image.command()
@click.argument("container")
@click.option("-f", "--follow", is_flag=True, help="Go on as it writes.")
@click.option("-n", "--tail", type=int, default=None, help="Only the last lines.")
@engine_option
def logs(container: str, follow: bool, tail: int | None, engine_name: str) -> None:
    """Show what a container wrote."""
    for stream, text in api.engine(engine_name).logs(container, tail=tail, follow=follow):
        click.echo(text, nl=False, err=stream == "stderr")


@image.command("exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("container")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@engine_option
def execute(container: str, command: tuple[str, ...], engine_name: str) -> None:
    """Run one more program in a running container."""
    sys.exit(api.engine(engine_name).execute(container, command))


@image.command()
@click.argument("containers", nargs=-1, required=True)
@click.option("-t", "--time", "grace", type=float, default=10.0, show_default=True, help="Seconds before it is killed.")
@engine_option
def stop(containers: tuple[str, ...], grace: float, engine_name: str) -> None:
    """Stop containers; they are not restarted."""
    for word in containers:
        click.echo(api.engine(engine_name).stop(word, grace).name)


@image.command()
@click.argument("containers", nargs=-1, required=True)
@engine_option
def start(containers: tuple[str, ...], engine_name: str) -> None:
    """Start containers that have ended."""
    for word in containers:
        click.echo(api.engine(engine_name).start(word).name)


@image.command()
@click.argument("containers", nargs=-1, required=True)
@click.option("-s", "--signal", "name", default="KILL", show_default=True, help="The signal to send.")
@engine_option
def kill(containers: tuple[str, ...], name: str, engine_name: str) -> None:
    """Kill containers, as docker kill does: their restart policy does not bring them back."""
    for word in containers:
        click.echo(api.engine(engine_name).kill(word, name).name)


image.add_command(registry)
