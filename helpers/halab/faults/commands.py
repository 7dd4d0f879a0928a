"""``halab fault``: list, inject, heal, play."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from halab import backends
from halab.errors import UsageError
from halab.faults import api, catalogue, engine, scenario
from halab.faults.namespaces import current_namespace
from halab.faults.records import Record

name_option = click.option("--name", default="default", envvar="HALAB_CLUSTER", show_default=True, help="Which cluster.")
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
namespace_option = click.option("-n", "--namespace", default="", help="The namespace  [default: the one kubectl uses]")


@click.group()
def fault() -> None:
    """Break it on purpose: inject failures and heal them."""


@fault.command("list")
@click.argument("fault_name", metavar="[FAULT]", default="")
@name_option
@json_option
def list_faults(fault_name: str, name: str, as_json: bool) -> None:
    """The catalogue and what is active now; with FAULT, all that is declared of it."""
    backend = backends.connect(name)
    known = backend.summary().state != "absent"
    rows = api.catalogue(backend if known else None)
    running = engine.active(backend) if known else []
    if fault_name:
        catalogue.find(fault_name)
        rows = tuple(row for row in rows if row.name == fault_name)
        running = [record for record in running if record.fault == fault_name]
    if as_json:
        _emit({"faults": [asdict(row) for row in rows], "active": [engine.document(record) for record in running]})
        return
    for row in rows:
        if fault_name:
            _describe(row)
        else:
            where = "" if not row.lacks else f"  (not on this cluster: needs {', '.join(row.lacks)})"
            click.echo(f"{row.name:<20} {row.target.upper() or '-':<11} {row.title}{where}")
    click.echo("\nactive now:" if running else "\nnothing is active", err=not running)
    for record in running:
        _show(record)


def _describe(row: api.About) -> None:
    click.echo(f"{row.name}: {row.title}")
    facts = [("does", row.does), ("expect", row.expect), ("seen after", row.within), ("heals", row.heals)]
    facts += [("target", row.target or "none"), ("lasts", f"{row.duration:g} s unless told otherwise")]
    facts += [(f"  {option}=", text) for option, text in row.options.items()]
    for label, text in facts:
        click.echo(f"  {label:<12} {text}")


@fault.command()
@click.argument("fault_name", metavar="FAULT")
@click.argument("target", default="")
@click.option("--duration", type=float, help="Seconds until it heals by itself.")
@click.option(
    "--set", "settings", multiple=True, metavar="OPTION=VALUE", help="An option of the failure (see: halab fault list FAULT)."
)
@click.option("--while-pid", type=int, default=0, help="Also heal when this process ends.")
@click.option("--dry-run", is_flag=True, help="Only say what would be hit.")
@click.option("--yes", is_flag=True, help="On a cluster that others use too: yes, hit what the dry run lists.")
@namespace_option
@name_option
@json_option
def inject(
    fault_name: str,
    target: str,
    duration: float | None,
    settings: tuple[str, ...],
    while_pid: int,
    dry_run: bool,
    yes: bool,
    namespace: str,
    name: str,
    as_json: bool,
) -> None:
    """Inject FAULT, on TARGET where it needs one: POD, deployment/NAME, service/NAME or a node's name."""
    backend = backends.connect(name)
    options = _settings(settings)
    place = namespace or current_namespace(backend)
    if dry_run:
        seen = api.preview(backend, fault_name, target, namespace=place, duration=duration, **options)
        if as_json:
            _emit({"hits": list(seen.hits), "duration": seen.duration})
        else:
            click.echo(f"{seen.about.title}, for {seen.duration:g} s, would hit:")
            for hit in seen.hits:
                click.echo(f"  {hit}")
        return
    if while_pid and not Path(f"/proc/{while_pid}").exists():
        raise UsageError(f"--while-pid {while_pid}", "there is no such process")
    record = engine.inject(
        backend, fault_name, target, namespace=place, duration=duration, options=options, owner=while_pid, confirmed=yes
    )
    if as_json:
        _emit(engine.document(record))
    else:
        _show(record)
        click.echo(f"expect: {catalogue.find(record.fault).expect}")
        click.echo(f"heal it before its time: halab fault heal {record.id}", err=True)


@fault.command()
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--all", "every", is_flag=True, help="Everything that is active.")
@name_option
@json_option
def heal(ids: tuple[str, ...], every: bool, name: str, as_json: bool) -> None:
    """Heal failures before their time."""
    backend = backends.connect(name)
    if every == bool(ids):
        active = ", ".join(record.id for record in engine.active(backend)) or "none"
        raise UsageError("fault heal", "name what to heal, or say --all", f"active: {active}")
    healed = engine.heal_all(backend) if every else [engine.heal(backend, id) for id in ids]
    if as_json:
        _emit({"healed": [engine.document(record) for record in healed]})
        return
    for record in healed:
        click.echo(f"healed {record.id}")
    if not healed:
        click.echo("nothing was active", err=True)


@fault.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--seed", type=int, help="Another seed than the file's: other failures.")
@click.option("--learner", default="", help="A name that makes the seed one's own.")
@click.option("--dry-run", is_flag=True, help="Only print the series.")
@click.option("--yes", is_flag=True, help="On a cluster that others use too: yes.")
@namespace_option
@name_option
@json_option
def play(file: Path, seed: int | None, learner: str, dry_run: bool, yes: bool, namespace: str, name: str, as_json: bool) -> None:
    """Play a scenario (game day): a seeded series of failures. The same seed is the same series."""
    found = scenario.load(file)
    steps = scenario.steps(found, seed=seed, learner=learner)
    if dry_run:
        if as_json:
            _emit({"name": found.name, "steps": [asdict(step) for step in steps]})
        else:
            for step in steps:
                click.echo(f"{step.at:7.1f} s  {step.sentence()}")
        return
    backend = backends.connect(name)
    told: list[dict[str, Any]] = []

    def tell(outcome: scenario.Outcome) -> None:
        told.append(asdict(outcome))
        click.echo(f"{outcome.step.at:7.1f} s  {outcome.step.sentence()}: {outcome.text}", err=as_json)

    scenario.play(
        backend, steps, namespace=namespace or current_namespace(backend), owner=os.getpid(), confirmed=yes, report=tell
    )
    if as_json:
        _emit({"name": found.name, "outcomes": told})


def _settings(pairs: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise UsageError(f"--set {pair}", "is not OPTION=VALUE")
        found[key] = value
    return found


def _show(record: Record) -> None:
    left = record.until - time.time()
    state = f"heals by itself in {left:.0f} s" if left > 0 else "is being healed"
    click.echo(f"{record.id}: {state}" + (f" (last attempt: {record.error})" if record.error else ""))
    for hit in record.hits:
        click.echo(f"  {hit}")


def _emit(document: dict[str, Any]) -> None:
    click.echo(json.dumps(document, indent=2))
