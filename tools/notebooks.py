"""Build the notebooks from their one source: ``notebooks/src/NN_slug.py`` -> ``notebooks/NN-slug.ipynb`` and ``notebooks/solved/``.

    python tools/notebooks.py build [NN ...] [--run]     write the notebooks; --run executes the solved ones and keeps their outputs
    python tools/notebooks.py verify                     fail if a notebook is not what its source makes (outputs aside)

Authors write the solved course in jupytext's py:percent format. Every cell carries ``id="..."``; exercise cells carry ``role=``:

=========  ===========================================================================================
answer     the learner's own work; what stands between ``### BEGIN SOLUTION`` and ``### END SOLUTION`` is left out of the learner's copy
check      an automatic check with ``points=``; between ``### BEGIN HIDDEN TESTS`` and ``### END HIDDEN TESTS`` hidden from the learner
manual     a free answer that a person grades, with ``points=``
given      shown and locked
=========  ===========================================================================================

The body of a ``%%writefile`` cell (and of any other cell magic) is written as comments. Roles become nbgrader metadata (schema version 3). Learner notebooks have no outputs; solved ones keep text outputs on cells tagged
``nbval-check-output``, which nbval compares.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbformat import NotebookNode

import recorded

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "notebooks" / "src"
SOLUTION = re.compile(r"^(?P<indent>[ \t]*)#{1,3} BEGIN SOLUTION.*?^[ \t]*#{1,3} END SOLUTION[^\n]*$", re.MULTILINE | re.DOTALL)
HIDDEN = re.compile(r"^[ \t]*### BEGIN HIDDEN TESTS.*?^[ \t]*### END HIDDEN TESTS[^\n]*\n?", re.MULTILINE | re.DOTALL)
YOUR_TURN = "# your turn"
ROLES = {
    "answer": {"grade": False, "solution": True, "locked": False},
    "check": {"grade": True, "solution": False, "locked": True},
    "manual": {"grade": True, "solution": True, "locked": False},
    "given": {"grade": False, "solution": False, "locked": True},
}
KERNEL = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
RUN = 1  # the execution count of cells whose outputs are kept: nbval compares only cells that were run
CELL_TIMEOUT = 180  # seconds, when executing


class SourceError(Exception):
    """A source file breaks a rule; all faults are in the message."""


def slug_of(source: Path) -> str:
    """``02_deploy.py`` -> ``02-deploy``."""
    return source.stem.replace("_", "-")


def solved(source: Path) -> NotebookNode:
    """The solved notebook of a source: ids and nbgrader metadata in place, no outputs."""
    book: NotebookNode = jupytext.reads(source.read_text(), fmt="py:percent")
    faults: list[str] = []
    seen: set[str] = set()
    for number, cell in enumerate(book.cells, 1):
        given = dict(cell.metadata)
        name = str(given.pop("id", ""))
        where = f"{source.name}: cell {number} ({cell.source.strip().splitlines()[0][:40] if cell.source.strip() else 'empty'})"
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,63}", name):
            faults.append(f'{where}: needs id="lower-case-words"')
        elif name in seen:
            faults.append(f"{where}: id {name!r} is used twice")
        seen.add(name)
        role, points = given.pop("role", None), given.pop("points", None)
        cell["id"] = name
        cell.metadata = NotebookNode({key: given[key] for key in ("tags",) if key in given})
        faults += [f"{where}: unknown metadata {key}" for key in given if key not in ("tags", "lines_to_next_cell")]
        if role is not None:
            if role not in ROLES:
                faults.append(f"{where}: unknown role {role!r}; roles: {', '.join(ROLES)}")
                continue
            cell.metadata["nbgrader"] = _nbgrader(slug_of(source), name, role, points, cell.cell_type)
        if ROLES.get(role or "", {}).get("grade") and points is None:
            faults.append(f"{where}: role {role} needs points=")
        if cell.cell_type == "code":
            cell.source = magic_body(cell.source)
            cell.execution_count, cell.outputs = None, []
    if faults:
        raise SourceError("\n".join(faults))
    book.metadata = NotebookNode(KERNEL)
    book.nbformat, book.nbformat_minor = 4, 5
    nbformat.validate(book)
    return book


def magic_body(source: str) -> str:
    """A cell of ``%%writefile`` or the like: its body stands in comments in the source, which stays valid Python, and as it is in the notebook."""
    first, newline, rest = source.partition("\n")
    if not first.startswith("%%"):
        return source
    return first + newline + "\n".join(re.sub(r"^# ?", "", line) for line in rest.split("\n"))


def _nbgrader(slug: str, name: str, role: str, points: Any, cell_type: str) -> dict[str, Any]:
    data: dict[str, Any] = {
        "schema_version": 3,
        "grade_id": f"{slug[:2]}-{name}",
        "cell_type": cell_type,
        "task": False,
        **ROLES[role],
    }
    if ROLES[role]["grade"]:
        data["points"] = points
    return data


def learner(book: NotebookNode) -> NotebookNode:
    """The learner's copy: solutions and hidden tests taken out, no outputs."""
    copy: NotebookNode = nbformat.from_dict(book)
    for cell in copy.cells:
        if "lab.predict(" in cell.source:  # chosen in the picture below the cell, not in its code
            cell.source = re.sub(SOLUTION.pattern + r"\n", "", cell.source, flags=SOLUTION.flags)
        cell.source = SOLUTION.sub(lambda m: m["indent"] + YOUR_TURN, cell.source)
        cell.source = HIDDEN.sub("", cell.source).rstrip("\n")
        if cell.cell_type == "code":
            cell.execution_count, cell.outputs = None, []
            tags = [tag for tag in cell.metadata.get("tags", []) if not tag.startswith("nbval")]
            cell.metadata.pop("tags", None)
            if tags:
                cell.metadata["tags"] = tags
    return copy


