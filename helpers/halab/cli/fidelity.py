"""``halab fidelity``: what the embedded cluster does otherwise than Kubernetes."""

from __future__ import annotations

import click

from halab import fidelity as table
from halab.cli.output import emit


@click.command()
@click.argument("what", required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def fidelity(what: str | None, as_json: bool) -> None:
    """What differs from a real Kubernetes: the whole table, or the row WHAT."""
    rows = (table.find(what),) if what else table.TABLE
    if as_json:
        emit({"rows": [row.to_json() for row in rows]})
        return
    area = ""
    for row in rows:
        if row.area != area:
            area = row.area
            click.echo(area)
        click.echo(f"  {table.SIGNS[row.level]} {row.what}: {row.level}")
        click.echo(click.wrap_text(row.difference, width=100, initial_indent="      ", subsequent_indent="      "))
