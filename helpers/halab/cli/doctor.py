"""halab doctor: what this machine can do, and what to type where it cannot."""

from __future__ import annotations

import sys
from dataclasses import asdict

import click

from halab.backends.doctor import findings
from halab.cli.output import emit

MARKS = {"ok": ("ok  ", "green"), "warn": ("warn", "yellow"), "fail": ("FAIL", "red")}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def doctor(as_json: bool) -> None:
    """Say what this machine can do for halab, and what to type where it cannot."""
    found = []
    for one in findings():
        found.append(one)
        if not as_json:
            mark, colour = MARKS[one.level]
            click.echo(f"{click.style(mark, fg=colour)}  {one.subject:<10}  {one.fact}")
            if one.remedy:
                click.echo(f"      {'':<10}  -> {one.remedy}")
    healthy = all(one.level != "fail" for one in found)
    if as_json:
        emit({"healthy": healthy, "findings": [asdict(one) for one in found]})
    sys.exit(0 if healthy else 2)
