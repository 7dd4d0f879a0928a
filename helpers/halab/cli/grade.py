"""``halab grade``: arguments in, calls out."""

from __future__ import annotations

import json
from pathlib import Path

import click

from halab.cli.course import require_cluster
from halab.errors import CheckFailed


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--out", required=True, metavar="FILE.csv", type=click.Path(dir_okay=False, path_type=Path), help="The table.")
@click.option("--lab", "names", multiple=True, metavar="LAB", help="Only this lab (may be given several times)  [default: all]")
@click.option("--cluster", default="", help="Grade on this cluster  [default: a fresh embedded one for each submission]")
@click.option("--manifests-only", is_flag=True, help="Do not run what learners wrote as apply.sh or as a notebook.")
@click.option("--json", "as_json", is_flag=True, help="Also print one JSON object on standard output.")
def grade(folder: Path, out: Path, names: tuple[str, ...], cluster: str, manifests_only: bool, as_json: bool) -> None:
    """Grade what learners handed in, by behaviour: DIR/LEARNER/NN-slug/ holds a learner's files of a lab.

    A folder's apply.sh is run, else its notebook NN-slug.ipynb, else its manifests are applied; then the lab's checks. FILE.csv gets one row a
    learner and lab, with what was seen for every task. Learners' programs run as your user: grade on a machine that has nothing to lose.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from halab.course import catalog, grading, submission

    if cluster:
        require_cluster(cluster)
    labs = [catalog.find(name) for name in names] or catalog.load_all()
    found, remarks = submission.find(folder, labs)
    for remark in remarks:
        click.echo(f"passed over: {remark}", err=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), disable=as_json) as bar:
        task = bar.add_task("grading", total=len(found))

        def told(one: submission.Submission, number: int, total: int) -> None:
            bar.update(task, completed=number, total=total, description=f"{one.learner} {one.lab}")

        rows = grading.Grader(labs, cluster, not manifests_only).run(found, out, told)
        bar.update(task, completed=len(found), description="graded")
    if as_json:
        click.echo(json.dumps({"out": str(out), "rows": [row.document() for row in rows]}, indent=2))
    else:
        for row in rows:
            points = row.points if row.graded else "-"
            click.echo(f"{row.learner:<20} {row.lab:<28} {points:>3} of {row.of:<3} {row.problem[:80]}".rstrip())
        click.echo(f"{len(rows)} rows in {out}")
    if missed := [f"{row.learner}/{row.lab}" for row in rows if not row.graded]:
        fact = f"{len(missed)} of {len(rows)} submissions could not be graded: {', '.join(missed)}"
        raise CheckFailed(str(out), fact, "see their problem, and halab doctor; then run the command again")
