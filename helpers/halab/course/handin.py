"""Play one submission on a cluster and check it: a process of its own (``python -m halab.course.handin``), so that whatever a learner's files
do, they do it to this process and not to the grader.

The lab's own scene, the learner's files over the lab's starting files, then the learner's way to bring them in, the first of these that is there:

===============  =======================================================================================
``apply.sh``     what the learner typed, as a script; run in the folder
``NN-slug.ipynb``  the learner's notebook: its cells in order; a check's cell does nothing but check, and what it sees there counts
neither          every manifest of the folder is applied, each on its own: one that is refused does not keep the others out
===============  =======================================================================================

Then every task's check. Prints one JSON object a line: ``{"ready": true}`` when the scene is laid and the learner's part begins, ``{"problem": ...}``, ``{"task": ..., "passed": ..., "message": ...}``; what was printed before a
time limit counts.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import yaml

from halab import backends
from halab.course import catalog, stage
from halab.course.progress import progress_of
from halab.course.runner import Runner
from halab.course.scene import Scene
from halab.course.submission import LEFT_OUT, SCRIPT
from halab.errors import ClusterError, HalabError
from halab.settings import halab_home

SCRIPT_TIMEOUT, APPLY_TIMEOUT, CELL_TIMEOUT, CHECK_TIMEOUT = 180, 30, 60, 180  # seconds
EXPECTS = re.compile(r"lab\.expect\([\"']([a-z0-9-]+)[\"']\)")
SETTLE = 5.0  # seconds that a task may take at least: the check before it may have broken something on purpose
SPARE = 60.0  # seconds that a check may take beyond its task's time-out
LONGEST_FILE = 1 << 21  # blocks of 512 bytes, of any file that a script may write
PRINTED = 4 << 20  # characters of a notebook's outputs that are kept: one that prints without end must not fill the memory
TAIL = 8192  # bytes of what a program printed that are looked at
SAID = 300  # characters of what a program said, at most


def main() -> None:
    """Arguments: the lab, the submission's folder, and ``manifests`` where nothing of the learner's may be run here, else ``all``."""
    slug, folder, what = sys.argv[1:]
    lab = catalog.find(slug)
    backend = backends.connect()
    scene = stage.open_stage(lab, backend, lambda _text: None)
    stage.reset(lab, scene)
    progress = progress_of(halab_home(), backend.summary().name, lab.slug)
    progress.clear()
    say({"ready": True})
    shutil.copytree(folder, scene.files, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*LEFT_OUT))
    try:
        for problem in play(lab, scene, scripts=what == "all"):
            say({"problem": problem[:SAID]})
    except Exception as error:  # whatever a stranger's file makes a parser do, the checks still say what users get
        say({"problem": f"{type(error).__name__}: {error}"[:SAID]})
    seen = progress.passed()  # by a notebook's own check cells, where the notebook goes on to break what it has made
    runner, played = Runner(lab, scene, progress), time.monotonic()
    for task in lab.tasks:
        if task.id in seen:
            say({"task": task.id, "passed": True, "message": f"passed: {seen[task.id]['saw']}"})
            continue
        waited = time.monotonic() - played  # what has not come right while other tasks were waited for will not
        try:
            with at_most(task.timeout + SPARE):
                result = runner.check(task, max(SETTLE, task.timeout - waited))
            say({"task": task.id, "passed": bool(result), "message": str(result)})
        except Exception as error:  # a check that imports the learner's program may raise anything
            say({"task": task.id, "passed": False, "message": f"the check ended with {type(error).__name__}: {error}"[:SAID]})


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """A learner's program that a check imports may never come back; it is interrupted, and the other tasks are still looked at."""

    def over(_number: int, _frame: object) -> None:
        raise TimeoutError(f"it did not end within {seconds:.0f} s")

    signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def say(row: dict[str, Any]) -> None:
    print(json.dumps(row), flush=True)


def play(lab: catalog.Lab, scene: Scene, *, scripts: bool) -> Iterator[str]:
    """Bring the learner's files in; yields what went wrong on the way."""
    book = scene.files / f"{lab.slug}.ipynb"
    if (scene.files / SCRIPT).is_file():
        if scripts:
            yield from _script(scene)
            return
        yield f"{SCRIPT} was not run, as asked for"
    elif book.is_file():
        if scripts:
            yield from _notebook(book, scene)
            return
        yield f"{book.name} was not run, as asked for"
    yield from _manifests(scene)


