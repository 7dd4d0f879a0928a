"""A question before a failure: the learner chooses and commits; the choice is kept and cannot be changed afterwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import traitlets

from halab.course import predictions
from halab.course.progress import Progress
from halab.widgets.base import Widget, script, style


class PredictionWidget(Widget):
    """``chosen`` is the index of the committed option, -1 while there is none."""

    _esm = script("common.js", "prediction.js")
    _css = style("common.css", "checklist.css")
    question = traitlets.Unicode("").tag(sync=True)
    options: Any = traitlets.List().tag(sync=True)
    chosen = traitlets.Int(-1).tag(sync=True)

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
        self._progress, self._name, self._told = progress, prediction.name, told
        self.on_msg(self._command)

    def _command(self, _widget: Any, content: dict[str, Any], _buffers: Any) -> None:
        if content.get("do") == "commit" and self.chosen < 0:
            found = predictions.commit(self._progress, self._name, int(content["option"]))
            self.chosen = -1 if found.chosen is None else found.chosen
            self._told(found)

    def __repr__(self) -> str:
        lines = [f"({'x' if i == self.chosen else ' '}) {option}" for i, option in enumerate(self.options)]
        return "\n".join([self.question, *lines])
