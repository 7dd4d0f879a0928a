// The traffic meter: answered and lost requests over the last minute, the latency, and who answered. uPlot (joined in front) draws the charts.
/* global uPlot */

const BINS = { height: 110 };

function paint({ model, el }) {
  const root = make("section", "halab-widget halab-traffic");
  root.setAttribute("aria-label", "Traffic meter");
  const head = make("div", "halab-head");
  const title = make("span", "halab-title");
  const toggle = make("button", "halab-button halab-traffic-toggle");
  toggle.addEventListener("click", () => model.send({ do: model.get("running") ? "stop" : "start" }));
  head.append(title, toggle);

  const figures = make("div", "halab-traffic-figures");
  const figure = (/** @type {string} */ word) => {
    const box = make("div", "halab-traffic-figure");
    const value = make("b", "halab-traffic-value", "–");
    box.append(value, make("span", "halab-traffic-word", word));
    figures.append(box);
    return value;
  };
  const [rate, ok, lost, latency] = [figure("answered"), figure("good"), figure("lost"), figure("ms now")];
  const charts = make("div", "halab-traffic-charts");
  const counts = make("div", "halab-traffic-chart");
  const times = make("div", "halab-traffic-chart");
  charts.append(counts, times);
  const by = make("div", "halab-traffic-by");
  const said = make("div", "halab-said");
  said.setAttribute("aria-live", "polite");
  root.append(head, figures, charts, by, said);
  el.append(root);

  const voice = speaker(said);
  const css = (/** @type {string} */ name) => getComputedStyle(root).getPropertyValue(name).trim();
  const axis = (/** @type {string} */ label) => ({ label, labelSize: 16, size: 44, stroke: css("--halab-ink"), grid: { stroke: css("--halab-line"), width: 1 }, ticks: { show: false }, font: "11px sans-serif", labelFont: "11px sans-serif" });
  const common = () => ({ width: Math.max(200, counts.clientWidth), height: BINS.height, legend: { show: false }, cursor: { show: false }, padding: [6, 18, 0, 0], scales: { x: { time: false, range: [-60, 0] } } });
  const seconds = () => ({ ...axis(""), size: 22, labelSize: 0, values: (_u, ticks) => ticks.map((t) => (t === 0 ? "now" : `${t} s`)) });

  let plots = /** @type {any[]} */ ([]);
  function build() {
    for (const plot of plots) plot.destroy();
    const bars = uPlot.paths.bars({ size: [1, 100], gap: 0 });
    const counted = new uPlot({
      ...common(),
      axes: [seconds(), axis("requests")],
      series: [
        {},
        { label: "all", stroke: css("--halab-failing"), fill: css("--halab-failing"), paths: bars, points: { show: false } },
        { label: "answered", stroke: css("--halab-ready"), fill: css("--halab-ready"), paths: bars, points: { show: false } },
      ],
    }, [[], [], []], counts);
    const timed = new uPlot({
      ...common(),
      axes: [seconds(), axis("ms")],
      scales: { x: { time: false, range: [-60, 0] }, y: { range: (_u, _low, high) => [0, Math.max(1, (high ?? 0) * 1.15)] } },
      series: [{}, { label: "latency", stroke: css("--halab-starting"), width: 1.6, points: { show: false }, spanGaps: false }],
    }, [[], []], times);
    plots = [counted, timed];
    feed();
  }

  function feed() {
    const state = model.get("state");
    if (!plots.length || !state.times) return;
    // Lost requests show as what sticks out behind the answered ones.
    plots[0].setData([state.times, state.good.map((g, i) => g + state.failed[i]), state.good]);
    plots[1].setData([state.times, state.latency]);
  }

  function draw() {
    const state = model.get("state");
    title.textContent = model.get("target");
    toggle.textContent = model.get("running") ? "Stop" : "Start";
    voice.say(model.get("said"));
    if (!state.times) return;
    rate.textContent = state.rate;
    ok.textContent = String(state.ok);
    lost.textContent = state.lost ? `✕ ${state.lost}` : "0";
    lost.classList.toggle("halab-traffic-bad", state.lost > 0);
    const known = state.latency.filter((/** @type {number | null} */ v) => v !== null);
    latency.textContent = known.length ? known[known.length - 1].toFixed(1) : "–";
    const total = state.by.reduce((/** @type {number} */ sum, /** @type {[string, number]} */ row) => sum + row[1], 0);
    by.hidden = !total;
    by.replaceChildren(...state.by.map((/** @type {[string, number]} */ [name, count]) => {
      const row = make("div", "halab-traffic-pod");
      const bar = make("span", "halab-traffic-bar");
      bar.style.width = `${(100 * count) / total}%`;
      const track = make("span", "halab-traffic-track");
      track.append(bar);
      row.append(make("span", "halab-traffic-name", name), track, make("span", "halab-traffic-share", `${Math.round((100 * count) / total)}%`));
      return row;
    }));
    feed();
  }

  const sized = new ResizeObserver(() => {
    const width = Math.max(200, counts.clientWidth);
    for (const plot of plots) if (plot.width !== width) plot.setSize({ width, height: BINS.height });
  });
  sized.observe(counts);
  const built = requestAnimationFrame(build);
  model.on("change:state", draw);
  model.on("change:running", draw);
  model.on("change:said", draw);
  draw();
  return () => {
    cancelAnimationFrame(built);
    sized.disconnect();
    for (const plot of plots) plot.destroy();
    for (const name of ["state", "running", "said"]) model.off(`change:${name}`, draw);
    voice.close();
    root.remove();
  };
}

const render = reattaching(paint);
export default { render };
