"""Build the course as a site (``make docs``): the guides of docs/ and every solved notebook with its pictures, for reading without a network.

Writes build/site; open build/site/index.html. MkDocs with the Material theme and mkdocs-jupyter does the work; nothing is fetched when a page is read.
The outputs are those of the last ``tools/notebooks.py build --run`` (``notebooks/recorded``): texts as they were, widgets drawn by their own scripts.
"""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import yaml
from nbformat.v4 import new_output

import recorded
from halab.widgets.checklist import Checklist
from halab.widgets.faults import FaultPanel
from halab.widgets.prediction import PredictionWidget
from halab.widgets.rollout import Rollout
from halab.widgets.routes import Routes
from halab.widgets.timeline import Timeline
from halab.widgets.topology import Topology
from halab.widgets.traffic import TrafficMeter

WIDGETS: tuple[Any, ...] = (Checklist, FaultPanel, PredictionWidget, Rollout, Routes, Timeline, Topology, TrafficMeter)
MARKS = re.compile(
    r"^[ \t]*#{1,3} (?:BEGIN|END) SOLUTION[^\n]*\n?", re.MULTILINE
)  # of the learner's copy, where this is left out
ROW = re.compile(r"^\| (\d\d [a-z ]+?) \|", re.MULTILINE)  # of README's table of notebooks, which are pages here
# Words for whoever does not see the picture, or has no scripts.
STILL = """<figure class="halab-still"><div data-halab-still="%(name)s"></div>
<figcaption>As it stood at the end of this run; in the course it is live.</figcaption>
<details><summary>in words</summary><pre>%(text)s</pre></details></figure>"""
STYLE = """
.md-typeset .halab-still { margin: 0.5em 0; width: 100%; max-width: none; text-align: left; display: block; }
.halab-still figcaption { font-size: 0.75em; margin: 0.3em 0; max-width: none; font-style: normal; opacity: 0.75; }
.md-typeset .halab-still details { font-size: 0.75em; margin: 0; padding: 0; border: 0; box-shadow: none; background: none; }
.md-typeset .halab-still summary { padding: 0; margin: 0; min-height: 0; text-align: left; font-weight: normal; opacity: 0.75; background: none; }
.md-typeset .halab-still summary::before, .md-typeset .halab-still summary::after { display: none; }
.jupyter-wrapper .jp-InputPrompt, .jupyter-wrapper .jp-OutputPrompt { display: none !important; }
.md-typeset a:not(.headerlink):not(.md-button) { text-decoration: underline; }
/* The colours of numbers, operators and comments, with enough contrast to their grounds. */
.jupyter-wrapper {
  --jp-mirror-editor-number-color: #007000 !important;
  --jp-mirror-editor-operator-color: #9400e8 !important;
  --jp-mirror-editor-comment-color: #2b6a6a !important;
}
[data-md-color-scheme="slate"] .jupyter-wrapper {
  --jp-mirror-editor-number-color: #66bb6a !important;
  --jp-mirror-editor-operator-color: #d58aff !important;
  --jp-mirror-editor-comment-color: #7fb8b8 !important;
}
.md-footer-meta .md-copyright { color: var(--md-footer-fg-color--light); }
.jupyter-wrapper .jp-OutputArea-output pre { white-space: pre !important; overflow-x: auto; word-break: normal !important; }
"""
TOGGLES = (
    {"icon": "material/weather-night", "name": "Dark colours"},
    {"icon": "material/weather-sunny", "name": "Light colours"},
)
ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "build"


