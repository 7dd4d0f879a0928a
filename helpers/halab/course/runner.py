"""Run a lab's checks: load ``checks.py``, call a task's function until it passes or its time is over, keep the record.

Level tasks are looked at again whenever they are asked for; edge tasks stay done once seen. Watching (a check that completes
by itself) is ``Watcher``: it waits for changes of the lab's objects and re-runs what is open.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

from halab.backends.access import ApiError, Follow
from halab.course.catalog import Lab, Task
from halab.course.progress import Progress
from halab.course.results import Failed, Passed, Result
from halab.course.scene import Scene
from halab.errors import HalabError, UsageError
from halab.traffic.probe import reason

Check = Callable[[Scene], Result]
RETRY = 0.5  # seconds between two looks at a state that no watch announces (an answer over HTTP)
WATCHED = ("pods", "deployments", "services", "ingresses", "endpointslices")


def load_checks(lab: Lab) -> dict[str, Check]:
    """The functions of ``checks.py`` by task id; raises ``UsageError`` where a task has none."""
    file = lab.folder / "checks.py"
    module = _import(f"halab_lab_{lab.slug.replace('-', '_')}", file)
    missing = [task.id for task in lab.tasks if not callable(getattr(module, task.function, None))]
    if missing:
        raise UsageError(
            str(file), f"has no function for: {', '.join(missing)}", "one function a task, named like it with _ for -"
        )
    return {task.id: getattr(module, task.function) for task in lab.tasks}


def _import(name: str, file: Any) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None or not file.is_file():
        raise UsageError(str(file), "is missing", "every lab folder needs a checks.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def run_once(check: Check, scene: Scene) -> Result:
    """One look. What a check trips over is a Failed with what happened, never a traceback for the learner."""
    try:
        result = check(scene)
    except ApiError as error:
        return Failed(f"the API server said: {error}")
    except HalabError as error:
        return Failed(str(error))
    except (OSError, subprocess.TimeoutExpired) as error:
        return Failed(f"the cluster did not answer: {reason(error)}", "is it up? try: halab status")
    if not isinstance(result, Passed | Failed):
        raise TypeError(f"{check.__name__} returned {result!r}; a check returns Passed or Failed")
    return result


class Runner:
    """The checks of one lab on one scene."""

    def __init__(self, lab: Lab, scene: Scene, progress: Progress) -> None:
        self.lab, self.scene, self.progress = lab, scene, progress
        self.checks = load_checks(lab)
        self.last: dict[str, Result] = {}
        self._lock = threading.RLock()  # a background look and a learner's click must not act at once

    def check(self, task: Task, timeout: float | None = None, told: Callable[[Result, float], None] = lambda *_: None) -> Result:
        """Look until it passes or ``timeout`` (default: the task's) is over. Active checks run once: they wait by themselves.
        ``told`` gets each result that is not the last, and for how many seconds more it will be looked."""
        deadline = time.monotonic() + (task.timeout if timeout is None else timeout)
        with self._lock:
            while True:
                result = run_once(self.checks[task.id], self.scene)
                left = deadline - time.monotonic()
                if result or task.active or left <= 0:
                    return self._keep(task, result)
                told(result, left)
                time.sleep(min(RETRY, max(0.0, deadline - time.monotonic())))

    def _keep(self, task: Task, result: Result) -> Result:
        self.last[task.id] = result
        if isinstance(result, Passed):
            self.progress.mark_passed(task.id, result.saw)
        elif task.mode == "level":
            self.progress.mark_failed(task.id)
        return result

    def check_all(self, timeout: float | None = None) -> dict[str, Result]:
        return {task.id: self.check(task, timeout) for task in self.lab.tasks}

    def hint(self, task: Task) -> str:
        """A hint from what is the case now. Looks once; never waits."""
        result = self.last.get(task.id) if task.active else None
        if result is None:
            with self._lock:
                result = run_once(self.checks[task.id], self.scene)
        self.progress.count_hint(task.id)
        if isinstance(result, Passed):
            return f"{task.title}: this is done ({result.saw})."
        return f"{task.title}: {result.why}." + (f"\n{result.hint}" if result.hint else "")

    def open_tasks(self) -> list[Task]:
        done = self.progress.passed()
        return [task for task in self.lab.tasks if task.id not in done]


class Watcher:
    """Completes tasks by themselves: after each change of the lab's objects, once it has been quiet for ``settle`` seconds, the open
    passive tasks are looked at. ``told`` is called with (task, result) for each look."""

    def __init__(self, runner: Runner, told: Callable[[Task, Result], None], settle: float = 0.3) -> None:
        self.runner, self.told, self.settle = runner, told, settle
        self._wake, self._stop = threading.Event(), threading.Event()
        self._follow = Follow(runner.scene.api, WATCHED, self._wake.set)
        self._thread = threading.Thread(target=self._run, name=f"watch-{runner.lab.slug}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.wait()
            while not self._stop.is_set():
                self._wake.clear()
                if not self._wake.wait(self.settle):
                    break
            if self._stop.is_set():
                return
            for task in self.runner.open_tasks():
                if not task.active and not self._stop.is_set():
                    self.told(task, self.runner.check(task, timeout=0))

    def close(self) -> None:
        self._stop.set()
        self._wake.set()
        self._follow.close()
        self._thread.join(10)
