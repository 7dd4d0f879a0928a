"""A row of the fidelity table as a mark in a notebook: text and a shape first, colour only beside them, readable by a screen reader."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from halab.fidelity import SIGNS, Level, find

COLOURS = {Level.REAL: "#1a7f37", Level.SIMULATED: "#0550ae", Level.NOT_ENFORCED: "#9a6700", Level.ABSENT: "#a40e26"}
"""Each at least 4.5:1 on white."""


@dataclass(frozen=True, slots=True)
class Badge:
    """``text`` is all of it; the HTML says the same. The details open by keyboard and by pointer, without a script."""

    what: str
    level: Level
    difference: str
    link: str

    @property
    def text(self) -> str:
        return f"{SIGNS[self.level]} {self.what}: {self.level} here" + (f". {self.difference}" if self.difference else "")

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        colour = COLOURS[self.level]
        mark = (
            f'<span style="background:#fff;color:{colour};border:1px solid {colour};border-radius:4px;padding:1px 6px">'
            f'<span aria-hidden="true">{SIGNS[self.level]}</span> {escape(self.what)}: {self.level} here</span>'
        )
        if not self.difference:
            return mark
        link = f' <a href="{escape(self.link)}">The real thing</a>' if self.link else ""
        return f"<details><summary>{mark}</summary><p>{escape(self.difference)}{link}</p></details>"


def badge(what: str, *, embedded: bool = True) -> Badge:
    """The badge of one row. On another backend than the embedded one everything is Kubernetes' own."""
    row = find(what)
    if not embedded:
        return Badge(row.what, Level.REAL, "", row.link)
    return Badge(row.what, row.level, row.difference, row.link)


class Badges(tuple[Badge, ...]):
    """Several badges in one output of a notebook."""

    def __repr__(self) -> str:
        return "\n".join(map(repr, self))

    def _repr_html_(self) -> str:
        return "".join(f"<div>{one._repr_html_()}</div>" for one in self)