def execute(book: NotebookNode, slug: str) -> NotebookNode:
    """Run a solved notebook on the cluster, from its lab's beginning, and keep the text outputs of the cells that nbval compares."""
    from nbclient import NotebookClient

    from halab.course import stage
    from halab.session import open_lab

    session = open_lab(slug, quiet=True)
    session.reset(quiet=True)
    NotebookClient(
        recorded.asking(book),
        timeout=CELL_TIMEOUT,
        kernel_name="python3",
        extra_arguments=["--log-level=ERROR"],
        resources={"metadata": {"path": str(ROOT / "notebooks" / "solved")}},
    ).execute()
    recorded.keep(book, slug)
    stage.leave(session.definition, session.scene)
    book.metadata = NotebookNode(KERNEL)  # without the widgets' states, which the run has put there
    for cell in book.cells:
        if cell.cell_type != "code":
            continue
        cell.metadata.pop("execution", None)
        cell.outputs = _text_only(cell.outputs) if "nbval-check-output" in cell.metadata.get("tags", []) else []
        cell.execution_count = RUN if cell.outputs else None
    return book


def _text_only(outputs: list[NotebookNode]) -> list[NotebookNode]:
    kept: list[NotebookNode] = []
    for output in outputs:
        if output.output_type == "stream" and kept and kept[-1].output_type == "stream" and kept[-1].name == output.name:
            kept[-1].text += output.text
        elif output.output_type == "stream":
            kept.append(output)
        elif "data" in output and "text/plain" in output.data:
            output.data = NotebookNode({"text/plain": output.data["text/plain"]})
            if "execution_count" in output:
                output.execution_count = RUN
            kept.append(output)
    return kept


def targets(source: Path) -> tuple[Path, Path]:
    """Where the learner's and the solved notebook of ``source`` stand."""
    name = f"{slug_of(source)}.ipynb"
    return ROOT / "notebooks" / name, ROOT / "notebooks" / "solved" / name


def with_outputs_of(book: NotebookNode, file: Path) -> NotebookNode:
    """``book`` with the outputs that ``file`` holds for cells whose source is the same (building without running keeps them)."""
    if not file.exists():
        return book
    old = {cell["id"]: cell for cell in nbformat.read(file, as_version=4).cells}
    for cell in book.cells:
        before = old.get(cell["id"])
        if cell.cell_type == "code" and before is not None and before.source == cell.source and before.cell_type == "code":
            cell.outputs, cell.execution_count = before.outputs, RUN if before.outputs else None
    return book


def text(book: NotebookNode) -> str:
    return str(nbformat.writes(book, indent=1)).rstrip("\n") + "\n"


def build(source: Path, run: bool) -> None:
    for_learner, for_instructor = targets(source)
    for_instructor.parent.mkdir(exist_ok=True)
    book = solved(source)
    for_learner.write_text(text(learner(book)))
    book = execute(book, slug_of(source)) if run else with_outputs_of(book, for_instructor)
    for_instructor.write_text(text(book))
    print(f"{for_learner.relative_to(ROOT)} and {for_instructor.relative_to(ROOT)}", file=sys.stderr)


def verify(source: Path) -> list[str]:
    """What is not current; empty when all is."""
    for_learner, for_instructor = targets(source)
    book = solved(source)
    stale = []
    if not for_learner.exists() or for_learner.read_text() != text(learner(book)):
        stale.append(f"{for_learner.relative_to(ROOT)} is not what {source.relative_to(ROOT)} makes; run: make build")
    if not for_instructor.exists() or for_instructor.read_text() != text(with_outputs_of(book, for_instructor)):
        stale.append(f"{for_instructor.relative_to(ROOT)} is not what {source.relative_to(ROOT)} makes; run: make build")
    if unseen := never_run(with_outputs_of(book, for_instructor)):
        number = slug_of(source)[:2]
        stale.append(
            f"nbval cannot compare {', '.join(unseen)} of {for_instructor.relative_to(ROOT)}; run: python tools/notebooks.py build {number} --run"
        )
    return stale


def never_run(book: NotebookNode) -> list[str]:
    """Cells whose outputs nbval is to compare, and of which there are none (it passes such cells without a word)."""
    return [
        cell["id"]
        for cell in book.cells
        if "nbval-check-output" in cell.metadata.get("tags", []) and cell.execution_count is None
    ]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("build", "verify"))
    parser.add_argument("numbers", nargs="*", metavar="NN", help="only these (default: all)")
    parser.add_argument(
        "--run",
        action="store_true",
        help="with build: execute the solved notebooks and keep their outputs (those of the site too)",
    )
    options = parser.parse_args(arguments)
    sources = [p for p in sorted(SOURCE.glob("[0-9][0-9]_*.py")) if not options.numbers or p.stem[:2] in options.numbers]
    try:
        if options.action == "build":
            for source in sources:
                build(source, options.run)
            return 0
        known = {target.name for source in SOURCE.glob("[0-9][0-9]_*.py") for target in targets(source)}
        folders = (ROOT / "notebooks", ROOT / "notebooks" / "solved")
        stale = [
            f"{p.relative_to(ROOT)} has no source; delete it" for f in folders for p in f.glob("*.ipynb") if p.name not in known
        ]
        stale += [problem for source in sources for problem in verify(source)]
    except SourceError as error:
        print(error, file=sys.stderr)
        return 1
    for problem in stale:
        print(problem, file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
