"""What a check says: ``Passed`` or ``Failed(why, hint)``. The whole vocabulary of verdicts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Passed:
    """The behaviour was seen. ``saw`` says what was seen, in one sentence."""

    saw: str

    def __bool__(self) -> bool:
        return True

    def __str__(self) -> str:
        return f"passed: {self.saw}"


@dataclass(frozen=True, slots=True)
class Failed:
    """The behaviour was not seen. ``why`` is what was observed; ``hint`` points to where to look, never to the solution."""

    why: str
    hint: str = ""

    def __bool__(self) -> bool:
        return False

    def __str__(self) -> str:
        return f"not yet: {self.why}" + (f"\nhint: {self.hint}" if self.hint else "")


Result = Passed | Failed


class NotPassed(AssertionError):
    """A graded cell whose check did not pass. The notebook shows what was seen, and no way through our code."""

    def __init__(self, title: str, result: Failed) -> None:
        self.title, self.result = title, result
        super().__init__(f"{title}: {result}")

    def _render_traceback_(self) -> list[str]:
        """What IPython shows in place of a traceback."""
        hint = [f"  hint: {self.result.hint}"] if self.result.hint else []
        return [f"✘ {self.title}", f"  not yet: {self.result.why}", *hint]
