"""The fidelity table: one place, well formed, shown everywhere alike."""

import json
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import CliRunner

from halab import fidelity
from halab.badge import badge
from halab.cli import cli
from halab.errors import UsageError

ROOT = Path(__file__).parents[3]


def test_every_row_has_its_own_name_a_sentence_and_a_place_to_read_about_the_real_thing() -> None:
    assert len({row.what.lower() for row in fidelity.TABLE}) == len(fidelity.TABLE)
    for row in fidelity.TABLE:
        assert row.difference.endswith("."), row.what
        assert row.link.startswith("https://"), row.what


def test_the_page_in_the_documents_is_the_table() -> None:
    assert (ROOT / "docs" / "fidelity.md").read_text() == fidelity.markdown()


def test_the_command_prints_the_table_as_text_and_as_json() -> None:
    text = CliRunner().invoke(cli, ["fidelity"]).output
    rows = json.loads(CliRunner().invoke(cli, ["fidelity", "--json"]).stdout)["rows"]
    assert [row["what"] for row in rows] == [row.what for row in fidelity.TABLE]
    assert all(row.what in text for row in fidelity.TABLE)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match="LoadBalancer"):
        badge("Teleporter")


class Marks(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_badge_says_in_words_what_it_shows_in_colour_and_opens_without_a_script() -> None:
    marks = Marks()
    mark = badge("loadbalancer")
    marks.feed(mark._repr_html_())
    assert marks.tags[:2] == ["details", "summary"] and "script" not in marks.tags
    assert "LoadBalancer: absent here" in marks.text and "<pending>" in marks.text
    assert repr(mark).startswith("✕ LoadBalancer: absent here")


def test_a_real_cluster_has_real_things() -> None:
    assert repr(badge("NetworkPolicy", embedded=False)) == "● NetworkPolicy: real here"
