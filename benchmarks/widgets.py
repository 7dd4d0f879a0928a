"""The topology with 500 pods and 50 changes a second, as a learner has it: from the API's answer to the pixels of a real JupyterLab.

Pods are objects of a real API server (without programs: nobody could run 500 here) on nodes without agents. A process of its own changes them; the
widget in a notebook's kernel watches, and Chromium draws what comes through Jupyter's socket. Measured is

* a change: from the moment before it is sent to the API until the frame that shows it was handed over, on one clock;
* frames: by Chromium's own trace (DevTools protocol, ``Tracing``) the page's longest task, which holds up a frame, in time and in the processor time of
  its thread (what other work on the machine adds to the first is not in the second), and the longest time from one frame to the next;
* the kernel's use of a core, by its process's own account, all its threads.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.measure import Row, home
from halab.cluster.supervisor import manage

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

PODS, NODES, RATE, SECONDS = 500, 5, 50, 10
TICK = os.sysconf("SC_CLK_TCK")
CATEGORIES = ["devtools.timeline", "disabled-by-default-devtools.timeline", "__metadata"]
CELL = """
import os
from pathlib import Path
from halab.backends.access import Api
from halab.timeline.live import Live
from halab.widgets.topology import Topology
Path("kernel.pid").write_text(str(os.getpid()))
widget = Topology(Live(Api(Path(os.environ["BENCH_KUBECONFIG"]))), "bench")
widget
"""
# In the page: frames follow each other without a pause, so that a late one shows; each mark that appears in a pod is noted with the time after its frame.
WATCH = """() => {
  window.seen = {};
  const tick = () => requestAnimationFrame(tick); tick();
  let fresh = [];
  const told = new MessageChannel();
  told.port1.onmessage = (event) => { const now = performance.timeOrigin + performance.now(); for (const mark of event.data) window.seen[mark] ??= now / 1000; };
  new MutationObserver((records) => {
    for (const { target } of records) for (const word of target.querySelectorAll?.('.halab-pod-word') ?? []) note(word);
    for (const { target } of records) if (target.className === 'halab-pod-word') note(target);
  }).observe(document.querySelector('.halab-topology'), { childList: true, subtree: true });
  const note = (word) => {
    const mark = /↻([0-9]+)$/.exec(word.textContent)?.[1];
    if (!mark || mark in window.seen || fresh.includes(mark)) return;
    if (!fresh.length) requestAnimationFrame(() => { told.port2.postMessage(fresh); fresh = []; });
    fresh.push(mark);
  };
}"""


def widgets() -> list[Row]:
    from browser import JupyterLab, chromium, run_all, wait_for_idle

    with home() as folder, tempfile.TemporaryDirectory(prefix="halab-bench-lab-") as lab:
        manage.up(nodes=1, without=("controllers", "scheduler", "dataplane"))
        cluster = folder / "clusters" / "default"
        _notebook(Path(lab) / "bench.ipynb")
        environment = {"BENCH_KUBECONFIG": str(cluster / "kubeconfig"), "HALAB_HOME": str(folder)}
        with _changer(cluster) as changer, JupyterLab(Path(lab), environment) as server, chromium() as browser:
            page = browser.new_context(viewport={"width": 1400, "height": 1000}).new_page()
            page.set_default_timeout(60_000)
            page.goto(server.url("bench.ipynb"))
            page.locator(".jp-Notebook").wait_for()
            run_all(page)
            wait_for_idle(page)
            page.wait_for_function(f"document.querySelectorAll('.halab-pod').length === {PODS}")
            page.evaluate(WATCH)
            kernel = int((Path(lab) / "kernel.pid").read_text())
            with _traced(browser, page) as events:
                before = _used(kernel)
                answer = _play(changer, page)
                used = _used(kernel) - before
            page.wait_for_timeout(1000)  # the last frame; nothing announces it
            seen = {int(mark): at for mark, at in page.evaluate("window.seen").items()}
    delays = sorted(1000 * (seen[mark] - at) for mark, at in answer["sent"].items() if mark in seen)
    tasks, work, frames = _tasks(events, "dur"), _tasks(events, "tdur"), _frames(events)
    what = f"topology in JupyterLab, {PODS} pods, {RATE} changes/s"
    return [
        Row(f"{what}: a change on screen, median", delays[len(delays) // 2], "ms", None, runs=len(delays)),
        Row(f"{what}: a change on screen, p99", delays[int(len(delays) * 0.99)], "ms", 100, runs=len(delays)),
        Row(f"{what}: changes seen one by one", 100 * len(delays) / len(answer["sent"]), "%", None, better="higher"),
        Row(f"{what}: longest task of the page, processor time", max(work), "ms", 50, runs=len(work)),
        Row(f"{what}: longest task of the page", max(tasks), "ms", 50, runs=len(tasks)),
        Row(f"{what}: longest time between two frames", max(frames), "ms", 50, runs=len(frames)),
        Row(f"{what}: kernel CPU, share of a core", 100 * used / answer["took"], "%", 20),
    ]


def _notebook(file: Path) -> None:
    import nbformat

    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
    book.metadata["kernelspec"] = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    nbformat.write(book, file)


@contextmanager
def _changer(cluster: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "benchmarks.changer", str(cluster), *map(str, (PODS, NODES, RATE, SECONDS))]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None
    try:
        if process.stdout.readline().strip() != "ready":
            raise RuntimeError("the pods could not be made")
        yield process
    finally:
        process.kill()
        process.wait()


def _play(changer: subprocess.Popen[str], page: Any) -> dict[str, Any]:
    """Have the changes made; what was sent when (``sent``, by number), and how long it ``took``."""
    assert changer.stdin is not None and changer.stdout is not None
    changer.stdin.write("go\n")
    changer.stdin.flush()
    page.wait_for_timeout(1000 * SECONDS)  # Playwright takes in the trace meanwhile
    answer: dict[str, Any] = json.loads(changer.stdout.readline())
    return {"sent": {int(mark): at for mark, at in answer["sent"].items()}, "took": answer["took"]}


def _used(pid: int) -> float:
    """CPU seconds of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


