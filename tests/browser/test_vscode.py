"""Each widget in what VS Code's notebook webview is to it: the Jupyter extension's own widget manager (its published bundle), RequireJS, anywidget's classic
script, VS Code's theme classes, and no network. Not tested: VS Code itself, nor its kernel (docs/widgets.md)."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anywidget
import pytest

from halab.timeline.picture import difference
from stage import picture
from vendor import REQUIRE, VSCODE, axe, fetched
from widget_states import states

pytestmark = [
    pytest.mark.needs("chromium"),
    pytest.mark.xdist_group("browser"),
    pytest.mark.skipif(not shutil.which("npm"), reason="VS Code's widget manager comes with npm; run: sudo apt-get install npm"),
]
STATES = states()
ORIGIN = "https://webview.test"
CLASSIC = Path(anywidget.__file__).parent / "nbextension" / "index.js"


@pytest.fixture(scope="module")
def context(chromium: Any) -> Iterator[Any]:
    made = chromium.new_context(viewport={"width": 900, "height": 1000})
    served = {
        "/": Path(__file__).with_name("vscode.html"),
        "/require.js": fetched(*REQUIRE),
        "/ipywidgets.js": fetched(*VSCODE),
        "/nbextensions/anywidget/index.js": CLASSIC,
    }

    def answer(route: Any) -> None:
        file = served.get(route.request.url.removeprefix(ORIGIN))
        if file is None:
            asked.append(route.request.url)
            route.abort()
        else:
            kind = "text/html" if file.suffix == ".html" else "text/javascript"
            route.fulfill(body=file.read_text(), content_type=f"{kind}; charset=utf-8")

    asked: list[str] = []
    made.route(lambda url: not url.startswith(("blob:", "data:")), answer)
    made.asked = asked
    yield made
    made.close()


@pytest.fixture
def webview(context: Any) -> Iterator[Any]:
    """``webview(name, theme)`` -> the page, with that widget in it."""
    pages: list[Any] = []

    def show(name: str, theme: str = "dark") -> Any:
        page = context.new_page()
        pages.append(page)
        page.set_default_timeout(20_000)
        page.goto(f"{ORIGIN}/")
        page.locator("[data-loaded]").wait_for(state="attached")
        page.evaluate("(theme) => (document.body.className = `vscode-${theme}`)", theme)
        cls, data = STATES[name]
        base = anywidget.AnyWidget()
        traits = {"again": "", "said": "", "trouble": "", "title": "default · lab", **data}
        state = {**base.get_state(), "_esm": cls._esm, "_css": cls._css, **traits}
        del state["layout"]
        page.evaluate("([layout, state]) => webview.show(layout, state)", [base.layout.get_state(), state])
        page.locator(".halab-widget").wait_for()
        return page

    yield show
    for page in pages:
        page.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", list(STATES))
def test_it_is_shown_without_a_network_and_axe_finds_no_violation(name: str, theme: str, webview: Any, context: Any) -> None:
    page = webview(name, theme)
    page.wait_for_timeout(100)  # two frames: charts and edges are drawn in the second
    assert page.evaluate("webview.errors") == []
    assert [url for url in context.asked if not url.endswith("favicon.ico")] == []
    dark = page.evaluate("getComputedStyle(document.querySelector('.halab-widget')).backgroundColor") == "rgb(30, 30, 30)"
    assert dark == (theme == "dark")
    page.evaluate(axe().read_text())
    found = page.evaluate("axe.run('.halab-widget', { rules: { region: { enabled: false } } })")
    said = [f"{v['id']}: {n['target']}: {n['failureSummary']}" for v in found["violations"] for n in v["nodes"]]
    assert not said, "\n".join(said)


def test_changes_come_in_and_commands_go_out(webview: Any) -> None:
    page = webview("topology")
    page.evaluate("(d) => webview.push({ delta: d })", {"seq": 1, **difference(picture(), picture(7))})
    page.wait_for_function("document.querySelectorAll('.halab-pod').length === 7")
    page.locator(".halab-pod").first.focus()
    page.keyboard.press("Delete")
    sent = [one["content"] for one in page.evaluate("webview.sent") if one["method"] == "custom"]
    assert sent == [{"do": "delete-pod", "name": "web-6d4f-0000", "now": False}]
