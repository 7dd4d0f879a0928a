"""The lab's tasks as a list that completes by itself, with hints, and a button for checks that act on the cluster."""

from __future__ import annotations

import threading
from typing import Any

import traitlets

from halab.backends.access import ApiError
from halab.course.catalog import Task
from halab.course.results import Passed, Result
from halab.course.runner import Runner, Watcher
from halab.errors import HalabError
from halab.widgets.base import Widget, script, style


class Checklist(Widget):
    """``tasks`` is a list of ``{id, title, done, active, busy, text}``; ``text`` is what was seen, or the hint that was asked for."""

    _esm = script("common.js", "checklist.js")
    _css = style("common.css", "checklist.css")
    title = traitlets.Unicode("").tag(sync=True)
    tasks: Any = traitlets.List().tag(sync=True)
    said = traitlets.Unicode("").tag(sync=True)

    def __init__(self, runner: Runner, **kwargs: Any) -> None:
        super().__init__(title=f"{runner.lab.number} · {runner.lab.title}", **kwargs)
        self._runner = runner
        self._lock = threading.Lock()
        self._texts: dict[str, str] = {}
        self._busy: set[str] = set()
        self._show()
        self.on_msg(self._command)
        self._watcher = Watcher(runner, self._told)

    def _show(self) -> None:
        passed = self._runner.progress.passed()
        self.tasks = [
            {
                "id": task.id,
                "title": task.title,
                "done": task.id in passed,
                "active": task.active,
                "busy": task.id in self._busy,
                "text": passed.get(task.id, {}).get("saw", "") or self._texts.get(task.id, ""),
            }
            for task in self._runner.lab.tasks
        ]

    def _told(self, task: Task, result: Result) -> None:
        with self._lock:
            if isinstance(result, Passed):
                self.said = f"done: {task.title}"
            self._show()

    def _command(self, _widget: Any, content: dict[str, Any], _buffers: Any) -> None:
        task = self._runner.lab.task(str(content.get("task")))
        if content.get("do") in ("check", "hint") and task.id not in self._busy:
            # Checks wait; the kernel must stay free meanwhile.
            threading.Thread(target=self._work, args=(str(content["do"]), task), daemon=True).start()

    def _work(self, verb: str, task: Task) -> None:
        with self._lock:
            self._busy.add(task.id)
            self._show()
        text = ""
        try:
            if verb == "check":
                result = self._runner.check(task, None if task.active else 0)
                text = str(result)
                self.said = f"{'done' if result else 'not yet'}: {task.title}"
            else:
                text = self._runner.hint(task)
                self.said = text
        except (HalabError, ApiError, OSError, TimeoutError) as error:
            text = str(error)
            self.said = f"could not look: {text}"
        finally:
            with self._lock:
                self._texts[task.id] = text
                self._busy.discard(task.id)
                self._show()

    def close(self) -> None:
        self._watcher.close()
        super().close()

    def __repr__(self) -> str:
        return "\n".join(f"[{'x' if task['done'] else ' '}] {task['title']}" for task in self.tasks)
