"""What a run of a solved notebook showed: every cell's text, every widget as it stood at the end. Kept beside the notebooks, for the site.

The solved notebooks themselves keep only the outputs that are the same in every run (nbval compares those); a reader of the site sees the rest, too.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "notebooks" / "recorded"
# Pods that the last cells stopped have their grace period; a picture with them still on their way out tells nothing.
ASK = """
import json as _json, time as _time
from halab.widgets.stills import stills as _stills
_end = _time.monotonic() + 12
while "Terminating" in str([one["text"] for one in _stills().values()]) and _time.monotonic() < _end:
    _time.sleep(0.5)
print(_json.dumps(_stills()))
"""
VIEW = "application/vnd.jupyter.widget-view+json"
LONGEST = 6000  # characters of one cell's text
COLOURS = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


def asking(book: NotebookNode) -> NotebookNode:
    """A last cell that tells the widgets' states."""
    book.cells.append(new_code_cell(ASK, id="halab-stills"))
    return book


def keep(book: NotebookNode, slug: str) -> None:
    """Take the last cell away again, and write what was shown to ``notebooks/recorded/SLUG.json``."""
    asked = book.cells.pop()
    states = json.loads("".join(output.text for output in asked.outputs if output.output_type == "stream"))
    shown = {}
    for cell in book.cells:
        if cell.cell_type == "code" and (parts := [part for one in cell.outputs if (part := _part(one, states))]):
            shown[cell["id"]] = {"of": digest(cell.source), "parts": _joined(parts)}
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{slug}.json").write_text(_neutral(json.dumps(shown, indent=1, ensure_ascii=False)) + "\n")


def read(slug: str) -> dict[str, dict[str, Any]]:
    """Cell id -> ``{"of": digest of the cell's source, "parts": [{"text"}, {"html", "text"} or {"widget", "data", "text"}]}``; empty where nothing was recorded."""
    file = FOLDER / f"{slug}.json"
    found: dict[str, dict[str, Any]] = json.loads(file.read_text()) if file.is_file() else {}
    return found


def digest(source: str) -> str:
    return hashlib.sha256(source.encode()).hexdigest()[:12]


def as_on_a_screen(text: str) -> str:
    """A carriage return goes back to the beginning of its line, and what comes then stands there instead: of a progress line the last state is left."""
    lines = text.replace("\r\n", "\n").split("\n")
    return "\n".join(next((state for state in reversed(line.split("\r")) if state), "") for line in lines)


def _part(output: NotebookNode, states: dict[str, Any]) -> dict[str, Any] | None:
    if output.output_type == "stream":
        return {"text": as_on_a_screen(COLOURS.sub("", output.text))[:LONGEST]}
    data = output.get("data", {})
    if VIEW in data:
        return states.get(data[VIEW]["model_id"])
    if "text/html" in data:
        return {"html": data["text/html"], "text": str(data.get("text/plain", ""))}
    return {"text": str(data["text/plain"])[:LONGEST] + "\n"} if "text/plain" in data else None


def _joined(parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Texts that follow each other are one."""
    found: list[dict[str, Any]] = []
    for part in parts:
        if found and part.keys() == found[-1].keys() == {"text"}:
            found[-1] = {"text": found[-1]["text"] + part["text"]}
        else:
            found.append(part)
    return found


def _neutral(text: str) -> str:
    """Places of the machine that recorded it, as a learner would have them."""
    for place, instead in (
        (os.environ.get("HALAB_HOME", ""), "~/.local/state/halab"),
        (str(ROOT), "~/halab"),
        (str(Path.home()), "~"),
    ):
        if place and place != "/":
            text = text.replace(place, instead)
    return text
