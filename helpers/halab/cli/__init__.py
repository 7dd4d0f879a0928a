"""The command line: arguments in, calls out; no logic.

Exit status: 0 done, 1 a check or the run failed, 2 wrong usage or environment. With ``--json`` one object is all that
standard output gets; progress and messages for people go to standard error.
"""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
from contextlib import suppress

import click

from halab.cli.lazy import LazyGroup
from halab.errors import HalabError

COMMANDS = {
    "up": ("halab.cli.cluster:up", "Bring the cluster up and wait until its nodes are Ready."),
    "down": ("halab.cli.cluster:down", "Stop the cluster (--purge: forget it)."),
    "status": ("halab.cli.cluster:status", "Show the cluster, its nodes and its memory."),
    "fidelity": ("halab.cli.fidelity:fidelity", "Say what differs from a real Kubernetes."),
    "doctor": ("halab.cli.doctor:doctor", "Say what this machine can do, and what to type where it cannot."),
    "kubeconfig": ("halab.cli.cluster:kubeconfig", "Print the path of the cluster's kubeconfig."),
    "env": ("halab.cli.cluster:env", 'Print shell exports: eval "$(halab env)"'),
    "role": ("halab.cli.cluster:role", "Print the least rights that a learner needs on somebody's cluster."),
    "lab": ("halab.cli.lab:lab", "Open JupyterLab on the course, with the cluster up."),
    "course": ("halab.cli.course:course", "Run the solved notebooks headless, with a report."),
    "labs": ("halab.cli.course:labs", "List the labs and how far you are."),
    "start": ("halab.cli.course:start", "Set a lab's scene."),
    "check": ("halab.cli.course:check", "Check a lab's tasks by behaviour."),
    "hint": ("halab.cli.course:hint", "A hint, from what is the case now."),
    "reset": ("halab.cli.course:reset", "Set a lab back to its beginning."),
    "solve": ("halab.cli.course:solve", "Play a lab's solution."),
    "grade": ("halab.cli.grade:grade", "Grade what learners handed in, into a table (for instructors)."),
    "load": ("halab.traffic.commands:load", "Send requests at a constant rate and count the answers."),
    "component": ("halab.cli.component:component", "Stop and start parts of the cluster; add a second control plane."),
    "fault": ("halab.faults.commands:fault", "Break it on purpose: inject failures and heal them."),
    "image": ("halab.images.commands:image", "Build, run, save and push images and containers."),
    "snapshot": ("halab.cli.snapshot:snapshot", "Save the cluster's whole state to one file; restore it."),
    "completion": ("halab.cli.completion:completion", "Print the shell's completion script."),
}

# What the file system may refuse at any write; whatever else goes wrong there is a fault of ours, and shows where.
FULL = {errno.ENOSPC, errno.EDQUOT}
REFUSED = {errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.ENAMETOOLONG}


@click.group(cls=LazyGroup, lazy=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="halab")
def cli() -> None:
    """Learn how Docker and Kubernetes keep an application available, on a cluster that runs here."""


def main() -> None:
    """The console script: every deliberate error becomes one line on standard error and its exit status."""
    if isinstance(
        sys.stdout, io.TextIOWrapper
    ):  # a mark that this locale lacks, or a file's name in another one, is no reason to fail
        sys.stdout.reconfigure(errors="replace")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a terminated command cleans up as an interrupted one does
    try:
        status = cli.main(standalone_mode=False)
        if isinstance(status, int) and status:
            sys.exit(status)
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
    except OSError as error:
        if error.errno not in FULL | REFUSED:
            raise
        click.echo(f"error: {error.filename or _full_place()}: {error.strerror}; {_remedy(error)}", err=True)
        sys.exit(2)


def _full_place() -> str:
    """The place that is full, where a failed write names no file: halab's home, the folder for scratch files or the current one."""
    import tempfile

    from halab.settings import halab_home

    for place in (halab_home(), tempfile.gettempdir(), os.curdir):
        with suppress(OSError):
            if os.statvfs(place).f_bavail == 0:
                return f"the disk of {os.path.realpath(place)}"
    return "this machine"


def _remedy(error: OSError) -> str:
    """What to do about a refusal of the file system: where halab's own files are, another home; elsewhere it is the person's own file."""
    from halab.settings import halab_home

    if error.errno in FULL:
        return "free some space, then run the command again"
    home, path = str(halab_home()), str(error.filename or "")
    if not path or path == home or path.startswith(home + os.sep):
        return "set HALAB_HOME to a directory that you own"
    return "see that you may use it (ls -ld), or name another"