@contextmanager
def _traced(browser: Any, page: Any) -> Iterator[list[dict[str, Any]]]:
    """Chromium's trace of the block."""
    events: list[dict[str, Any]] = []
    over: list[object] = []
    session = browser.new_browser_cdp_session()
    session.on("Tracing.dataCollected", lambda part: events.extend(part["value"]))
    session.on("Tracing.tracingComplete", lambda event: over.append(event))
    session.send("Tracing.start", {"transferMode": "ReportEvents", "traceConfig": {"includedCategories": CATEGORIES}})
    yield events
    session.send("Tracing.end")
    for _ in range(600):
        if over:
            break
        page.wait_for_timeout(50)


def _page_thread(events: list[dict[str, Any]]) -> tuple[int, int]:
    """(process, thread) of the page: the one that runs its animation frames."""
    return Counter((e["pid"], e["tid"]) for e in events if e["name"] == "FireAnimationFrame").most_common(1)[0][0]


def _tasks(events: list[dict[str, Any]], which: str) -> list[float]:
    """Durations of the page's tasks in ms: ``dur``, or ``tdur`` for the thread's processor time."""
    thread = _page_thread(events)
    return [e[which] / 1000 for e in events if e["name"] == "RunTask" and (e["pid"], e["tid"]) == thread and which in e]


def _frames(events: list[dict[str, Any]]) -> list[float]:
    """Times from one frame that the page begins to the next, in ms. It asks for one after the other, changed or not (``WATCH``)."""
    thread = _page_thread(events)
    begun = sorted(e["ts"] for e in events if e["name"] == "FireAnimationFrame" and (e["pid"], e["tid"]) == thread)
    return [(after - before) / 1000 for before, after in itertools.pairwise(begun)]