def assemble(folder: Path) -> list[dict[str, object]]:
    """Copy what the site is made of into ``folder``; the navigation."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / "docs", folder)
    for source, name in (
        ("README.md", "index.md"),
        ("ARCHITECTURE.md", "architecture.md"),
        ("CONTRIBUTING.md", "contributing.md"),
    ):
        text = (
            (ROOT / source)
            .read_text()
            .replace("ARCHITECTURE.md", "architecture.md")
            .replace("CONTRIBUTING.md", "contributing.md")
            .replace("](docs/", "](")  # these pages and docs/ are one folder here
        )
        text = ROW.sub(lambda row: f"| [{row[1]}](course/{row[1].replace(' ', '-')}.ipynb) |", text)
        (folder / name).write_text(text.replace("[CHANGELOG.md](CHANGELOG.md)", "CHANGELOG.md"))
    (folder / "course").mkdir()
    course: list[dict[str, str]] = []
    (folder / "stills").mkdir()
    drawn: set[str] = set()
    for book in sorted((ROOT / "notebooks" / "solved").glob("[0-9][0-9]-*.ipynb")):
        drawn |= with_what_was_shown(book, folder)
        course.append({book.stem.replace("-", " "): f"course/{book.name}"})
    draw(drawn, folder / "stills")
    guides = [{page.stem.replace("-", " "): page.name} for page in sorted((ROOT / "docs").glob("*.md"))]
    return [
        {"Start": "index.md"},
        {"Course": course},
        {"Guides": guides},
        {"Architecture": "architecture.md"},
        {"Contributing": "contributing.md"},
    ]


def with_what_was_shown(book: Path, folder: Path) -> set[str]:
    """Write a notebook's page with the outputs of its last run; the widgets that it needs."""
    content, shown = nbformat.read(book, as_version=4), recorded.read(book.stem)
    stills: dict[str, Any] = {}
    for cell in content.cells:
        cell.metadata.pop("tags", None)
        seen = shown.get(cell["id"])
        if cell.cell_type != "code" or seen is None or seen["of"] != recorded.digest(cell.source):
            continue
        cell.outputs = []
        for part in seen["parts"]:
            if "html" in part:
                cell.outputs.append(new_output("display_data", {"text/html": part["html"]}))
                continue
            if "widget" not in part:
                cell.outputs.append(new_output("stream", name="stdout", text=part["text"]))
                continue
            name = f"{cell['id']}-{len(stills)}"
            stills[name] = part
            cell.outputs.append(
                new_output("display_data", {"text/html": STILL % {"name": name, "text": html.escape(part["text"])}})
            )
    if stills:
        first = next(cell for cell in content.cells if cell.cell_type == "markdown")
        first.source += f'\n\n<script src="../stills/{book.stem}.js"></script>'
        data = json.dumps({name: {"widget": part["widget"], "data": part["data"]} for name, part in stills.items()})
        (folder / "stills" / f"{book.stem}.js").write_text(f"window.halabStills = {data};\n")
    for cell in content.cells:
        cell.source = MARKS.sub("", cell.source)
    nbformat.write(content, folder / "course" / book.name)
    return {part["widget"] for part in stills.values()}


def draw(names: set[str], folder: Path) -> None:
    """The scripts and styles that draw these widgets. Classic scripts: a page that is opened from the disk may not load modules."""
    known = {one.__name__: one for one in WIDGETS}
    code = [
        f"window.halabWidgets ??= {{}}; window.halabWidgets.{name} = (() => {{ {plain(known[name])}\n return render; }})();"
        for name in sorted(names)
    ]
    (folder / "widgets.js").write_text("\n".join([*code, (ROOT / "tools" / "stills.js").read_text()]))
    shutil.copy(ROOT / "tools" / "iframe-worker.js", folder)
    styles = dict.fromkeys(known[name]._css for name in sorted(names))
    (folder / "widgets.css").write_text("\n".join([*styles, STYLE]))


def plain(widget: Any) -> str:
    return str(widget._esm).replace("export default { render };", "")


def settings_for(folder: Path, nav: list[dict[str, object]]) -> dict[str, Any]:
    """What MkDocs is told. No page asks the network for anything."""
    return {
        "site_name": "halab",
        "docs_dir": str(folder),
        "site_dir": str(OUT / "site"),
        "use_directory_urls": False,  # pages open from the disk
        "theme": {
            "name": "material",
            "font": False,  # the reader's own fonts: nothing is fetched
            "features": ["navigation.footer", "navigation.top", "toc.integrate"],  # the lines of a terminal need the width
            "palette": [
                {"media": "(prefers-color-scheme: light)", "scheme": "default", "toggle": TOGGLES[0]},
                {"media": "(prefers-color-scheme: dark)", "scheme": "slate", "toggle": TOGGLES[1]},
            ],
        },
        "plugins": [
            "search",
            "offline",  # the search of a page that was opened from the disk
            {"mkdocs-jupyter": {"include": ["course/*.ipynb"], "execute": False, "include_requirejs": False}},
        ],
        "extra": {"polyfills": ["stills/iframe-worker.js"]},
        "extra_javascript": ["stills/widgets.js"],
        "extra_css": ["stills/widgets.css"],
        "markdown_extensions": ["tables", "admonition"],
        "nav": nav,
    }


def main() -> int:
    folder = OUT / "docs"
    settings = settings_for(folder, assemble(folder))
    config = OUT / "mkdocs.yml"
    config.write_text(yaml.safe_dump(settings, sort_keys=False))
    quiet = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--config-file", str(config)], env=quiet, check=False
    )
    if done.returncode == 0:
        print(f"{OUT.relative_to(ROOT)}/site/index.html", file=sys.stderr)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
