"""The timeline: a lab's record, to be moved through. The topology shows the cluster as it was; the prediction stands beside what happened."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import traitlets

from halab.timeline import replay
from halab.timeline.record import Row, cut, since_reset
from halab.timeline.recorder import Recorder
from halab.widgets.base import Gatherer, Widget, script, style

SCRIPTS = ("vendor/uplot.js", "common.js", "charts.js", "picture.js", "timeline.js")
STYLES = ("vendor/uplot.css", "common.css", "topology.css", "timeline.css")


class Timeline(Widget):
    """``rows`` is the record (see ``timeline.record``) as ``{"seq", "rows"}``, ``more`` what was added since. ``minutes`` back are shown."""

    _esm = script(*SCRIPTS)
    _css = style(*STYLES)
    title = traitlets.Unicode("").tag(sync=True)
    rows: Any = traitlets.Dict().tag(sync=True)
    more: Any = traitlets.Dict().tag(sync=True)
    page = traitlets.Unicode("").tag(sync=True)

    def __init__(self, recorder: Recorder, title: str, minutes: float = 30, **kwargs: Any) -> None:
        self._recorder = recorder
        self._lock = threading.Lock()
        self._fresh: list[Row] = []
        self._end = recorder.listen(self._heard)
        recorder.flush()
        rows = since_reset(recorder.record.rows(time.time() - 60 * minutes))
        with self._lock:  # what was written since ``listen`` is in the record as well
            self._fresh = [row for row in self._fresh if row not in rows]
        super().__init__(title=title, rows={"seq": 0, "rows": rows}, **kwargs)
        self._gatherer = Gatherer(self._tell, "timeline", quiet=0.25)  # a record is read, not watched
        self._gatherer.start()
        self.on_msg(self._command)

    def _should_send_property(self, key: str, value: Any) -> bool:
        return key != "rows" and bool(super()._should_send_property(key, value))

    def _heard(self, rows: list[Row]) -> None:
        with self._lock:
            self._fresh += rows
        if hasattr(self, "_gatherer"):
            self._gatherer.poke()

    def _tell(self) -> None:
        with self._lock:
            fresh, self._fresh = self._fresh, []
            if not fresh:
                return
            seq = self.rows["seq"] + 1
            self.rows = {"seq": seq, "rows": sorted([*self.rows["rows"], *fresh], key=lambda row: float(row["at"]))}
            self.more = {"seq": seq, "rows": fresh}

    def _command(self, _widget: Any, content: dict[str, Any], _buffers: Any) -> None:
        match content.get("do"):
            case "whole":
                self.send_state("rows")
            case "page":
                self.page = ""  # so that asking twice is a change
                self.page = page(self.title, self.rows["rows"])

    def at(self, when: float) -> str:
        """The moment ``when`` (Unix time) in words."""
        return replay.describe(self.rows["rows"], when)

    def export(self, path: str | Path, *, since: float = 0.0) -> Path:
        """Write what is shown to a file: ``.json``, or else a self-contained HTML page that works without a kernel and without a network."""
        target = Path(path)
        rows = cut(self.rows["rows"], since) if since else self.rows["rows"]
        target.write_text(json.dumps({"title": self.title, "rows": rows}) if target.suffix == ".json" else page(self.title, rows))
        return target

    def close(self) -> None:
        self._end()
        self._gatherer.close()
        super().close()

    def __repr__(self) -> str:
        rows = self.rows["rows"]
        if not rows:
            return "nothing was recorded yet"
        return "\n".join(filter(None, (replay.users(rows), replay.describe(rows, rows[-1]["at"]))))


def page(title: str, rows: list[Row]) -> str:
    """The timeline as one HTML file."""
    code = script(*SCRIPTS).replace("export default { render };", "").replace("</script", "<\\/script")
    data = json.dumps({"title": title, "rows": {"seq": 0, "rows": rows}, "more": {}, "page": "", "again": ""}).replace(
        "<", "\\u003c"
    )
    safe = title.replace("&", "&amp;").replace("<", "&lt;")
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{safe}</title><style>{style(*STYLES)}\n"
        ":root{color-scheme:light dark}body{margin:1rem;background:#fff}.theme-dark{background:#0d1117}</style></head><body>"
        f'<main id="halab"></main><script>if(matchMedia("(prefers-color-scheme: dark)").matches)document.documentElement.className="theme-dark";'
        f"</script><script>(()=>{{{code}\nconst data={data};\n"
        'render({model:{get:(n)=>data[n],set(){},save_changes(){},send(){},on(){},off(){}},el:document.getElementById("halab")});'
        "})()</script></body></html>"
    )
