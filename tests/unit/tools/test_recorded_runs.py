"""What a run of a notebook showed: kept without the machine that showed it, and set into the site where the cell is still the same."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output, writes

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "tools"))

import docs
import recorded

STILL = {"widget": "Topology", "data": {"state": {"seq": 1, "picture": {}}}, "text": "node-1"}


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(recorded, "FOLDER", tmp_path)
    monkeypatch.setenv("HALAB_HOME", str(tmp_path / "home"))
    return tmp_path / "02-deploy.json"


def played(*outputs: NotebookNode) -> NotebookNode:
    """A notebook with one cell that showed ``outputs``, and the last cell's answer."""
    cell = new_code_cell("!kubectl get pods", id="pods")
    cell.outputs = list(outputs)
    book = recorded.asking(new_notebook(cells=[new_markdown_cell("# Lab", id="title"), cell]))
    book.cells[-1].outputs = [new_output("stream", text=json.dumps({"m1": STILL}))]
    return book


def view(model: str) -> NotebookNode:
    return new_output("display_data", {recorded.VIEW: {"model_id": model}, "text/plain": "Topology()"})


def test_texts_that_follow_each_other_are_one_and_a_widget_is_its_state(kept: Path) -> None:
    book = played(new_output("stream", text="a\n"), new_output("stream", text="\x1b[31mb\x1b[0m\n"), view("m1"))
    recorded.keep(book, "02-deploy")
    assert recorded.read("02-deploy")["pods"]["parts"] == [{"text": "a\nb\n"}, STILL]
    assert [cell["id"] for cell in book.cells] == ["title", "pods"], "the cell that asked is gone again"


def test_places_of_the_machine_are_named_as_a_learner_has_them(kept: Path) -> None:
    shown = f"{kept.parent}/home/labs and {recorded.ROOT}/work"
    recorded.keep(played(new_output("stream", text=shown)), "02-deploy")
    assert recorded.read("02-deploy")["pods"]["parts"][0]["text"] == "~/.local/state/halab/labs and ~/halab/work"


def test_the_site_shows_it_and_leaves_out_what_belongs_to_another_source(kept: Path, tmp_path: Path) -> None:
    book = played(new_output("stream", text="web-1 Running\n"), view("m1"))
    recorded.keep(book, "02-deploy")
    for folder in ("course", "stills"):
        (tmp_path / "site" / folder).mkdir(parents=True)
    solved = tmp_path / "02-deploy.ipynb"
    for source, seen in (("!kubectl get pods", 2), ("!kubectl get nodes", 0)):
        book.cells[1].source, book.cells[1].outputs = source, []
        solved.write_text(writes(book))
        drawn = docs.with_what_was_shown(solved, tmp_path / "site")
        page = json.loads((tmp_path / "site" / "course" / "02-deploy.ipynb").read_text())
        assert len(page["cells"][1]["outputs"]) == seen
        assert drawn == ({"Topology"} if seen else set())


def test_a_widget_that_the_page_needs_is_drawn_by_a_classic_script(tmp_path: Path) -> None:
    docs.draw({"Topology", "Timeline"}, tmp_path)
    script = (tmp_path / "widgets.js").read_text()
    assert "export default" not in script and "window.halabWidgets.Topology" in script
    assert ".halab-widget" in (tmp_path / "widgets.css").read_text()


def test_a_progress_line_is_kept_as_it_stood_at_the_end() -> None:
    assert recorded.as_on_a_screen("a\r\nfirst\rthen\rlast\r\nb\r") == "a\nlast\nb"


def test_the_site_brings_all_that_its_search_needs(tmp_path: Path) -> None:
    """Pages are opened from the disk, without a network: Material would otherwise load its worker's stand-in from elsewhere."""
    docs.draw({"Topology"}, tmp_path)
    assert docs.settings_for(tmp_path, [])["extra"]["polyfills"] == ["stills/iframe-worker.js"]
    assert "IFrameWorker" in (tmp_path / "iframe-worker.js").read_text()
