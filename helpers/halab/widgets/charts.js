// Charts: uPlot (joined in front) in the widget's own colours and size of text, made anew when those change.
/* global uPlot */

/** Calls `changed` when the looks that a chart has taken from its surroundings are no longer theirs: another theme, another size of text.
 *  JupyterLab, Notebook and VS Code tell it by attributes of the body, a plain page by its media query. @param {HTMLElement} root */
function onLooks(root, changed) {
  const looks = () => {
    const style = getComputedStyle(root);
    return ["--halab-ink", "--halab-ready", "--halab-paper"].map((name) => style.getPropertyValue(name)).join() + style.fontSize;
  };
  let before = looks();
  const look = perFrame(() => {
    const now = looks();
    if (now === before) return;
    before = now;
    changed();
  });
  const seen = new MutationObserver(look);
  for (const element of [document.documentElement, document.body]) seen.observe(element, { attributes: true });
  const media = matchMedia("(prefers-color-scheme: dark)");
  media.addEventListener("change", look);
  return () => {
    seen.disconnect();
    media.removeEventListener("change", look);
    look.cancel();
  };
}

/** What is lost is hatched, so that it is not told by its colour alone. @param {string} color @param {string} paper */
function hatch(color, paper) {
  const tile = document.createElement("canvas");
  const side = Math.round(7 * devicePixelRatio);
  tile.width = tile.height = side;
  const pen = /** @type {CanvasRenderingContext2D} */ (tile.getContext("2d"));
  pen.fillStyle = paper;
  pen.fillRect(0, 0, side, side);
  pen.strokeStyle = color;
  pen.lineWidth = side / 2.6;
  for (const at of [-side, 0, side]) {
    pen.beginPath();
    pen.moveTo(at - 1, side + 1);
    pen.lineTo(at + side + 1, -1);
    pen.stroke();
  }
  return pen.createPattern(tile, "repeat");
}

const HALAB_WHOLE = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000];

/** A chart in `host`, kept as wide as it. `options(look)` gives uPlot's options; `look` has the colours by name, `axis(label)`, and `answered` and
 *  `lost` as series. `data()` gives its columns. @param {HTMLElement} root @param {HTMLElement} host @param {number} lines its height in lines of text */
function chart(root, host, lines, options, data) {
  /** @type {any} */
  let plot = null;
  const height = () => Math.round(lines * parseFloat(getComputedStyle(root).fontSize));

  function build() {
    plot?.destroy();
    const style = getComputedStyle(root);
    const color = (/** @type {string} */ name) => style.getPropertyValue(`--halab-${name}`).trim();
    const text = Math.round(0.86 * parseFloat(style.fontSize));
    const font = `${text}px ${style.fontFamily}`;
    const axis = { stroke: color("ink"), grid: { stroke: color("line"), width: 1 }, ticks: { show: false }, font, labelFont: font };
    const series = (/** @type {string} */ label, fill) => ({ label, width: 0, fill, points: { show: false } });
    const look = {
      color,
      text,
      down: (/** @type {string} */ label) => ({ ...axis, label, labelSize: text + 6, size: 4 * text, labelGap: 0 }),
      along: (values) => ({ ...axis, size: 2 * text, space: 7 * text, values }),
      answered: series("answered", color("ready")),
      lost: series("all", () => hatch(color("failing"), color("paper"))),
    };
    const made = { width: Math.max(160, host.clientWidth), height: height(), legend: { show: false }, cursor: { show: false }, ...options(look) };
    plot = new uPlot(made, data(), host);
  }

  const fit = () => {
    if (plot && host.clientWidth && plot.width !== Math.max(160, host.clientWidth)) plot.setSize({ width: Math.max(160, host.clientWidth), height: height() });
  };
  const sized = new ResizeObserver(fit);
  sized.observe(host);
  const off = onLooks(root, () => plot && build());
  return {
    draw() {
      if (plot) plot.setData(data());
      else build();
    },
    close() {
      sized.disconnect();
      off();
      plot?.destroy();
    },
  };
}

/** The meaning of the fills. */
function fillLegend() {
  const box = make("span", "halab-legend");
  for (const [kind, word] of [["answered", "answered"], ["lost", "lost"]]) {
    const item = make("span", "halab-legend-item");
    item.append(make("span", `halab-swatch halab-swatch-${kind}`), word);
    box.append(item);
  }
  return box;
}
