"""A row of the fidelity table as a mark in a notebook: text and a shape first, colour only beside them, readable by a screen reader."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from halab.fidelity import SIGNS, Level, find

COLOURS = {Level.REAL: "#2da44e", Level.SIMULATED: "#2f81f7", Level.NOT_ENFORCED: "#b58400", Level.ABSENT: "#e5534b"}
"""Each at least 3:1 on white and on JupyterLab's dark ground; the words have the colour of the text around them."""


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
            f'<span style="display:inline-block;margin:2px 0;border:1px solid {colour};border-left-width:6px;border-radius:4px;padding:1px 8px">'
            f'<span aria-hidden="true">{SIGNS[self.level]}</span> <b>{escape(self.what)}</b>: {self.level} here</span>'
        )
        if not self.difference:
            return mark
        link = f' <a href="{escape(self.link)}">The real thing</a>' if self.link else ""
        return (
            f'<details><summary style="cursor:pointer">{mark}</summary>'
            f'<p style="margin:2px 0 8px 1.4em;max-width:80ch">{escape(self.difference)}{link}</p></details>'
        )


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
