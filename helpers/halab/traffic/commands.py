"""``halab load``: send requests at a constant rate and say how many were answered."""

from __future__ import annotations

import json

import click

from halab.errors import CheckFailed, UsageError
from halab.traffic.meter import Meter
from halab.traffic.probe import Target


@click.command()
@click.argument("url")
@click.option(
    "--rate", type=click.FloatRange(min=0, min_open=True, max=5000), default=20.0, show_default=True, help="Requests a second."
)
@click.option("--duration", type=click.FloatRange(min=0, min_open=True), default=10.0, show_default=True, help="Seconds.")
@click.option("--host", default="", help="The Host header, such as nginx.example.com.")
@click.option("--path", default="", help="The path, if the URL has none.")
@click.option(
    "--target",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="A success rate such as 0.999; below it, exit status 1.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def load(url: str, rate: float, duration: float, host: str, path: str, target: float | None, as_json: bool) -> None:
    """Send requests to URL at a constant rate, each on a new connection, and report how many were answered and how fast."""
    try:
        Target.of(url)
    except ValueError as error:
        raise UsageError("load", str(error)) from error
    meter = Meter(url, rate=rate, duration=duration, host=host, path=path)
    try:
        if as_json:
            found = meter.finish()
        else:
            _show(meter, duration)
            found = meter.finish()
    except KeyboardInterrupt:
        found = meter.stop()
    if as_json:
        click.echo(json.dumps({"url": url, "rate": rate, **found.document()}))
    else:
        click.echo(found.sentence())
        for pod, count in found.by.items():
            click.echo(f"  {pod:40} {count:6}  {count / max(1, found.ok):.0%}")
    if target is not None and found.success_rate < target:
        raise CheckFailed(f"load {url}", f"success rate {found.success_rate:.3%} is below {target:.3%}")


def _show(meter: Meter, duration: float) -> None:
    """A progress bar on standard error until the probe ends."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(f"{meter.rate:g} requests/s", total=max(1, int(meter.rate * duration)))
        while meter.running:
            meter.wait(0.25)
            bar.update(task, completed=len(meter.requests))