def _script(scene: Scene) -> Iterator[str]:
    """The script's own end is waited for, not that of what it left in the background: that goes on beside the checks, as beside a learner.

    Its output goes to files: a pipe would end only with the last program that has it.
    """
    with tempfile.TemporaryFile("w+", errors="replace") as out, tempfile.TemporaryFile("w+", errors="replace") as trouble:
        script = subprocess.Popen(
            ["sh", "-c", f"ulimit -f {LONGEST_FILE}; exec sh {SCRIPT}"],  # of what it prints, too
            env=scene.environment,
            cwd=scene.files,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=trouble,
            start_new_session=True,
        )
        try:
            status = script.wait(SCRIPT_TIMEOUT)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(script.pid, signal.SIGKILL)
            script.wait()
            yield f"{SCRIPT}: did not end within {SCRIPT_TIMEOUT} s"
            return
        if status:
            yield f"{SCRIPT}: exit status {status}: {_last(_end(trouble) or _end(out))}"


def _end(file: IO[str]) -> str:
    """The last few thousand characters of what a program printed, however much that was."""
    file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL))
    return file.read()


def _notebook(book: Path, scene: Scene) -> Iterator[str]:
    """The learner's cells, but for the checks (they are run afterwards, from this course's own files)."""
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellTimeoutError, DeadKernelError

    class Listener(NotebookClient):
        printed = 0

        def process_message(self, msg: dict[str, Any], cell: Any, cell_index: int) -> Any:
            if msg["msg_type"] in ("stream", "display_data", "execute_result"):
                self.printed += sum(len(str(part)) for part in msg["content"].values())
                if self.printed > PRINTED:
                    return None
            return super().process_message(msg, cell, cell_index)

    try:
        content = nbformat.reads(book.read_text(errors="replace"), as_version=4)
        nbformat.validate(content)
    except (ValueError, nbformat.ValidationError, AttributeError, KeyError, TypeError) as error:
        yield f"{book.name}: is no notebook: {_last(str(error))}"
        return
    content.cells = [cell for cell in content.cells if cell.cell_type == "code" and _is_meant(cell)]
    client = Listener(
        content,
        timeout_func=lambda cell: CHECK_TIMEOUT if _is_graded(cell) else CELL_TIMEOUT,
        interrupt_on_timeout=True,
        kernel_name="python3",
        allow_errors=True,
        extra_arguments=["--log-level=ERROR"],
        resources={"metadata": {"path": str(scene.files)}},
    )
    try:
        client.execute()
    except (CellTimeoutError, DeadKernelError) as error:
        yield f"{book.name}: {_last(str(error))}"
    for cell in content.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "error" and not _is_graded(cell):
                said = _last(str(output.evalue)) if output.evalue else ""
                late = f"was stopped: it did not end within {CELL_TIMEOUT} s" if output.ename == "KeyboardInterrupt" else ""
                yield f"{book.name}: cell {cell.get('id', '?')}: " + (late or f"{output.ename}: {said}".removesuffix(": "))


def _is_graded(cell: Any) -> bool:
    return bool(cell.metadata.get("nbgrader", {}).get("grade"))


def _is_meant(cell: Any) -> bool:
    """Of a graded cell only the check is run, whatever else has been written into it."""
    if not _is_graded(cell):
        return True
    found = EXPECTS.search(cell.source)
    cell.source = f"lab.expect({found[1]!r})" if found else ""
    return found is not None


def _manifests(scene: Scene) -> Iterator[str]:
    files = sorted(path for path in scene.files.rglob("*") if path.suffix in (".yaml", ".yml", ".json") and path.is_file())
    kinds: set[str] = set()
    for path in files:
        name = str(path.relative_to(scene.files))
        try:
            documents = [one for one in yaml.safe_load_all(path.read_text()) if one is not None]
        except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
            yield f"{name}: is not YAML: {' '.join(str(error).split())[:SAID]}"
            continue
        if not documents or not all(isinstance(one, dict) and "apiVersion" in one and "kind" in one for one in documents):
            continue  # a proxy's or a program's own file
        kinds = kinds or _namespaced(scene)
        if beyond := sorted({str(one["kind"]) for one in documents} - kinds):
            yield f"{name}: {', '.join(beyond)}: only objects of the lab's namespace are applied"
            continue
        try:
            done = scene.kubectl("apply", "-n", scene.namespace, "-f", str(path), timeout=APPLY_TIMEOUT)
        except ClusterError as error:
            yield f"{name}: {error.subject} {error.fact}"
            continue
        if done.returncode:
            yield f"{name}: {_last(done.stderr)}"


def _namespaced(scene: Scene) -> set[str]:
    """The kinds that live in a namespace. The others belong to the cluster, which the next learner's work is graded on."""
    done = scene.kubectl("api-resources", "--namespaced=true", "--no-headers")
    return {line.split()[-1] for line in done.stdout.splitlines() if line.strip()} | {"List"}


def _last(text: str) -> str:
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "said nothing")


if __name__ == "__main__":
    try:
        main()
    except HalabError as broken:
        say({"problem": str(broken)})
        sys.exit(broken.exit_status)
