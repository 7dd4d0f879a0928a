// The traffic meter: answered and lost requests over the last minute, the latency, and who answered.

const HALAB_SPAN = [15, 60]; // seconds that the charts show: at first few, so that the first failure is seen in its width, then all that is kept

function paint({ model, el }) {
  const toggle = make("button", "halab-button halab-traffic-toggle");
  toggle.addEventListener("click", () => model.send({ do: model.get("running") ? "stop" : "start" }));
  const shown = frame({ model, el }, "traffic", "Traffic meter", toggle);

  const figures = make("div", "halab-traffic-figures");
  const figure = (/** @type {string} */ word) => {
    const box = make("div", "halab-traffic-figure");
    const value = make("b", "halab-traffic-value", "–");
    box.append(value, make("span", "halab-traffic-word", word));
    figures.append(box);
    return value;
  };
  const [rate, ok, lost, hurt, latency] = [figure("of all answered"), figure("answered"), figure("lost"), figure("time with losses"), figure("latency now")];
  figures.append(fillLegend());
  const charts = make("div", "halab-traffic-charts");
  const counts = make("div", "halab-chart");
  const times = make("div", "halab-chart");
  for (const [host, words] of [[counts, "Requests a second, answered and lost"], [times, "Latency in milliseconds"]]) {
    host.setAttribute("role", "img");
    host.setAttribute("aria-label", `${words}, over the last minute; the numbers are beside it in words`);
  }
  charts.append(counts, times);
  const by = make("div", "halab-traffic-by");
  shown.body.append(figures, charts, by);

  const state = () => model.get("state");
  /** Seconds before now that are worth showing. */
  function span() {
    const { times: at, good, failed } = state();
    const first = at?.findIndex((_t, i) => good[i] + failed[i] > 0) ?? -1;
    const [least, most] = HALAB_SPAN;
    return first < 0 ? least : Math.min(most, Math.max(least, Math.ceil((1 - at[first]) / 5) * 5));
  }
  const seconds = (_u, ticks) => ticks.map((t) => (t === 0 ? "now" : `${t} s`));
  const scale = { time: false, range: () => [-span(), 0] };
  const upTo = (/** @type {number} */ least) => ({ range: (_u, _low, high) => [0, Math.max(least, (high ?? 0) * 1.15)] });
  const counted = chart(shown.root, counts, 8.5, (look) => ({
    padding: [6, 18, 0, 0],
    scales: { x: scale, y: upTo(1) },
    axes: [look.along(seconds), { ...look.down("requests/s"), incrs: HALAB_WHOLE }],
    series: [{}, ...[look.lost, look.answered].map((one) => ({ ...one, paths: uPlot.paths.bars({ size: [1, 100], gap: 0 }) }))],
  }), () => {
    const { times: at, good, failed } = state();
    if (!at?.length) return [[], [], []];
    const each = 1 / (at[1] - at[0]); // a bar counts a part of a second
    // Lost requests show as what sticks out behind the answered ones.
    return [at, good.map((g, i) => (failed[i] ? (g + failed[i]) * each : null)), good.map((g) => g * each)];
  });
  const timed = chart(shown.root, times, 8.5, (look) => ({
    padding: [6, 18, 0, 0],
    scales: { x: scale, y: upTo(1) },
    axes: [look.along(seconds), look.down("ms")],
    series: [{}, { label: "latency", stroke: look.color("starting"), width: 1.8, points: { show: false }, spanGaps: false }],
  }), () => (state().times?.length ? [state().times, state().latency] : [[], []]));

  function answers() {
    const rows = state().by ?? [];
    const total = rows.reduce((sum, [, count]) => sum + count, 0);
    by.hidden = !total;
    keyed(by, rows, ([name]) => name, ([name]) => {
      const row = make("div", "halab-traffic-pod");
      const track = make("span", "halab-track");
      track.append(make("span", "halab-bar"));
      row.append(make("span", "halab-mono", name), track, make("span", "halab-traffic-share"));
      return row;
    }, (row, [, count]) => {
      row.children[1].firstElementChild.style.width = `${(100 * count) / total}%`;
      say(row.children[2], `${Math.round((100 * count) / total)}%`);
    });
  }

  const draw = perFrame(() => {
    const now = state();
    say(shown.title, model.get("target"));
    say(toggle, model.get("running") ? "Stop" : "Start");
    counted.draw();
    timed.draw();
    if (!now.times) return;
    say(rate, now.rate);
    say(ok, String(now.ok));
    say(lost, now.lost ? `✕ ${now.lost}` : "0");
    lost.classList.toggle("halab-traffic-bad", now.lost > 0);
    const known = now.latency.filter((/** @type {number | null} */ v) => v !== null);
    say(latency, known.length ? `${known[known.length - 1].toFixed(1)} ms` : "–");
    say(hurt, now.lost ? `${now.hurt.toFixed(1)} s` : "0 s");
    hurt.classList.toggle("halab-traffic-bad", now.lost > 0);
    answers();
  });
  const off = listen(model, { "change:state": draw, "change:running": draw });
  draw();
  return () => {
    off();
    draw.cancel();
    counted.close();
    timed.close();
    shown.close();
  };
}

const render = reattaching(paint);
export default { render };
