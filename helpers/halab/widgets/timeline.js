// The timeline: what users had (uPlot), failures, events and notes on a common clock; a slider to move through it; the topology of that moment.

const HALAB_RIGHT = 30; // pixels right of the chart and the lanes; a label that needs more is left out
const HALAB_TICK = 9; // pixels between two ticks of a kind
const HALAB_LOSSES = 4; // stretches of lost requests that are told one by one

function paint({ model, el }) {
  const tools = make("span", "halab-timeline-tools");
  const saveJson = make("button", "halab-button", "Save JSON");
  const savePage = make("button", "halab-button", "Save HTML");
  tools.append(saveJson, savePage);
  const shown = frame({ model, el }, "timeline", "Timeline of the lab", tools);
  shown.said.remove(); // the moment is what is spoken here
  const root = shown.root;

  const host = make("div", "halab-chart halab-timeline-chart");
  host.setAttribute("role", "img");
  const lanes = make("div", "halab-timeline-lanes");
  const bar = make("div", "halab-timeline-bar");
  const back = press("◀ Previous change", () => go(changes().filter((at) => at < now - 0.05).pop() ?? start));
  const forth = press("Next change ▶", () => go(changes().find((at) => at > now + 0.05) ?? end));
  const live = press("Now", () => {
    following = true;
    now = end;
    later();
  });
  back.setAttribute("aria-label", "Previous change");
  forth.setAttribute("aria-label", "Next change");
  const slider = /** @type {HTMLInputElement} */ (make("input", "halab-timeline-slider"));
  slider.type = "range";
  slider.step = "0.1";
  slider.setAttribute("aria-label", "Moment; arrow keys move by a second");
  const key = make("span", "halab-soft halab-timeline-key");
  key.append(fillLegend(), ...["▲ failure or warning", "| event", "? predicted", "! explained", "● note"].map((words) => make("span", "halab-timeline-sign", words)));
  bar.append(back, forth, live, key);
  const moment = make("div", "halab-timeline-moment");
  moment.setAttribute("aria-live", "polite");
  const times = make("div", "halab-timeline-times");
  times.setAttribute("aria-hidden", "true");
  const users = make("div", "halab-timeline-users");
  const place = make("div", "halab-timeline-picture");
  const said = make("ul", "halab-timeline-said");
  const predicted = make("div", "halab-timeline-predictions");
  shown.body.append(users, host, lanes, slider, times, bar, moment, place, said, predicted);
  const stage = topologyStage(place, {});
  const voice = speaker(moment);

  let seq = 0;
  /** @type {any[]} */
  let rows = [];
  let following = true;
  let now = 0;
  let start = 0;
  let end = 1;

  function load() {
    const whole = model.get("rows");
    seq = whole?.seq ?? 0;
    rows = [...(whole?.rows ?? [])].sort((a, b) => a.at - b.at);
    range();
  }

  function add() {
    const more = model.get("more");
    if (!more?.seq || more.seq <= seq) return;
    if (more.seq !== seq + 1) return model.send({ do: "whole" });
    seq = more.seq;
    rows = rows.concat(more.rows).sort((a, b) => a.at - b.at);
    range();
  }

  function range() {
    if (!rows.length) {
      say(moment, "Nothing was recorded yet.");
      return;
    }
    start = rows[0].at;
    end = Math.max(start + 1, rows[rows.length - 1].at);
    slider.min = "0";
    slider.max = String(Math.ceil((end - start) * 10) / 10);
    if (following) now = end;
    later();
  }

  const pictureAt = (/** @type {number} */ at) => {
    const picture = {};
    for (const row of rows) {
      if (row.at > at) break;
      if (!row.set) continue;
      if (row.whole) for (const key in picture) delete picture[key];
      Object.assign(picture, row.set);
      for (const key of row.gone ?? []) delete picture[key];
    }
    return picture;
  };
  const clock = (/** @type {number} */ at) => new Date(at * 1000).toLocaleTimeString([], { hour12: false });

  /** Failures as spans: [begin, end, fault]. */
  function spans() {
    const open = new Map();
    const found = [];
    for (const { at, fault } of rows) {
      if (!fault) continue;
      if (fault.healed) {
        const was = open.get(fault.id);
        if (was) was[1] = at;
        open.delete(fault.id);
      } else if (!open.has(fault.id)) {
        const span = [at, Math.min(end, fault.until ?? end), fault]; // it heals by itself, also when nobody recorded that
        open.set(fault.id, span);
        found.push(span);
      }
    }
    return found;
  }

  // What is said of a moment: failures that are active, and what happened within the second.
  function tell(at, picture) {
    const pods = viewsOf(picture, "pod/");
    const ready = pods.filter((p) => p.state === "ready").length;
    let [good, failed] = [0, 0];
    const near = [];
    for (const row of rows) {
      if (row.traffic && row.at > at - 1 && row.at <= at + 0.001) [good, failed] = [good + row.traffic.good, failed + row.traffic.failed];
      if (row.at < at - 1.5 || row.at > at + 0.001) continue;
      if (row.event) near.push(`${row.event.about}: ${row.event.reason}: ${row.event.message}`);
      if (row.note) near.push(`${row.note.kind}: ${row.note.text}`);
      if (row.prediction && row.prediction.chosen != null) near.push(`predicted: ${row.prediction.options[row.prediction.chosen]}`);
      if (row.outcome) near.push(`explained: ${row.outcome.seen}`);
    }
    const active = spans().filter(([from, to]) => from <= at && at < to);
    const words = [`${clock(at)}: ${pods.length ? `${ready} of ${pods.length} pods ready` : "no pods"}`];
    for (const [, , fault] of active) words.push(`▲ ${fault.title}${fault.target ? `: ${fault.target}` : ""}`);
    if (good || failed) words.push(failed ? `✕ ${failed} of ${good + failed} requests lost in that second` : `${good} requests answered in that second`);
    voice.say(words.join(" · "));
    said.replaceChildren(...near.slice(-6).map((line) => make("li", "halab-timeline-line", line)));
    said.hidden = !near.length;
  }

  function drawLanes() {
    const share = (/** @type {number} */ at) => `${(100 * Math.min(1, Math.max(0, (at - start) / (end - start)))).toFixed(2)}%`;
    const marks = [];
    const width = lanes.clientWidth || 600;
    const letter = 0.6 * parseFloat(getComputedStyle(root).fontSize);
    /** @type {number[]} */
    const rowEnds = []; // in pixels: a label is put into the first row that has room for it
    for (const [from, to, fault] of spans()) {
      const words = `▲ ${fault.title}`;
      const left = (width * (from - start)) / (end - start);
      const right = Math.max((width * (to - start)) / (end - start), left + letter * words.length);
      let row = rowEnds.findIndex((used) => used < left);
      if (row < 0) row = rowEnds.length;
      rowEnds[row] = right;
      const mark = make("span", "halab-timeline-fault");
      const label = make("span", "halab-timeline-label", words);
      if (right > width && left > width / 2) label.classList.add("halab-timeline-before");
      mark.append(label);
      mark.style.left = share(from);
      mark.style.top = `calc(${row} * 1.75em + 3px)`;
      mark.style.width = `max(6px, calc(${share(to)} - ${share(from)}))`;
      mark.title = `${fault.title} ${fault.target}: ${clock(from)} to ${clock(to)}`;
      marks.push(mark);
    }
    lanes.style.height = `calc(${Math.max(1, rowEnds.length)} * 1.75em + 1.8em)`;
    /** @type {Map<string, number>} where the last tick of a kind stands, in pixels */
    const drawn = new Map();
    for (const row of rows) {
      const bad = row.event?.type === "Warning";
      const kind = row.prediction ? "?" : row.outcome ? "!" : row.note ? "●" : bad ? "▲" : row.event ? "|" : "";
      if (!kind) continue;
      const x = (width * (row.at - start)) / (end - start);
      if (x - (drawn.get(kind) ?? -HALAB_TICK) < HALAB_TICK) continue; // it would only cover the one before
      drawn.set(kind, x);
      const mark = make("span", `halab-timeline-tick${bad ? " halab-timeline-bad" : ""}`, kind);
      mark.style.left = share(row.at);
      mark.title = row.event ? `${row.event.about}: ${row.event.reason}` : row.note ? row.note.text : row.prediction ? `prediction: ${row.prediction.question}` : row.outcome.seen;
      marks.push(mark);
    }
    lanes.replaceChildren(...marks);
    lanes.setAttribute("aria-hidden", "true"); // the same is said in words, moment by moment
  }

  function drawPredictions() {
    const outcomes = new Map(rows.filter((r) => r.outcome).map((r) => [r.outcome.name, r.outcome]));
    const asked = new Map(rows.filter((r) => r.prediction).map((r) => [r.prediction.name, r.prediction]));
    predicted.hidden = !asked.size;
    predicted.replaceChildren(...[...asked.values()].map((one) => {
      const outcome = outcomes.get(one.name);
      const box = make("div", "halab-timeline-prediction");
      const right = outcome && one.chosen != null ? one.chosen === outcome.happened : null;
      box.append(make("div", "halab-title", one.question));
      const pair = make("dl", "halab-terms");
      const row = (/** @type {string} */ word, /** @type {string} */ text) => pair.append(make("dt", "halab-soft", word), make("dd", "", text));
      row("you predicted", one.chosen == null ? "(not committed)" : `${right === null ? "" : right ? "✔ " : "✕ "}${one.options[one.chosen]}`);
      row("what happened", outcome ? one.options[outcome.happened] : "(not yet)");
      if (outcome) row("observed", outcome.seen);
      box.append(pair);
      return box;
    }));
  }

  function traffic() {
    const bins = new Map();
    for (const row of rows) if (row.traffic) {
      const bin = bins.get(row.at) ?? [0, 0];
      bins.set(row.at, [bin[0] + row.traffic.good, bin[1] + row.traffic.failed]);
    }
    // A stretch in which nothing was sent is empty, not a line from one meter to the next.
    for (const at of [...bins.keys()]) if (!bins.has(at + 0.5)) bins.set(at + 0.5, [0, 0]);
    const times = [...bins.keys()].sort((a, b) => a - b);
    const each = (/** @type {(bin: number[]) => number} */ count) => times.map((t) => 2 * count(bins.get(t))); // a row counts half a second
    return [times.map((t) => t - start), each(([good, failed]) => good + failed), each(([good]) => good)];
  }

  /** Stretches in which users lost requests, with less than a second of calm between two of them: [begin, end, lost]. */
  function losses() {
    const found = [];
    for (const row of rows) {
      if (!row.traffic?.failed) continue;
      const last = found[found.length - 1];
      if (last && row.at - last[1] <= 1.001) [last[1], last[2]] = [row.at, last[2] + row.traffic.failed];
      else found.push([row.at - 0.5, row.at, row.traffic.failed]); // a row counts the half second before it
    }
    return found;
  }

  /** Who was hurt, and for how long: in words, and each stretch as a way to it. */
  function drawUsers() {
    const [good, failed] = rows.reduce(([g, f], { traffic }) => (traffic ? [g + traffic.good, f + traffic.failed] : [g, f]), [0, 0]);
    users.hidden = !(good + failed);
    const found = losses();
    const time = found.reduce((sum, [from, to]) => sum + to - from, 0);
    const all = good + failed;
    const words = failed ? `Users lost ${failed} of ${all} requests, within ${time.toFixed(1)} s:` : `Users got an answer to each of ${all} requests.`;
    const worst = [...found].sort((a, b) => b[2] - a[2]).slice(0, HALAB_LOSSES).sort((a, b) => a[0] - b[0]);
    const more = found.length - worst.length;
    keyed(users, [{ id: "words", text: words }, ...worst.map(([from, to, lost]) => ({ id: `${from}`, from, text: `✕ ${lost} in ${(to - from).toFixed(1)} s` })), ...(more ? [{ id: "more", text: `and ${more} smaller` }] : [])],
      (one) => one.id,
      (one) => (one.from === undefined ? make("span", one.id === "words" ? "halab-title" : "halab-soft") : press("", () => go(Number(one.id) + 0.5), "halab-timeline-loss")),
      (element, one) => {
        say(element, one.text);
        if (one.from === undefined) return;
        element.title = `From ${clock(one.from)}; go there`;
        element.setAttribute("aria-label", `${one.text}, at ${clock(one.from)}: go there`);
      });
    users.classList.toggle("halab-timeline-hurt", failed > 0);
  }

  const plot = chart(root, host, 7, (look) => ({
    padding: [6, HALAB_RIGHT, 0, 0],
    scales: { x: { time: false, range: () => [0, end - start] }, y: { range: (_u, _low, high) => [0, Math.max(1, (high ?? 0) * 1.1)] } },
    axes: [{ ...look.along((u, ticks) => ticks.map((t) => (HALAB_RIGHT + (u.width - HALAB_RIGHT) * (1 - t / (end - start)) < 2.4 * look.text ? "" : clock(start + t)))), incrs: [...HALAB_WHOLE.slice(0, 4), 15, 30, 60, 120, 300, 600, 1800, 3600] }, { ...look.down("requests/s"), incrs: HALAB_WHOLE, size: 54 - look.text - 6 }],
    series: [{}, ...[look.lost, look.answered].map((one) => ({ ...one, paths: uPlot.paths.stepped({ align: -1 }) }))],
  }), traffic);

  function drawChart() {
    const [at, all, answered] = traffic();
    host.hidden = !at.length;
    times.hidden = !host.hidden; // the chart has an axis of its own
    if (host.hidden) return keyed(times, [start, end], String, () => make("span", ""), (element, when) => say(element, clock(when)));
    const sum = (/** @type {number[]} */ column) => column.reduce((a, b) => a + b, 0) / 2;
    host.setAttribute("aria-label", `Requests over time: ${sum(answered)} answered, ${sum(all) - sum(answered)} lost`);
    plot.draw();
  }

  let whole = true;
  const soon = perFrame(() => {
    const picture = pictureAt(now);
    slider.value = String(now - start);
    slider.setAttribute("aria-valuetext", clock(now));
    root.style.setProperty("--halab-now", `${(100 * (now - start)) / (end - start)}%`);
    stage.draw(picture, null);
    tell(now, picture);
    enable(live, !following);
    if (whole) {
      whole = false;
      drawUsers();
      drawLanes();
      drawPredictions();
      drawChart();
    }
  });
  const later = () => {
    whole = true;
    soon();
  };

  function go(at) {
    now = Math.min(end, Math.max(start, at));
    following = false;
    soon();
  }

  const changes = () => rows.filter((r) => (r.set && !r.whole) || r.fault || r.event?.type === "Warning").map((r) => r.at);
  slider.addEventListener("input", () => go(start + Number(slider.value)));
  slider.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -10, PageUp: 10 }[event.key];
    if (!step) return;
    go(now + step);
    event.preventDefault();
    event.stopPropagation();
  });

  function save(name, type, text) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }
  const file = () => model.get("title").replace(/[^\w-]+/g, "-");
  saveJson.addEventListener("click", () => save(`${file()}.json`, "application/json", JSON.stringify({ title: model.get("title"), rows })));
  savePage.addEventListener("click", () => model.send({ do: "page" }));
  savePage.hidden = !model.widget_manager; // a saved page is a page already

  const sized = new ResizeObserver(later);
  sized.observe(lanes);
  const off = listen(model, {
    "change:rows": load,
    "change:more": add,
    "change:page": () => model.get("page") && save(`${file()}.html`, "text/html", model.get("page")),
  });
  load();
  return () => {
    off();
    sized.disconnect();
    soon.cancel();
    plot.close();
    voice.close();
    stage.close();
    shown.close();
  };
}

const render = reattaching(paint);
export default { render };
