"""Each widget by mouse and by keyboard in JupyterLab and in Notebook, over a live cluster: one kernel and one cluster for all of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from board import NAMES, Board, close_board, open_board
from playwright.sync_api import TimeoutError as Timeout

from halab.backends.embedded import Embedded
from halab.faults import api as faults
from vendor import axe

pytestmark = [pytest.mark.needs("chromium", "kubectl", "nginx", "busybox"), pytest.mark.xdist_group("browser")]


@pytest.fixture(scope="module", params=["lab", "notebook"])
def board(request: pytest.FixtureRequest, chromium: Any, jupyter: Any, course: tuple[Path, Path]) -> Iterator[Board]:
    made = open_board(chromium, jupyter, course[1], request.param)
    yield made
    close_board(made)


def test_every_widget_is_there_and_none_complains(board: Board) -> None:
    for name in NAMES:
        board.widget(name).wait_for()
    assert board.page.locator(".halab-trouble:visible").count() == 0
    assert board.page.locator(".halab-gone:visible").count() == 0
    assert board.page.locator(".jp-OutputArea-output:has-text('Error displaying widget')").count() == 0


def test_a_pod_is_looked_at_and_deleted_by_mouse_then_by_keyboard(board: Board) -> None:
    page, picture = board.page, board.widget("topology")
    before = board.wait_for_pods(3)
    picture.locator(f".halab-pod[data-pod='{before[0]}']").click()
    panel = picture.locator(".halab-topology-panel")
    panel.locator(".halab-panel-event").first.wait_for()
    assert before[0] in panel.inner_text()
    panel.get_by_role("button", name="Delete pod").click()
    picture.locator(f".halab-pod[data-pod='{before[0]}']").wait_for(state="detached")
    second = board.wait_for_pods(3)
    assert len(set(before) & set(second)) == 2

    picture.locator(".halab-pod-ready").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    chosen = page.evaluate("document.activeElement.dataset.pod")
    page.wait_for_function("(n) => document.querySelector('.halab-panel-name').textContent === n", arg=chosen)
    page.keyboard.press("Delete")
    picture.locator(f".halab-pod[data-pod='{chosen}']").wait_for(state="detached")
    assert chosen not in board.wait_for_pods(3)
    page.wait_for_function("document.querySelector('.halab-topology-said').textContent.includes('pod')")
    panel.get_by_role("button", name="Close").press("Enter")
    panel.wait_for(state="hidden")


def test_a_node_is_cordoned_and_uncordoned_by_keyboard(board: Board) -> None:
    picture = board.widget("topology")
    picture.get_by_role("button", name="Cordon node node-1").press("Enter")
    picture.get_by_role("button", name="Uncordon node node-1").press("Enter")
    picture.get_by_role("button", name="Cordon node node-1", exact=True).wait_for()


def test_a_button_works_while_a_cell_runs(board: Board, tmp_path: Path) -> None:
    page, picture, end = board.page, board.widget("topology"), tmp_path / "end"
    cell = f"import os, time\nwhile not os.path.exists({str(end)!r}): time.sleep(0.05)"
    page.evaluate(
        """(code) => {
            const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
            window.ended = false;
            kernel.requestExecute({ code }).done.then(() => (window.ended = true));
        }""",
        cell,
    )
    page.wait_for_function("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === 'busy'")
    picture.get_by_role("button", name="Cordon node node-2").click()
    picture.get_by_role("button", name="Uncordon node node-2").wait_for()
    assert not page.evaluate("window.ended")
    end.touch()
    page.wait_for_function("window.ended")
    picture.get_by_role("button", name="Uncordon node node-2").click()
    picture.get_by_role("button", name="Cordon node node-2", exact=True).wait_for()


def test_the_meter_stops_by_mouse_and_starts_by_keyboard_and_counts(board: Board) -> None:
    page, meter = board.page, board.widget("traffic")
    good = ".halab-traffic .halab-traffic-figure:nth-child(2) .halab-traffic-value"
    page.wait_for_function(f"Number(document.querySelector('{good}').textContent) > 20")
    meter.get_by_role("button", name="Stop").click()
    meter.get_by_role("button", name="Start").wait_for()
    before = int(page.locator(good).first.inner_text())
    meter.get_by_role("button", name="Start").press("Space")
    page.wait_for_function(f"(n) => Number(document.querySelector('{good}').textContent) > n + 20", arg=before)
    assert "requests answered" in meter.locator(".halab-said").inner_text()


def test_a_failure_is_injected_by_mouse_seen_by_all_and_healed_by_keyboard(board: Board) -> None:
    page, panel, picture = board.page, board.widget("faults"), board.widget("topology")
    target = board.wait_for_pods(3)[0]
    panel.locator(".halab-faults-choice").select_option("readiness-failing")
    panel.locator(".halab-faults-target").select_option(target)
    panel.get_by_role("button", name="What would it hit?").click()
    page.wait_for_function("(n) => document.querySelector('.halab-faults-hits').textContent.includes(n)", arg=target)
    panel.get_by_role("button", name="Inject").click()
    panel.locator(".halab-faults-item").wait_for()
    picture.locator(f".halab-pod[data-pod='{target}'].halab-pod-running").wait_for()
    board.widget("routes").locator(".halab-routes-off", has_text=target).wait_for()
    assert [one.target for one in faults.active(Embedded())] == [target]

    panel.get_by_role("button", name=f"Heal readiness-failing {target}").focus()
    page.keyboard.press("Enter")
    panel.locator(".halab-faults-item").wait_for(state="detached")
    board.wait_for_pods(3)
    assert faults.active(Embedded()) == ()
    page.wait_for_function("document.querySelector('.halab-faults-said').textContent.startsWith('healed')")


def test_a_failure_is_chosen_and_injected_by_keyboard_alone(board: Board) -> None:
    page, panel = board.page, board.widget("faults")
    panel.locator(".halab-faults-choice").focus()
    page.keyboard.type("Latency")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "halab-faults-seconds"
    page.keyboard.press("Control+a")
    page.keyboard.type("600")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    panel.locator(".halab-faults-item", has_text="latency web").wait_for()
    conflict = panel.get_by_role("button", name="Inject")
    conflict.press("Enter")
    panel.locator(".halab-trouble", has_text="conflicts with latency").wait_for()
    panel.get_by_role("button", name="Heal all").press("Enter")
    panel.locator(".halab-faults-item").wait_for(state="detached")
    assert faults.active(Embedded()) == ()


def test_routes_show_who_answers(board: Board) -> None:
    page, routes = board.page, board.widget("routes")
    assert "http://web.example.com/" in routes.inner_text()
    page.wait_for_function(
        "[...document.querySelectorAll('.halab-routes-share')].filter((e) => /^[1-9][0-9]*%$/.test(e.textContent)).length === 3"
    )
    board.kubectl("scale", "deployment/web", "--replicas=4")
    routes.get_by_text("Service web · 4 of 4 pods ready").wait_for()
    board.kubectl("scale", "deployment/web", "--replicas=3")
    routes.get_by_text("Service web · 3 of 3 pods ready").wait_for()
    board.wait_for_pods(3)


def test_a_rollout_fills_the_new_revision_and_drains_the_old_one(board: Board) -> None:
    rollout = board.widget("rollout")
    before = rollout.locator(".halab-rollout-revision").count()
    board.kubectl("set", "env", "deployment/web", f"ROUND={before}")
    newest = rollout.locator(".halab-rollout-newest", has_text=f"revision {before + 1} (newest)")
    newest.get_by_text("3 of 3 pods ready").wait_for()
    rollout.get_by_text("✔ complete: 3 of 3 available").wait_for()
    rollout.locator(".halab-rollout-revision:not(.halab-rollout-newest)", has_text="0 of 0 pods ready").first.wait_for()
    assert newest.locator(".halab-rollout-full").count() == 3
    board.wait_for_pods(3)


def test_the_timeline_goes_back_by_arrow_keys_to_the_cluster_as_it_was(board: Board) -> None:
    page, timeline = board.page, board.widget("timeline")
    gone = board.wait_for_pods(3)[0]
    with faults.inject(Embedded(), "container-hung", gone, namespace="lab-02-deploy", duration=60):
        board.widget("faults").locator(".halab-faults-item").wait_for()
        board.kubectl("delete", "pod", gone, "--grace-period=0", "--force")
        board.widget("topology").locator(f".halab-pod[data-pod='{gone}']").wait_for(state="detached")
    board.wait_for_pods(3)
    page.wait_for_function(
        "(n) => document.querySelector('.halab-timeline') && !document.querySelector(`.halab-timeline .halab-pod[data-pod='${n}']`)",
        arg=gone,
    )

    timeline.locator(".halab-timeline-slider").focus()
    moments = []
    for _ in range(120):  # seconds
        page.keyboard.press("ArrowLeft")
        page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        if gone in board.pods(of="timeline"):
            break
        moments.append(timeline.locator(".halab-timeline-slider").get_attribute("aria-valuetext"))
    assert gone in board.pods(of="timeline")
    assert gone not in board.pods()  # the live picture stays where it is
    assert len(moments) == len(set(moments))  # a second at each press
    page.wait_for_function("/pods ready/.test(document.querySelector('.halab-timeline-moment').textContent)")

    timeline.get_by_role("button", name="Next change").press("Enter")
    for _ in range(20):
        if gone not in board.pods(of="timeline"):
            break
        page.keyboard.press("Enter")
        page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert gone not in board.pods(of="timeline")
    timeline.get_by_role("button", name="Now", exact=True).click()
    page.wait_for_function(
        "document.querySelector('.halab-timeline-tools') && document.querySelectorAll('.halab-timeline .halab-pod-ready').length >= 3"
    )


def test_the_timeline_is_saved_as_json(board: Board, tmp_path: Path) -> None:
    with board.page.expect_download() as saved:
        board.widget("timeline").get_by_role("button", name="Save JSON").click()
    file = tmp_path / "timeline.json"
    saved.value.save_as(file)
    rows = json.loads(file.read_text())["rows"]
    assert any(row.get("fault") for row in rows) and any(row.get("traffic") for row in rows)


def test_the_checklist_hints_by_mouse_and_checks_by_keyboard(board: Board) -> None:
    page, checklist = board.page, board.widget("checklist")
    task = checklist.locator(".halab-task", has_not=page.locator(".halab-task-state", has_text="done")).first
    task.get_by_role("button", name="Hint").click()
    task.locator(".halab-task-text").wait_for()
    button = task.get_by_role("button", name="check")
    label = button.get_attribute("aria-label")
    button.focus()
    page.keyboard.press("Enter")
    page.wait_for_function("/^(done|not yet): /.test(document.querySelector('.halab-checklist-said').textContent)")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == label


def test_a_prediction_is_committed_by_keyboard_and_stays(board: Board) -> None:
    page, question = board.page, board.widget("predict")
    question.get_by_role("radio").first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    question.get_by_text("Noted. Now see what happens.").wait_for()
    assert question.get_by_role("radio").nth(1).is_checked() and question.get_by_role("radio").nth(0).is_disabled()


@pytest.mark.skipif(not shutil.which("npm"), reason="axe-core comes with npm; run: sudo apt-get install npm")
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_no_violation_in_a_widget(board: Board, theme: str) -> None:
    board.theme(theme)
    board.page.evaluate(axe().read_text())
    found = board.page.evaluate("axe.run({ include: [['.halab-widget']] }, { rules: { region: { enabled: false } } })")
    said = [f"{v['id']}: {n['target']}: {n['failureSummary']}" for v in found["violations"] for n in v["nodes"]]
    assert not said, "\n".join(said)


def test_the_charts_follow_the_theme(board: Board) -> None:
    """The chart's own pixels: canvas is drawn once, and no style sheet reaches it."""
    count = """([name, color]) => {
        const canvas = document.querySelector(`.halab-${name} canvas`);
        const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
        let found = 0;
        for (let i = 0; i < data.length; i += 4) if (data[i] === color[0] && data[i + 1] === color[1] && data[i + 2] === color[2]) found++;
        return found > 100;
    }"""
    for theme, green in (("dark", [0x56, 0xD3, 0x64]), ("light", [0x1A, 0x7F, 0x37])):
        board.theme(theme)
        for name in ("traffic", "timeline"):
            board.page.wait_for_function(count, arg=[name, green])


