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
