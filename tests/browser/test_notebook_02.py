"""Notebook 02 as a learner uses it: open, run all, kill a pod by mouse and by keyboard, see the replacement."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from browser import run_all, wait_for_idle

pytestmark = [pytest.mark.needs("chromium", "kubectl", "nginx", "busybox"), pytest.mark.xdist_group("browser")]

READY = ".halab-topology .halab-pod-ready"
# Three are ready, and none is still on its way out.
THREE = (
    f"document.querySelectorAll('{READY}').length === 3 && document.querySelectorAll('.halab-topology .halab-pod').length === 3"
)


def names(page: Any) -> set[str]:
    return set(page.locator(READY).evaluate_all("all => all.map((pod) => pod.dataset.pod)"))


@pytest.fixture(scope="module")
def notebook(chromium: Any, jupyter: Any) -> Iterator[Any]:
    """The notebook after all of its cells were run; the tests share it, as running it is what takes the time."""
    context = chromium.new_context(viewport={"width": 1280, "height": 1000})
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.goto(jupyter.url("02-deploy.ipynb"))
    page.locator(".jp-Notebook").wait_for()
    run_all(page)
    wait_for_idle(page)
    page.locator(".halab-topology").first.scroll_into_view_if_needed()
    page.wait_for_function(THREE)
    yield page
    context.close()


def test_a_pod_killed_by_mouse_and_by_keyboard_is_replaced(notebook: Any) -> None:
    page = notebook
    before = names(page)

    page.locator(READY).first.click()
    chosen = page.locator(f"{READY}[aria-pressed='true']").get_attribute("data-pod")
    page.locator(".halab-panel-events li").first.wait_for()
    page.get_by_role("button", name="Delete pod").click()
    page.wait_for_function(f"() => !document.querySelector('[data-pod=\"{chosen}\"].halab-pod-ready') && {THREE}")
    after_click = names(page)
    assert chosen not in after_click and len(after_click & before) == 2

    page.locator(READY).first.focus()
    page.keyboard.press("ArrowDown")
    focused = page.evaluate("document.activeElement.dataset.pod")
    assert focused in after_click
    page.keyboard.press("Delete")
    page.wait_for_function(f"() => !document.querySelector('[data-pod=\"{focused}\"].halab-pod-ready') && {THREE}")
    after_key = names(page)
    assert focused not in after_key and len(after_key & after_click) == 2
    assert "pod" in page.locator(".halab-topology-said").first.text_content()


def test_the_traffic_meter_counted_the_requests(notebook: Any) -> None:
    page = notebook
    meter = page.locator(".halab-traffic").first
    meter.scroll_into_view_if_needed()
    meter.get_by_role("button", name="Start").wait_for()
    assert int(meter.locator(".halab-traffic-value").nth(1).text_content()) > 0
    assert meter.locator("canvas").count() == 2


def test_a_node_is_cordoned_and_uncordoned_from_the_picture(notebook: Any) -> None:
    page = notebook
    button = page.get_by_role("button", name="Cordon node node-1")
    button.click()
    page.get_by_role("button", name="Uncordon node node-1").click()
    page.get_by_role("button", name="Cordon node node-1", exact=True).wait_for()
