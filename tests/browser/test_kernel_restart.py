"""A kernel restart leaves no dead picture: the widget says so, and is live again at the press of a button."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest

from browser import run_all, wait_for_idle

pytestmark = [pytest.mark.needs("chromium", "kubectl", "nginx", "busybox"), pytest.mark.xdist_group("browser")]
CELLS = (
    "import halab\nlab = halab.lab('00-start-here', quiet=True)",
    "!kubectl create deployment again --image=nginx:1.22 --replicas=2\n!kubectl rollout status deployment/again",
    "lab.topology()",
)


def test_a_topology_is_live_again_after_a_kernel_restart(page: Any, jupyter: Any, course: tuple[Path, Path]) -> None:
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in CELLS])
    book.metadata["kernelspec"] = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    nbformat.write(book, course[0] / "restart.ipynb")
    page.goto(jupyter.url("restart.ipynb"))
    page.locator(".jp-Notebook").wait_for()
    run_all(page)
    wait_for_idle(page)
    page.locator("[data-pod^='again-'].halab-pod-ready").first.wait_for()

    page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    page.locator(".halab-gone").wait_for()
    assert "The kernel behind this picture has ended" in page.locator(".halab-gone").inner_text()
    page.get_by_role("button", name="Show it live again").click()
    page.locator(".halab-gone").wait_for(state="hidden")

    pod = page.locator("[data-pod^='again-'].halab-pod-ready").first
    name = pod.get_attribute("data-pod")
    pod.focus()
    page.keyboard.press("Delete")
    page.locator(f"[data-pod='{name}']").wait_for(state="detached")
