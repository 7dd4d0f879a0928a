"""Each widget in a bare page: nobody is kept out, nothing is cut off at 200%, keys work, and a picture never dies silently."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from halab.timeline.picture import difference
from halab.widgets.timeline import page
from stage import html, picture
from vendor import axe
from widget_states import record, states

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.xdist_group("browser")]
STATES = states()


@pytest.fixture(scope="module")
def bare(chromium: Any) -> Iterator[Any]:
    context = chromium.new_context()
    made = context.new_page()
    made.set_default_timeout(10_000)
    yield made
    context.close()


@pytest.fixture
def show(bare: Any) -> Any:
    """``show(name, theme)`` -> the page, with that widget in it."""

    def one(name: str, theme: str = "light", width: int = 900, data: dict[str, Any] | None = None) -> Any:
        widget, state = STATES[name]
        bare.evaluate("window.halab?.end?.()")  # the window stays, and so would the former widget's timers
        bare.set_viewport_size({"width": width, "height": 800})
        bare.set_content(html(widget, state | (data or {}), theme))
        bare.locator(".halab-widget").wait_for()
        return bare

    return one


@pytest.mark.skipif(not shutil.which("npm"), reason="axe-core comes with npm; run: sudo apt-get install npm")
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", list(STATES))
def test_axe_finds_no_violation(name: str, theme: str, show: Any) -> None:
    page = show(name, theme)
    page.wait_for_timeout(100)  # two frames: charts and edges are drawn in the second
    page.evaluate(axe().read_text())
    found = page.evaluate("axe.run('#here', { rules: { region: { enabled: false } } })")
    said = [f"{v['id']}: {n['target']}: {n['failureSummary']}" for v in found["violations"] for n in v["nodes"]]
    assert not said, "\n".join(said)


@pytest.mark.parametrize("width", [420, 240])  # a notebook of 840 pixels at 200%, and one beside an open file browser
@pytest.mark.parametrize("name", list(STATES))
def test_at_200_percent_nothing_is_cut_off(name: str, width: int, show: Any) -> None:
    page = show(name, width=width)
    page.wait_for_timeout(100)
    wide = page.evaluate(
        "[...document.querySelectorAll('.halab-widget, .halab-widget *')].filter((e) => e.getBoundingClientRect().right > innerWidth + 1 && !e.matches('.halab-timeline-label')).map((e) => e.className?.baseVal ?? e.className)"
    )
    assert not wide


@pytest.mark.parametrize("name", list(STATES))
def test_a_widget_whose_kernel_is_gone_says_so(name: str, show: Any) -> None:
    page = show(name)
    assert not page.locator(".halab-gone").is_visible()
    page.evaluate("halab.fire('comm_live_update')")
    assert "The kernel behind this picture has ended" in page.locator(".halab-gone").inner_text()
    page.evaluate("halab.end()")
    assert page.locator("#here > *").count() == 0


@pytest.mark.parametrize("name", list(STATES))
def test_every_control_is_reached_with_the_tab_key_and_shows_the_focus(name: str, show: Any) -> None:
    page = show(name)
    wanted = page.evaluate(
        "[...document.querySelectorAll('#here button, #here select, #here input')].filter((e) => e.checkVisibility() && !e.disabled && e.tabIndex >= 0 && e.type !== 'radio').length"
    )
    reached = set()
    for _ in range(wanted + 4):
        page.keyboard.press("Tab")
        found = page.evaluate(
            "(() => { const e = document.activeElement; if (!e || e === document.body) return null; return [[...document.querySelectorAll('*')].indexOf(e), e.tagName, getComputedStyle(e).outlineStyle, e.type ?? '']; })()"
        )
        if found and found[1] in ("BUTTON", "SELECT", "INPUT"):
            assert found[2] != "none", found
            if found[3] != "radio":
                reached.add(found[0])
    assert len(reached) >= wanted


@pytest.mark.parametrize("name", list(STATES))
def test_nothing_moves_where_less_motion_is_asked_for(name: str, show: Any) -> None:
    moving = """[...document.querySelectorAll('.halab-widget, .halab-widget *')].filter((e) => {
        const style = getComputedStyle(e);
        return style.animationName !== 'none' || style.transitionDuration !== '0s';
    }).map((e) => e.className.baseVal ?? e.className)"""
    page = show(name, data={"state": starting()} if name == "topology" else None)
    page.emulate_media(reduced_motion="reduce")
    try:
        assert page.evaluate(moving) == []
        page.emulate_media(reduced_motion="no-preference")
        assert bool(page.evaluate(moving)) == (name in ("topology", "rollout"))  # what the rule is there for
    finally:
        page.emulate_media(reduced_motion=None)


def starting() -> dict[str, Any]:
    """A picture in which a pod starts: the one shape that turns."""
    whole = picture()
    pod = next(key for key in whole if key.startswith("pod/"))
    return {"seq": 0, "picture": {**whole, pod: {**whole[pod], "state": "starting", "word": "ContainerCreating"}}}


@pytest.mark.parametrize("name", ["traffic", "timeline"])
def test_charts_follow_the_theme_and_the_size_of_text(name: str, show: Any) -> None:
    page = show(name)
    drawn = f"document.querySelector('.halab-{name} canvas').toDataURL()"
    page.wait_for_selector(f".halab-{name} canvas")
    page.wait_for_timeout(100)
    light = page.evaluate(drawn)
    page.evaluate("document.body.dataset.jpThemeLight = 'false'")
    page.wait_for_function(f"(before) => {drawn} !== before", arg=light)
    dark, high = page.evaluate(drawn), page.locator(f".halab-{name} canvas").first.bounding_box()["height"]
    page.evaluate(
        "document.documentElement.style.setProperty('--jp-content-font-size1', '22px'); document.body.style.setProperty('--jp-content-font-size1', '22px')"
    )
    page.wait_for_function(f"(before) => {drawn} !== before", arg=dark)
    assert page.locator(f".halab-{name} canvas").first.bounding_box()["height"] > high
    page.evaluate("document.documentElement.removeAttribute('style')")


def test_keys_move_select_and_delete_pods(show: Any) -> None:
    page = show("topology", data={"selected": "", "details": {}})
    pods = page.locator(".halab-pod")
    pods.first.focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.dataset.pod") == pods.nth(1).get_attribute("data-pod")
    page.keyboard.press("Enter")
    assert pods.nth(1).get_attribute("aria-pressed") == "true"
    page.keyboard.press("Delete")
    assert page.evaluate("halab.sent") == [{"do": "delete-pod", "name": pods.nth(1).get_attribute("data-pod"), "now": False}]


def test_a_change_is_drawn_and_a_missed_one_asks_for_the_whole(show: Any) -> None:
    page = show("topology", data={"selected": "", "details": {}})
    old, new = picture(), picture(7)
    page.evaluate("(d) => halab.push('delta', d)", {"seq": 1, **difference(old, new)})
    page.wait_for_function("document.querySelectorAll('.halab-pod').length === 7")
    page.evaluate("(d) => halab.push('delta', d)", {"seq": 3, "set": {}, "gone": []})
    assert page.evaluate("halab.sent.at(-1)") == {"do": "whole"}
    page.evaluate("(s) => halab.push('state', s)", {"seq": 3, "picture": old})
    page.wait_for_function("document.querySelectorAll('.halab-pod').length === 6")


def test_many_pods_are_shapes_with_names_that_can_be_heard(show: Any) -> None:
    page = show("topology", data={"state": {"seq": 0, "picture": picture(500, 5)}, "selected": "", "details": {}})
    page.wait_for_function("document.querySelectorAll('.halab-dense .halab-pod').length === 500")
    assert page.locator(".halab-pod").first.get_attribute("aria-label") == "web 0000 #1 Running, pod web-6d4f-0000"
    assert page.locator(".halab-edge").count() < 20


def test_the_timeline_goes_back_to_the_second_of_the_failure(show: Any) -> None:
    page = show("timeline")
    page.locator(".halab-timeline-slider").focus()
    page.wait_for_function("document.querySelectorAll('.halab-pod').length === 6")
    for _ in range(6):
        page.keyboard.press("ArrowLeft")
    page.wait_for_function("document.querySelectorAll('.halab-pod').length === 5")
    page.get_by_role("button", name="Next change").click()
    page.wait_for_function("document.querySelectorAll('.halab-pod').length === 6")
    assert "✔ three: a new pod" in page.locator(".halab-timeline-predictions").inner_text()


def test_the_timeline_saved_as_a_page_works_alone(chromium: Any, tmp_path: Any) -> None:
    file = tmp_path / "failure.html"
    file.write_text(page("a <lab>", record()))
    made = chromium.new_context(offline=True).new_page()
    made.goto(file.as_uri())
    made.get_by_role("button", name="Previous change").click()
    assert made.locator(".halab-pod").count() > 0 and made.title() == "a <lab>"
    made.context.close()


def test_a_failure_is_chosen_looked_at_and_injected_by_keyboard(show: Any) -> None:
    page = show("faults", data={"active": [], "preview": {}})
    page.locator(".halab-faults-choice").select_option("container-killed")
    page.get_by_role("button", name="What would it hit?").focus()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Inject").focus()
    page.keyboard.press("Enter")
    sent = page.evaluate("halab.sent")
    assert [one["do"] for one in sent] == ["preview", "inject"]
    assert sent[1]["fault"] == "container-killed" and sent[1]["target"] == "web-6d4f-0000"


def test_the_timeline_says_for_how_long_users_were_hurt_and_goes_there(show: Any) -> None:
    page = show("timeline")
    assert "Users lost 12 of 200 requests, within 1.5 s" in page.locator(".halab-timeline-users").inner_text()
    page.get_by_role("button", name="12 in 1.5 s").press("Enter")
    page.wait_for_function("/requests lost in that second/.test(document.querySelector('.halab-timeline-moment').textContent)")
    assert page.locator(".halab-pod").count() == 5


def test_a_record_without_traffic_has_its_times_all_the_same(show: Any) -> None:
    rows = [row for row in record() if "traffic" not in row]
    page = show("timeline", data={"rows": {"seq": 0, "rows": rows}})
    page.wait_for_function("/:29.*:30|:20.*:29/.test(document.querySelector('.halab-timeline-times').textContent)")
    assert not page.locator(".halab-timeline-users").is_visible()


def test_what_happened_stands_beside_the_prediction(show: Any) -> None:
    page = show("predict", data={"happened": -1, "seen": ""})
    page.get_by_role("radio").first.check()
    page.get_by_role("button", name="Commit to this").press("Enter")
    assert page.evaluate("halab.sent") == [{"do": "commit", "option": 0}]
    page.evaluate("halab.push('chosen', 0)")
    assert "your prediction" in page.locator(".halab-predict-option").first.inner_text()
    page.evaluate("halab.push('seen', 'three pods'); halab.push('happened', 1)")
    lines = page.locator(".halab-predict-option").all_inner_texts()
    assert "✕ your prediction" in lines[0] and "what happened" in lines[1]
    assert page.locator(".halab-predict-said").inner_text() == "Observed: three pods"


@pytest.mark.parametrize("name", ["topology", "routes", "rollout", "faults"])
def test_a_picture_of_a_cluster_that_does_not_answer_says_so(name: str, show: Any) -> None:
    page = show(name)
    assert not page.locator(".halab-away").is_visible()
    page.evaluate("halab.push('away', 'The API server has not answered since 12:00:00')")
    assert "has not answered" in page.locator(".halab-away").inner_text()
    page.evaluate("halab.push('away', '')")
    assert not page.locator(".halab-away").is_visible()
