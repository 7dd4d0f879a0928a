"""The course on the command line: labs, start, check, hint, reset, solve, course. Arguments in, calls out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from halab.cli.output import emit
from halab.errors import CheckFailed

if TYPE_CHECKING:
    from halab.course.catalog import Lab
    from halab.session import LabSession


def _slugs(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """The shell's completion of LAB."""
    from halab.course import catalog

    return [lab.slug for lab in catalog.load_all() if lab.slug.startswith(incomplete)]


lab_argument = click.argument("name", metavar="LAB", shell_complete=_slugs)
cluster_option = click.option("--cluster", default="", help="Which cluster  [default: $HALAB_CLUSTER or default]")
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")


def _open(name: str, cluster: str) -> LabSession:
    from halab.session import open_lab

    if cluster:
        require_cluster(cluster)
    return open_lab(name, cluster=cluster, quiet=False)


def require_cluster(name: str) -> None:
    """A cluster named on the command line must be there: a slip of the keyboard shall not make another one. Raises ClusterError."""
    from halab.backends import choice
    from halab.cli.cluster import config_of

    if choice.read(name) is None:
        config_of(name)


def _to_its_beginning(name: str) -> None:
    from halab.session import open_lab

    open_lab(name, quiet=True).reset(quiet=True)


def _cleared(name: str) -> None:
    """The lab's objects, containers and clusters are gone; that its tasks were passed stays known."""
    from halab.course import stage
    from halab.session import open_lab

    session = open_lab(name, quiet=True)
    stage.leave(session.definition, session.scene)


@click.command()
@cluster_option
@json_option
def labs(cluster: str, as_json: bool) -> None:
    """List the labs and how far you are."""
    import os

    from halab.course import catalog
    from halab.course.progress import progress_of
    from halab.settings import halab_home

    name = cluster or os.environ.get("HALAB_CLUSTER", "default")
    rows = [(lab, progress_of(halab_home(), name, lab.slug).passed()) for lab in catalog.load_all()]
    if as_json:
        click.echo(json.dumps({"labs": [_row(lab, list(passed)) for lab, passed in rows]}, indent=2))
        return
    for lab, passed in rows:
        done = sum(1 for task in lab.tasks if task.id in passed)
        mark = "✔" if done == len(lab.tasks) else "·"
        click.echo(f"{mark} {lab.slug:<28} {done}/{len(lab.tasks)} tasks  {lab.minutes:>3} min  {lab.summary}")


def _row(lab: Lab, passed: list[str]) -> dict[str, Any]:
    return {
        "slug": lab.slug,
        "title": lab.title,
        "minutes": lab.minutes,
        "tasks": [task.id for task in lab.tasks],
        "passed": passed,
    }


@click.command()
@lab_argument
@cluster_option
@json_option
def start(name: str, cluster: str, as_json: bool) -> None:
    """Set LAB's scene and say where to work."""
    session = _open(name, cluster)
    if as_json:
        where = {"files": str(session.scene.files), "kubeconfig": session.scene.environment["KUBECONFIG"]}
        emit({"lab": session.definition.slug, "namespace": session.namespace, **where})
        return
    click.echo(repr(session))
    click.echo(f"your files: {session.scene.files}")
    click.echo(f"kubectl:    export KUBECONFIG={session.scene.environment['KUBECONFIG']}")


@click.command()
@lab_argument
@click.argument("tasks", nargs=-1, metavar="[TASK ...]")
@cluster_option
@json_option
def check(name: str, tasks: tuple[str, ...], cluster: str, as_json: bool) -> None:
    """Check LAB's tasks (all, or those named). Exit status 1 if one does not pass."""
    session = _open(name, cluster)
    wanted = [session.definition.task(task) for task in tasks] or list(session.definition.tasks)
    rows = []
    for task in wanted:
        if not as_json:
            click.echo(f"  {task.title} ...", err=True)
        result = session.runner.check(task)
        rows.append({"task": task.id, "passed": bool(result), "points": task.points if result else 0, "message": str(result)})
        if not as_json:
            click.echo(f"{'✔' if result else '✘'} {task.title}\n    " + str(result).replace("\n", "\n    "))
    failed = [row["task"] for row in rows if not row["passed"]]
    if as_json:
        click.echo(json.dumps({"lab": session.definition.slug, "passed": not failed, "tasks": rows}, indent=2))
    if failed:
        raise CheckFailed(
            f"lab {session.definition.slug}",
            f"{len(failed)} of {len(rows)} tasks are open: {', '.join(map(str, failed))}",
            f"halab hint {name}",
        )


@click.command()
@lab_argument
@click.argument("task", required=False, default="")
@cluster_option
@json_option
def hint(name: str, task: str, cluster: str, as_json: bool) -> None:
    """A hint for TASK (default: LAB's first open task), from what is the case now."""
    session = _open(name, cluster)
    wanted = [session.definition.task(task)] if task else session.runner.open_tasks()[:1]
    text = session.runner.hint(wanted[0]) if wanted else "every task of this lab is done"
    click.echo(
        json.dumps({"lab": session.definition.slug, "task": wanted[0].id if wanted else None, "hint": text}) if as_json else text
    )


@click.command()
@lab_argument
@cluster_option
@click.option("--dry-run", is_flag=True, help="Only list what would be removed.")
@json_option
def reset(name: str, cluster: str, dry_run: bool, as_json: bool) -> None:
    """Set LAB back to its beginning. Your files are moved aside, not lost."""
    session = _open(name, cluster)
    if dry_run:
        doomed = session.doomed()
        if as_json:
            emit({"lab": session.definition.slug, "namespace": session.namespace, "removes": doomed})
        else:
            click.echo("\n".join(doomed) or f"nothing: namespace {session.namespace} holds nothing of the lab's")
        return
    session.reset(quiet=as_json)
    if as_json:
        emit({"lab": session.definition.slug, "reset": True, "files": str(session.scene.files)})


@click.command()
@lab_argument
@cluster_option
@json_option
def solve(name: str, cluster: str, as_json: bool) -> None:
    """Play LAB's solution."""
    session = _open(name, cluster)
    session.solve()
    if as_json:
        emit({"lab": session.definition.slug, "solved": True})
        return
    click.echo(f"lab {session.definition.slug} is solved; see it with: halab check {name}")


@click.command()
@click.argument("names", nargs=-1, metavar="[LAB ...]")
@click.option("--report", type=click.Path(path_type=Path), help="Also write the report as JSON to this file.")
@click.option("--keep-going/--stop", default=True, show_default=True, help="Go on with the next notebook after a failure.")
@json_option
def course(names: tuple[str, ...], report: Path | None, keep_going: bool, as_json: bool) -> None:
    """Run the solved notebooks headless (all, or those of LABs), with progress and a report. Exit status 1 if a cell fails."""
    from halab.course import headless

    done = headless.run(list(names), _to_its_beginning, keep_going=keep_going, quiet=as_json, tidy=_cleared)
    document = {"passed": all(row.passed for row in done), "notebooks": [row.document() for row in done]}
    if report:
        report.write_text(json.dumps(document, indent=1) + "\n")
    if as_json:
        click.echo(json.dumps(document, indent=2))
    else:
        for row in done:
            click.echo(row.line())
    failed = [row.name for row in done if not row.passed]
    if failed:
        raise CheckFailed(
            "course",
            f"{len(failed)} of {len(done)} notebooks failed: {', '.join(failed)}",
            f"halab course {failed[0][:2]} shows it alone",
        )
