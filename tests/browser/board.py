"""A notebook with every widget, open in a browser over a live cluster, and what tests do there."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

from browser import JupyterLab, run_all, wait_for_idle

LAB = "02-deploy"
NAMESPACE = f"lab-{LAB}"
# nginx that says which pod answers, and is asked whether it is ready.
MANIFEST = """
apiVersion: v1
kind: ConfigMap
metadata: {name: served-by}
data: {served-by.conf: "add_header X-Served-By $hostname always;"}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      volumes: [{name: conf, configMap: {name: served-by}}]
      containers:
      - name: nginx
        image: nginx:1.22
        readinessProbe: {httpGet: {path: /, port: 80}, periodSeconds: 1, failureThreshold: 1}
        volumeMounts: [{name: conf, mountPath: /etc/nginx/conf.d/served-by.conf, subPath: served-by.conf}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: door}
spec:
  rules:
  - host: web.example.com
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}
"""
CELLS = (
    f"import halab\nlab = halab.lab('{LAB}', quiet=True)\nlab.reset(quiet=True)",
    f"%%bash\nkubectl apply -f - <<'END'{MANIFEST}END\nkubectl rollout status deployment/web --timeout=120s",
    "lab.topology()",
    "lab.fault_panel()",
    "meter = lab.traffic('service/web')\nmeter",
    "lab.routes()",
    "lab.rollout()",
    "lab.timeline()",
    "lab.checklist()",
    "lab.predict('board', 'How many pods answer?', ['two', 'three'])",
)
NAMES = ("topology", "faults", "traffic", "routes", "rollout", "timeline", "checklist", "predict")
TALL = {"width": 1280, "height": 3600}  # everything in sight: no widget is scrolled out and taken off the page


@dataclass
class Board:
    page: Any
    home: Path

    def widget(self, name: str) -> Any:
        return self.page.locator(f".halab-{name}").first

    def pods(self, state: str = "ready", of: str = "topology") -> list[str]:
        # All at once: between one question and the next a pod may be gone from the page.
        found = self.page.locator(f".halab-{of} .halab-pod-{state}[data-pod^='web-']")
        return sorted(found.evaluate_all("all => all.map((pod) => pod.dataset.pod)"))

    def wait_for_pods(self, ready: int) -> list[str]:
        """Until so many are ready and no other is there."""
        self.page.wait_for_function(
            "(n) => ['.halab-pod', '.halab-pod-ready'].every((c) => document.querySelectorAll(`.halab-topology ${c}[data-pod^='web-']`).length === n)",
            arg=ready,
        )
        return self.pods()

    def kubectl(self, *arguments: str) -> str:
        kubeconfig = self.home / "clusters" / "default" / "kubeconfig"
        command = ["kubectl", "--kubeconfig", str(kubeconfig), "-n", NAMESPACE, *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout

    def theme(self, theme: str) -> None:
        name = "JupyterLab Light" if theme == "light" else "JupyterLab Dark"
        self.page.evaluate("(name) => window.jupyterapp.commands.execute('apputils:change-theme', { theme: name })", name)
        self.page.wait_for_function("(t) => document.body.dataset.jpThemeLight === t", arg=str(theme == "light").lower())

    def restart_kernel(self) -> None:
        self.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")


def open_board(browser: Any, server: JupyterLab, home: Path, app: str) -> Board:
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in CELLS])
    book.metadata["kernelspec"] = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    nbformat.write(book, server.folder / f"board-{app}.ipynb")
    page = browser.new_context(viewport=TALL, accept_downloads=True).new_page()
    page.set_default_timeout(60_000)  # far more than anything takes, for a busy machine
    page.goto(server.url(f"board-{app}.ipynb", app))
    page.locator(".jp-Notebook").wait_for()
    run_all(page)
    wait_for_idle(page)
    board = Board(page, home)
    board.wait_for_pods(3)
    return board


def close_board(board: Board) -> None:
    """Its kernel too, which would go on recording and sending requests, and its objects, which other pages of the lab would show."""
    board.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    board.page.context.close()
    board.kubectl("delete", "deployment/web", "service/web", "ingress/door", "--ignore-not-found", "--cascade=foreground")
