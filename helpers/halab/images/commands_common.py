"""How the image commands speak: tables for people, one JSON object for programs."""

from __future__ import annotations

import json
from typing import Any

import click

json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")


def emit(value: Any) -> None:
    click.echo(json.dumps(value, ensure_ascii=False))


def note(text: str) -> None:
    click.echo(text, err=True)


def table(headings: list[str], rows: list[list[str]]) -> None:
    widths = [max(len(cell) for cell in column) for column in zip(headings, *rows, strict=True)]
    for row in [headings, *rows]:
        click.echo("   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
