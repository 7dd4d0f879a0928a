"""A real JupyterLab (and Notebook, which the same server shows) and a real Chromium, for the browser tests and the screenshots.

with JupyterLab(folder, environment) as server, chromium() as browser:
    page = browser.new_page(); page.goto(server.url("02-deploy.ipynb"))
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

START_TIMEOUT = 60.0  # seconds for JupyterLab to answer
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-color-profile=srgb",
]


class JupyterLab:
    """A JupyterLab server on loopback that shows ``folder``; it and its kernels are gone at the end of the block."""

    def __init__(self, folder: Path, environment: dict[str, str] | None = None) -> None:
        self.folder, self.environment = folder, {**os.environ, **(environment or {})}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None
        self.log = folder / ".jupyter.log"

    def url(self, notebook: str, app: str = "lab") -> str:
        """In ``lab`` or ``notebook``. ``reset``: a workspace of an earlier page, with its open notebooks, is not restored."""
        place = f"lab/tree/{notebook}?reset" if app == "lab" else f"notebooks/{notebook}"
        return f"http://127.0.0.1:{self.port}/{place}"

    def __enter__(self) -> JupyterLab:
        home = self.folder / ".jupyter-home"
        home.mkdir(exist_ok=True)
        command = [
            *(sys.executable, "-m", "jupyter", "lab", "--no-browser", "--ip=127.0.0.1", f"--port={self.port}"),
            *("--IdentityProvider.token=", "--ServerApp.password=", "--allow-root", f"--ServerApp.root_dir={self.folder}"),
            *("--LabApp.expose_app_in_browser=True", "--JupyterNotebookApp.expose_app_in_browser=True"),
            *("--LabApp.news_url=None", "--ServerApp.terminals_enabled=False"),
        ]
        settings = {
            "JUPYTER_CONFIG_DIR": str(home),
            "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
            "JUPYTER_RUNTIME_DIR": str(home / "run"),
        }
        overrides = home / "settings" / "@jupyterlab" / "apputils-extension"
        overrides.mkdir(parents=True, exist_ok=True)
        (overrides / "notification.jupyterlab-settings").write_text('{"fetchNews": "false", "checkForUpdates": false}')
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self.folder,
                env={**self.environment, **settings},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise RuntimeError(f"JupyterLab ended: {self.log.read_text()[-2000:]}")
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/status", timeout=2):
                    return self
            except (OSError, urllib.error.URLError):
                time.sleep(0.1)  # the server has no other way to say that it is ready
        self.__exit__(None, None, None)
        raise RuntimeError(f"JupyterLab did not answer: {self.log.read_text()[-2000:]}")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(15)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


@contextmanager
def chromium() -> Iterator[Any]:
    """Playwright's Browser over the system's Chromium (no browser of its own is downloaded)."""
    from playwright.sync_api import sync_playwright

    program = next((p for p in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if p), None)
    if program is None:
        raise RuntimeError("no Chromium; run: sudo apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=CHROMIUM_FLAGS)
        try:
            yield browser
        finally:
            browser.close()


def run_all(page: Any) -> None:
    """Run every cell of the open notebook, once its session is there (before, JupyterLab would ask which kernel to use)."""
    page.wait_for_function("() => window.jupyterapp?.shell?.currentWidget?.sessionContext", timeout=60_000)
    page.evaluate(
        """async () => {
            const panel = window.jupyterapp.shell.currentWidget;
            await panel.context.ready;
            await panel.sessionContext.ready;
            await panel.sessionContext.session.kernel.info;
            window.jupyterapp.commands.execute('notebook:run-all-cells');
        }"""
    )


def wait_for_idle(page: Any, timeout: float = 240.0) -> None:
    """Until every code cell that has a source was run and the kernel rests. Raises RuntimeError at once when a cell fails."""
    found = page.wait_for_function(
        """() => {
            const panel = window.jupyterapp?.shell?.currentWidget;
            if (!panel?.content?.model) return null;
            const cells = [...panel.content.model.cells].filter((c) => c.type === 'code' && c.sharedModel.getSource().trim());
            const failed = cells.flatMap((c) => c.sharedModel.getOutputs().filter((o) => o.output_type === 'error'));
            if (failed.length) return `${failed[0].ename}: ${failed[0].evalue}`;
            const done = cells.every((c) => c.executionCount !== null && c.executionState !== 'running');
            return done && panel.sessionContext.session?.kernel?.status === 'idle' ? 'done' : null;
        }""",
        timeout=timeout * 1000,
    ).json_value()
    if found != "done":
        raise RuntimeError(f"a cell of the notebook failed: {found}")
