"""component: stop and start parts of a running cluster by hand, or add a second control plane to it."""

from __future__ import annotations

import click

from halab.backends import connect
from halab.cli.output import say

ACTIONS = ("start", "stop", "kill", "pause", "resume")


@click.command()
@click.argument("action", type=click.Choice(ACTIONS))
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--name", "cluster", default="default", envvar="HALAB_CLUSTER", show_default=True, help="Which cluster.")
def component(action: str, names: tuple[str, ...], cluster: str) -> None:
    """Start or stop components: apiserver, controllers, dataplane, node-agent/NODE.

    Starting apiserver-2 and controllers-2 adds a second control plane: the API servers share one address and one database, the
    controllers and schedulers elect a leader.
    """
    controls = connect(cluster).controls()
    for one in names:
        controls.component(one, action)
        say(f"{one}: {action}")
