"""Rules that every widget's files keep."""

import re
from pathlib import Path

import pytest

from halab.widgets import base

SHARED = ("common.js", "charts.js", "picture.js")  # joined in front of others
FILES = [file for file in sorted(base.FOLDER.glob("*.js")) if file.name not in SHARED]


@pytest.mark.parametrize("file", FILES, ids=lambda p: p.name)
def test_scripts_import_nothing_and_clean_up(file: Path) -> None:
    text = file.read_text()
    assert not re.search(r"^\s*import\b|import\(|https?://(?!www\.w3\.org)", text, re.MULTILINE)
    assert "export default { render }" in text and re.search(r"root\.remove\(\)|shown\.close\(\)", text)


@pytest.mark.parametrize("file", sorted(base.FOLDER.glob("*.css")), ids=lambda p: p.name)
def test_every_css_rule_is_prefixed(file: Path) -> None:
    text = re.sub(r"/\*.*?\*/", "", file.read_text(), flags=re.DOTALL)
    for selectors in re.findall(r"([^{}]+)\{", text):
        for selector in selectors.split(","):
            name = selector.strip()
            assert (
                ".halab-" in name
                or name.startswith(("[data-jp-theme-light", "@media", "@keyframes halab-"))
                or name in ("to", "from")
                or not name
            ), name


@pytest.mark.parametrize("file", FILES, ids=lambda p: p.name)
def test_every_widget_speaks_and_labels_itself(file: Path) -> None:
    text = file.read_text()
    assert "frame({ model, el }, " in text or ("aria-live" in text and "legend" in text)
    common = (base.FOLDER / "common.js").read_text()
    assert 'setAttribute("aria-live", "polite")' in common and 'root.setAttribute("aria-label", label)' in common
