"""The command line: arguments in, calls out; no logic.

Exit status: 0 done, 1 a check or the run failed, 2 wrong usage or environment. With ``--json`` one object is all that
standard output gets; progress and messages for people go to standard error.
"""

from __future__ import annotations

import sys

import click

from halab.cli.lazy import LazyGroup
from halab.errors import HalabError

COMMANDS = {
    "up": ("halab.cli.cluster:up", "Bring the cluster up and wait until its nodes are Ready."),
    "down": ("halab.cli.cluster:down", "Stop the cluster (--purge: forget it)."),
    "status": ("halab.cli.cluster:status", "Show the cluster, its nodes and its memory."),
    "kubeconfig": ("halab.cli.cluster:kubeconfig", "Print the path of the cluster's kubeconfig."),
    "env": ("halab.cli.cluster:env", 'Print shell exports: eval "$(halab env)"'),
}


@click.group(cls=LazyGroup, lazy=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="halab")
def cli() -> None:
    """Learn how Docker and Kubernetes keep an application available, on a cluster that runs here."""


def main() -> None:
    """The console script: every deliberate error becomes one line on standard error and its exit status."""
    try:
        cli.main(standalone_mode=False)
    except HalabError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_status)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