CUT_OFF = """() => [...document.querySelectorAll('.halab-widget')].flatMap((w) => [...w.querySelectorAll('*')]
    .filter((e) => e.checkVisibility() && !e.closest('svg') && e.getBoundingClientRect().right > w.getBoundingClientRect().right + 1)
    .map((e) => [e.className, e.getBoundingClientRect().right, w.className, w.getBoundingClientRect().right]))"""


def test_at_200_percent_nothing_is_cut_off(board: Board) -> None:
    page = board.page
    page.set_viewport_size({"width": 640, "height": 7000})  # a window of 1280 pixels at 200%
    try:
        page.wait_for_function("document.querySelector('.halab-topology').getBoundingClientRect().right <= innerWidth")
        # Charts are laid out again once they hear of their new size: what counts is how they come to rest.
        with suppress(Timeout):
            page.wait_for_function(f"({CUT_OFF})().length === 0", timeout=10_000)
        assert not page.evaluate(CUT_OFF)
    finally:
        page.set_viewport_size({"width": 1280, "height": 3600})


def test_after_a_kernel_restart_every_widget_is_live_again_and_its_failures_are_healed(board: Board) -> None:
    """Last, as it begins anew. Nothing dead stays on the page: each widget says what it is, and comes back at the press of its button."""
    page = board.page
    board.widget("faults").locator(".halab-faults-choice").select_option("latency")
    board.widget("faults").get_by_role("button", name="Inject").click()
    board.widget("faults").locator(".halab-faults-item").wait_for()

    board.restart_kernel()
    page.wait_for_function(
        "(n) => [...document.querySelectorAll('.halab-gone')].filter((e) => e.checkVisibility()).length === n", arg=len(NAMES)
    )
    page.wait_for_function("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === 'idle'")
    for _ in NAMES:
        left = page.locator(".halab-gone:visible").count()
        page.locator(".halab-gone:visible").first.get_by_role("button", name="Show it live again").press("Enter")
        page.wait_for_function(
            "(n) => [...document.querySelectorAll('.halab-gone')].filter((e) => e.checkVisibility()).length === n", arg=left - 1
        )

    pod = board.wait_for_pods(3)[0]
    board.kubectl("delete", "pod", pod, "--wait=false")
    for name in ("topology", "timeline"):
        page.locator(f".halab-{name} .halab-pod[data-pod='{pod}']").wait_for(state="detached")
    board.widget("routes").get_by_text(pod).wait_for(state="detached")
    assert pod not in board.widget("faults").locator(".halab-faults-target").inner_text()
    good = ".halab-traffic .halab-traffic-figure:nth-child(2) .halab-traffic-value"
    page.wait_for_function(f"Number(document.querySelector('{good}').textContent) > 20")
    board.widget("rollout").get_by_text("✔ complete: 3 of 3 available").wait_for()
    assert board.widget("predict").get_by_role("radio").nth(1).is_checked()
    checklist = board.widget("checklist")
    checklist.get_by_role("button", name="Hint").first.click()
    checklist.locator(".halab-task-text").first.wait_for()
    # The kernel that injected it has ended: its failure was healed without it.
    page.wait_for_function("document.querySelectorAll('.halab-faults-item').length === 0")
    assert faults.active(Embedded()) == ()
