"""A question before a failure: the learner chooses and commits; the choice is kept and cannot be changed afterwards."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import traitlets

from halab.course import predictions
from halab.course.progress import Progress
from halab.widgets.base import Widget, script, style

SHOWN: weakref.WeakSet[PredictionWidget] = weakref.WeakSet()  # those of this kernel, whichever session made them


def tell(progress: Progress, name: str, happened: int, seen: str) -> None:
    """The widgets that ask this question show what happened."""
    for widget in list(SHOWN):
        if widget.asks(progress, name):
            widget.show(happened, seen)


class PredictionWidget(Widget):
    """``chosen`` is the index of the committed option, -1 while there is none."""

    _esm = script("common.js", "prediction.js")
    _css = style("common.css", "checklist.css")
    question = traitlets.Unicode("").tag(sync=True)
    options: Any = traitlets.List().tag(sync=True)
    chosen = traitlets.Int(-1).tag(sync=True)
    happened = traitlets.Int(-1).tag(sync=True)
    seen = traitlets.Unicode("").tag(sync=True)

    def __init__(
        self,
        progress: Progress,
        prediction: predictions.Prediction,
        told: Callable[[predictions.Prediction], None] = lambda _made: None,
        **kwargs: Any,
    ) -> None:
        """``told`` is called with the prediction when it is committed."""
        chosen = -1 if prediction.chosen is None else prediction.chosen
        super().__init__(question=prediction.question, options=list(prediction.options), chosen=chosen, **kwargs)
        if prediction.happened is not None:
            self.show(prediction.happened, prediction.seen)
        SHOWN.add(self)
        self._progress, self._name, self._told = progress, prediction.name, told
        self.on_msg(self._command)

    def asks(self, progress: Progress, name: str) -> bool:
        return self._name == name and self._progress.file == progress.file

    def show(self, happened: int, seen: str) -> None:
        """What came true, beside what was predicted."""
        self.happened, self.seen = happened, seen

    def _command(self, _widget: Any, content: dict[str, Any], _buffers: Any) -> None:
        if content.get("do") == "commit" and self.chosen < 0:
            found = predictions.commit(self._progress, self._name, int(content["option"]))
            self.chosen = -1 if found.chosen is None else found.chosen
            self._told(found)

    def __repr__(self) -> str:
        came = "  <- what happened"
        lines = [
            f"({'x' if i == self.chosen else ' '}) {option}{came if i == self.happened else ''}"
            for i, option in enumerate(self.options)
        ]
        return "\n".join([self.question, *lines, *([f"observed: {self.seen}"] if self.seen else [])])
