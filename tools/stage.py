"""Widgets in a bare page, without a kernel and without JupyterLab: for tests in a browser, measurements and pictures.

page = staged(browser, Topology, {"title": "...", "state": {...}}, theme="dark")
page.evaluate("(v) => halab.push('delta', v)", {...})          as if the kernel had set a trait
page.evaluate("halab.sent")                                   what the widget sent to the kernel
"""

from __future__ import annotations

import json
from typing import Any

from halab.timeline.picture import Painter, Picture

PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>stage</title><style>%(css)s
body { margin: 12px; font-family: sans-serif; background: var(--jp-layout-color1); color: var(--jp-ui-font-color1); %(vars)s }</style></head>
<body data-jp-theme-light="%(light)s"><main id="here"></main><script>(() => {
const handlers = {}; const data = %(data)s;
window.halab = { sent: [], push(name, value) { data[name] = value; for (const f of [...(handlers["change:" + name] ?? [])]) f(); },
  fire(name) { for (const f of [...(handlers[name] ?? [])]) f(); } };
const model = { get: (n) => data[n], set(n, v) { data[n] = v; }, save_changes() {}, send(m) { halab.sent.push(m); }, widget_manager: {},
  on(n, f) { (handlers[n] ??= []).push(f); }, off(n, f) { handlers[n] = (handlers[n] ?? []).filter((g) => g !== f); } };
%(code)s
halab.end = render({ model, el: document.getElementById("here") }); })();
</script></body></html>"""
# JupyterLab's own values, which the widgets follow.
THEMES = {
    "light": "--jp-layout-color1: #fff; --jp-ui-font-color1: rgba(0,0,0,.87); --jp-ui-font-family: system-ui, sans-serif;",
    "dark": "--jp-layout-color1: #212121; --jp-ui-font-color1: rgba(255,255,255,.87); --jp-ui-font-family: system-ui, sans-serif;",
}


def html(widget: Any, data: dict[str, Any], theme: str = "light", size: int = 14) -> str:
    """``size`` of the text in pixels, as JupyterLab's setting has it."""
    code = widget._esm.replace("export default { render };", "").replace("</script", "<\\/script")
    traits = {"again": "", "said": "", "trouble": "", "title": "default · lab", **data}
    return PAGE % {
        "css": widget._css,
        "vars": f"{THEMES[theme]} --jp-content-font-size1: {size}px;",
        "light": "true" if theme == "light" else "false",
        "data": json.dumps(traits).replace("<", "\\u003c"),
        "code": code,
    }


def staged(
    browser: Any, widget: Any, data: dict[str, Any], theme: str = "light", width: int = 900, size: int = 14, **context: Any
) -> Any:
    page = browser.new_context(viewport={"width": width, "height": 800}, **context).new_page()
    page.set_content(html(widget, data, theme, size))
    return page


def pod(name: str, node: str, ready: bool = True, version: int = 1, owner: str = "web-6d4f") -> dict[str, Any]:
    return {
        "metadata": {
            "name": name,
            "uid": name,
            "resourceVersion": str(version),
            "ownerReferences": [{"name": owner, "controller": True}],
        },
        "spec": {"nodeName": node, "containers": [{"image": "my-nginx:1.0"}]},
        "status": {
            "phase": "Running",
            "podIP": "127.1.2.3",
            "conditions": [{"type": "Ready", "status": str(ready)}],
            "containerStatuses": [{"restartCount": 0, "state": {"running": {}}}],
        },
    }


def objects(pods: int = 6, nodes: int = 3) -> dict[str, list[dict[str, Any]]]:
    """A cluster of ``pods`` ready pods behind one Service and one Ingress, and a Deployment that rolls out."""
    names = [f"node-{i + 1}" for i in range(nodes)]
    made = [pod(f"web-6d4f-{i:04d}", names[i % nodes], ready=i % 5 != 3) for i in range(pods)]
    if pods > 5:
        made[5] = pod("web-7c9b-0005", names[5 % nodes], owner="web-7c9b")  # the first of the next revision
    endpoints = [
        {"targetRef": {"name": p["metadata"]["name"]}, "conditions": {"ready": p["status"]["conditions"][0]["status"] == "True"}}
        for p in made
    ]
    backend = {"service": {"name": "web", "port": {"number": 80}}}
    rule = {"host": "nginx.example.com", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}
    owner = [{"kind": "Deployment", "name": "web", "controller": True}]

    def revision(number: int, image: str, wanted: int, there: int, ready: int) -> dict[str, Any]:
        meta = {
            "name": {1: "web-6d4f", 2: "web-7c9b"}[number],
            "annotations": {"deployment.kubernetes.io/revision": str(number)},
            "ownerReferences": owner,
        }
        spec = {"replicas": wanted, "template": {"spec": {"containers": [{"image": image}]}}}
        return {"metadata": meta, "spec": spec, "status": {"replicas": there, "readyReplicas": ready}}

    return {
        "nodes": [{"metadata": {"name": n}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}} for n in names],
        "pods": made,
        "services": [{"metadata": {"name": "web"}, "spec": {"clusterIP": "127.1.128.5", "ports": [{"port": 80}]}}],
        "endpointslices": [
            {"metadata": {"name": "web-x1", "labels": {"kubernetes.io/service-name": "web"}}, "endpoints": endpoints}
        ],
        "ingresses": [{"metadata": {"name": "door"}, "spec": {"rules": [rule]}}],
        "deployments": [
            {
                "metadata": {"name": "web", "annotations": {"deployment.kubernetes.io/revision": "2"}},
                "spec": {"replicas": 6},
                "status": {"replicas": 7, "updatedReplicas": 3, "availableReplicas": 5},
            }
        ],
        "replicasets": [revision(1, "my-nginx:1.0", 4, 4, 4), revision(2, "my-nginx:2.0", 4, 3, 1)],
    }


def picture(pods: int = 6, nodes: int = 3) -> Picture:
    return Painter().paint(objects(pods, nodes))
