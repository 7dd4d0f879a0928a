"""Pictures of the notebooks in a real JupyterLab, light and dark (``make screenshots``): look at them before you ship.

    python tools/screenshots.py [NN ...] [--out build/screenshots] [--theme light|dark]

Runs each solved notebook from its pristine scene on a cluster of its own; writes each notebook page by page and each widget, in each theme.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from browser import JupyterLab, chromium, run_all, wait_for_idle

ROOT = Path(__file__).resolve().parent.parent
PAGE = 1300  # pixels
WIDGETS = ("topology", "traffic", "checklist", "predict", "timeline", "routes", "rollout", "faults")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("numbers", nargs="*", metavar="NN")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "screenshots")
    parser.add_argument("--theme", choices=("light", "dark"), action="append")
    options = parser.parse_args()
    books = [
        b for b in sorted((ROOT / "notebooks" / "solved").glob("*.ipynb")) if not options.numbers or b.stem[:2] in options.numbers
    ]
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="halab-shots-") as scratch:
        home, folder = Path(scratch) / "home", Path(scratch) / "course"
        folder.mkdir()
        os.environ["HALAB_HOME"] = str(home)
        for book in books:
            shutil.copy(book, folder)
        from halab.cluster.supervisor import manage

        manage.up()
        try:
            with JupyterLab(folder, {"HALAB_HOME": str(home), "HALAB_COURSE": str(ROOT)}) as server, chromium() as browser:
                for theme in options.theme or ["light", "dark"]:
                    for book in books:
                        shoot(browser, server, book, theme, options.out)
        finally:
            manage.down(purge=True)
    return 0


def shoot(browser: Any, server: JupyterLab, book: Path, theme: str, out: Path) -> None:
    from halab.session import open_lab

    open_lab(book.stem, quiet=True).reset(quiet=True)
    page = browser.new_context(
        viewport={"width": 1200, "height": 8000}
    ).new_page()  # so tall that nothing is scrolled out while it runs
    page.set_default_timeout(60_000)
    page.goto(server.url(book.name))
    page.locator(".jp-Notebook").wait_for()
    set_theme(page, theme)
    page.keyboard.press("Control+b")  # the file browser takes room from the notebook
    run_all(page)
    wait_for_idle(page)
    for name in WIDGETS:
        for number, widget in enumerate(page.locator(f".halab-{name}").all()):
            widget.scroll_into_view_if_needed()
            widget.screenshot(path=out / f"{book.stem}-{theme}-{name}-{number}.png")
    end = page.evaluate(
        "() => { const outer = document.querySelector('.jp-WindowedPanel-outer'); outer.scrollTop = 0;"
        " return Math.max(...[...outer.querySelectorAll('.jp-Cell')].map((cell) => cell.getBoundingClientRect().bottom)); }"
    )
    # In pages of a height that can be looked at.
    for number in range(math.ceil(end / PAGE)):
        clip = {"x": 0, "y": number * PAGE, "width": 1200, "height": min(PAGE, end - number * PAGE)}
        page.screenshot(path=out / f"{book.stem}-{theme}-page-{number}.png", clip=clip)
    print(f"{book.stem} {theme}", file=sys.stderr)
    page.context.close()


def set_theme(page: Any, theme: str) -> None:
    wanted = "JupyterLab Light" if theme == "light" else "JupyterLab Dark"
    page.evaluate("(name) => window.jupyterapp.commands.execute('apputils:change-theme', { theme: name })", wanted)
    page.wait_for_function("(light) => document.body.dataset.jpThemeLight === light", arg="true" if theme == "light" else "false")


if __name__ == "__main__":
    sys.exit(main())
