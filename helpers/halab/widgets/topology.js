// The topology: routes, Services and nodes with their pods, drawn from the synced state; commands go back as messages.
// Pods are buttons (focus moves with the arrow keys), edges are an SVG layer behind them that is redrawn when the layout changes.

/** @typedef {{name: string, uid: string, node: string, state: string, word: string, address: string, restarts: number, images: string[]}} Pod */

const SVG = "http://www.w3.org/2000/svg";
const GLYPHS = {
  ready: '<circle cx="8" cy="8" r="6"/>',
  running: '<path d="M8 2a6 6 0 0 1 0 12z"/><circle cx="8" cy="8" r="6" fill="none" stroke-width="2" stroke="currentColor"/>',
  starting: '<circle cx="8" cy="8" r="6" fill="none" stroke="currentColor" stroke-width="2" stroke-dasharray="3 2.3"/>',
  failing: '<path d="M8 1.5 15 14.5H1z"/>',
  ending: '<path d="M3 3l10 10M13 3L3 13" stroke="currentColor" stroke-width="3" stroke-linecap="round"/>',
  done: '<rect x="2.5" y="2.5" width="11" height="11" rx="1"/>',
  waiting: '<rect x="3" y="3" width="10" height="10" fill="none" stroke="currentColor" stroke-width="2" stroke-dasharray="3 2.3"/>',
};

/** @param {string} tag @param {string} name @param {string} [text] */
function make(tag, name, text) {
  const element = document.createElement(tag);
  element.className = name;
  if (text !== undefined) element.textContent = text;
  return element;
}

/** Show only what differs: pods of one owner share a long prefix. @param {string} name */
function short(name) {
  const words = name.split("-");
  return words.length > 2 ? words.slice(-2).join("-") : name;
}

/** Keep one child element a key, in order; make and update as needed.
 *  @template T @param {Element} parent @param {T[]} items @param {(item: T) => string} key @param {(item: T) => HTMLElement} create @param {(element: HTMLElement, item: T) => void} update */
function keyed(parent, items, key, create, update) {
  const old = new Map([...parent.children].map((c) => [/** @type {HTMLElement} */ (c).dataset.key, /** @type {HTMLElement} */ (c)]));
  let place = null;
  for (const item of items) {
    const name = key(item);
    let element = old.get(name);
    if (!element) {
      element = create(item);
      element.dataset.key = name;
    }
    old.delete(name);
    update(element, item);
    const next = place ? place.nextElementSibling : parent.firstElementChild;
    if (next !== element) parent.insertBefore(element, next);
    place = element;
  }
  for (const gone of old.values()) gone.remove();
}

function render({ model, el }) {
  const root = make("section", "halab-topology");
  root.setAttribute("aria-label", "Topology of the lab");
  const head = make("div", "halab-topology-head");
  const title = make("span", "halab-topology-title");
  const legend = make("span", "halab-topology-legend");
  for (const [state, word] of [["ready", "ready"], ["running", "not ready"], ["starting", "starting"], ["failing", "failing"], ["ending", "stopping"]]) {
    const item = make("span", `halab-pod-${state}`);
    item.append(glyph(state), word);
    legend.append(item);
  }
  head.append(title, legend);

  const stage = make("div", "halab-topology-stage");
  const edges = document.createElementNS(SVG, "svg");
  edges.setAttribute("class", "halab-topology-edges");
  edges.setAttribute("aria-hidden", "true");
  const routes = make("div", "halab-topology-row halab-topology-routes");
  const services = make("div", "halab-topology-row halab-topology-services");
  const nodes = make("div", "halab-topology-row halab-topology-nodes");
  nodes.setAttribute("role", "group");
  nodes.setAttribute("aria-label", "Nodes and pods; arrow keys move, Enter selects, Delete deletes a pod");
  stage.append(edges, routes, services, nodes);

  const panel = make("div", "halab-topology-panel");
  const trouble = make("div", "halab-topology-trouble");
  trouble.setAttribute("role", "alert");
  const said = make("div", "halab-topology-said");
  said.setAttribute("aria-live", "polite");
  root.append(head, stage, panel, trouble, said);
  el.append(root);

  const send = (/** @type {object} */ content) => model.send(content);

  /** @param {string} state */
  function glyph(state) {
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", "0 0 16 16");
    svg.setAttribute("class", "halab-glyph");
    svg.setAttribute("aria-hidden", "true");
    svg.innerHTML = GLYPHS[state] ?? GLYPHS.waiting;
    return svg;
  }

  function createPod() {
    const button = make("button", "halab-pod");
    button.setAttribute("type", "button");
    button.append(make("span", "halab-pod-glyph"), make("span", "halab-pod-name"), make("span", "halab-pod-word"));
    button.addEventListener("click", () => select(button.dataset.pod ?? ""));
    return button;
  }

  /** @param {HTMLElement} button @param {Pod} pod */
  function updatePod(button, pod) {
    const [mark, name, word] = button.children;
    if (button.dataset.state !== pod.state) {
      button.dataset.state = pod.state;
      button.className = `halab-pod halab-pod-${pod.state}`;
      mark.replaceChildren(glyph(pod.state));
    }
    button.dataset.pod = pod.name;
    name.textContent = short(pod.name);
    word.textContent = pod.word + (pod.restarts ? ` ↻${pod.restarts}` : "");
    button.setAttribute("aria-pressed", String(pod.name === model.get("selected")));
    button.setAttribute("aria-label", `pod ${pod.name}, ${pod.word}${pod.restarts ? `, ${pod.restarts} restarts` : ""}`);
    button.title = `${pod.name}\n${pod.word}${pod.address ? ` · ${pod.address}` : ""}\n${pod.images.join(", ")}`;
  }

  function createNode() {
    const box = make("div", "halab-node");
    const bar = make("div", "halab-node-bar");
    const cordon = make("button", "halab-node-cordon");
    cordon.setAttribute("type", "button");
    cordon.addEventListener("click", () => send({ do: box.dataset.cordoned === "true" ? "uncordon" : "cordon", name: box.dataset.key }));
    bar.append(make("span", "halab-node-name"), make("span", "halab-node-word"), cordon);
    box.append(bar, make("div", "halab-node-pods"));
    return box;
  }

  function updateNode(box, node) {
    box.classList.toggle("halab-node-lost", !node.ready);
    box.classList.toggle("halab-node-cordoned", node.cordoned);
    box.dataset.cordoned = String(node.cordoned);
    const [name, word, cordon] = box.firstElementChild.children;
    name.textContent = node.name;
    word.textContent = node.word;
    cordon.hidden = node.fake === true;
    cordon.textContent = node.cordoned ? "Uncordon" : "Cordon";
    cordon.setAttribute("aria-label", `${cordon.textContent} node ${node.name}`);
    keyed(box.lastElementChild, node.pods, (pod) => pod.uid || pod.name, createPod, updatePod);
  }

  function draw() {
    const state = model.get("state");
    title.textContent = model.get("title");
    keyed(routes, state.routes ?? [], (r) => `${r.ingress}/${r.host}${r.path}`, () => make("div", "halab-chip halab-route"), (chip, r) => {
      chip.textContent = `${r.tls ? "🔒 " : ""}${r.host}${r.path}`;
      chip.title = `Ingress ${r.ingress}: ${r.host}${r.path} → service ${r.service}`;
      chip.dataset.service = r.service;
    });
    keyed(services, state.services ?? [], (s) => s.name, () => make("div", "halab-chip halab-service"), (chip, s) => {
      chip.textContent = `${s.name}  ${s.ready}/${s.targets.length}`;
      chip.title = `Service ${s.name} (${s.type}) ${s.address} port ${s.ports.join(", ")}: ${s.ready} of ${s.targets.length} pods ready`;
      chip.classList.toggle("halab-service-empty", s.ready === 0);
    });
    const boxes = [...(state.nodes ?? [])];
    if (state.unplaced?.length) boxes.push({ name: "no node yet", word: "", ready: true, cordoned: false, fake: true, pods: state.unplaced });
    keyed(nodes, boxes, (n) => n.name, createNode, updateNode);
    routes.hidden = !state.routes?.length;
    services.hidden = !state.services?.length;
    roving();
    later();
  }

  // Edges: measured after layout, at most once a frame.
  let asked = 0;
  function later() {
    if (!asked) asked = requestAnimationFrame(drawEdges);
  }

  function drawEdges() {
    asked = 0;
    const frame = stage.getBoundingClientRect();
    if (!frame.width) return;
    edges.setAttribute("width", String(frame.width));
    edges.setAttribute("height", String(frame.height));
    const state = model.get("state");
    const chips = new Map([...services.children].map((c) => [c.dataset.key, c]));
    const pods = new Map([...nodes.querySelectorAll(".halab-pod")].map((p) => [p.dataset.pod, p]));
    const lines = [];
    for (const chip of routes.children) {
      const service = chips.get(chip.dataset.service);
      if (service) lines.push(path(frame, chip, service, "halab-edge"));
    }
    for (const service of state.services ?? []) {
      const chip = chips.get(service.name);
      for (const target of service.targets) {
        const pod = pods.get(target.pod);
        if (chip && pod) lines.push(path(frame, chip, pod, target.ready ? "halab-edge" : "halab-edge halab-edge-off"));
      }
    }
    edges.replaceChildren(...lines);
  }

  function path(frame, from, to, name) {
    const a = from.getBoundingClientRect();
    const b = to.getBoundingClientRect();
    const [x1, y1, x2, y2] = [a.left + a.width / 2 - frame.left, a.bottom - frame.top, b.left + 16 - frame.left, b.top - frame.top];
    const line = document.createElementNS(SVG, "path");
    const bend = Math.max(12, (y2 - y1) / 2);
    line.setAttribute("d", `M${x1} ${y1}C${x1} ${y1 + bend} ${x2} ${y2 - bend} ${x2} ${y2}`);
    line.setAttribute("class", name);
    return line;
  }

  // Keyboard: one pod is in the tab order; arrows move among all.
  const buttons = () => /** @type {HTMLElement[]} */ ([...nodes.querySelectorAll(".halab-pod")]);

  function roving() {
    const all = buttons();
    const current = all.find((b) => b.tabIndex === 0 && b.isConnected) ?? all[0];
    for (const button of all) button.tabIndex = button === current ? 0 : -1;
  }

  function onKey(event) {
    const all = buttons();
    const index = all.indexOf(/** @type {HTMLElement} */ (document.activeElement));
    if (index < 0) return;
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (step) {
      const next = all[(index + step + all.length) % all.length];
      for (const button of all) button.tabIndex = button === next ? 0 : -1;
      next.focus();
    } else if (event.key === "Delete") {
      send({ do: "delete-pod", name: all[index].dataset.pod, now: event.shiftKey });
    } else if (event.key === "Escape") {
      select("");
    } else {
      return;
    }
    // JupyterLab has its own meaning for these keys; here they belong to the picture.
    event.preventDefault();
    event.stopPropagation();
  }

  function select(name) {
    model.set("selected", name === model.get("selected") ? "" : name);
    model.save_changes();
    drawPanel();
    for (const button of buttons()) button.setAttribute("aria-pressed", String(button.dataset.pod === model.get("selected")));
  }

  function drawPanel() {
    const name = model.get("selected");
    const found = model.get("details");
    panel.hidden = !name;
    if (!name) return panel.replaceChildren();
    if (panel.dataset.pod !== name) {
      panel.dataset.pod = name;
      const bar = make("div", "halab-panel-bar");
      const gentle = make("button", "halab-button", "Delete pod");
      const hard = make("button", "halab-button halab-button-danger", "Kill now");
      const close = make("button", "halab-button", "Close");
      gentle.title = "Ask it to stop, with its grace period (Delete)";
      hard.title = "No grace period (Shift+Delete)";
      gentle.addEventListener("click", () => send({ do: "delete-pod", name }));
      hard.addEventListener("click", () => send({ do: "delete-pod", name, now: true }));
      close.addEventListener("click", () => select(name));
      bar.append(make("strong", "halab-panel-name", name), make("span", "halab-panel-facts"), gentle, hard, close);
      panel.replaceChildren(bar, make("div", "halab-panel-head", "Events"), make("ul", "halab-panel-events"), make("div", "halab-panel-head", "Log"), make("pre", "halab-panel-log"));
    }
    const [bar, , events, , log] = panel.children;
    const known = found.name === name;
    bar.querySelector(".halab-panel-facts").textContent = known ? `${found.word} · ${found.node || "no node"} · ${found.address || "no address"} · ${found.restarts} restarts` : "…";
    events.replaceChildren(...(known ? found.events : []).map((line) => make("li", "halab-panel-event", line)));
    log.textContent = known ? found.log || "(nothing yet)" : "";
    log.scrollTop = log.scrollHeight;
  }

  const drawSaid = () => (said.textContent = model.get("said"));
  const drawTrouble = () => {
    trouble.textContent = model.get("trouble");
    trouble.hidden = !trouble.textContent;
  };

  nodes.addEventListener("keydown", onKey);
  model.on("change:state", draw);
  model.on("change:details", drawPanel);
  model.on("change:selected", drawPanel);
  model.on("change:said", drawSaid);
  model.on("change:trouble", drawTrouble);
  const sized = new ResizeObserver(later);
  sized.observe(stage);
  draw();
  drawPanel();
  drawSaid();
  drawTrouble();
  return () => {
    sized.disconnect();
    cancelAnimationFrame(asked);
    model.off("change:state", draw);
    model.off("change:details", drawPanel);
    model.off("change:selected", drawPanel);
    model.off("change:said", drawSaid);
    model.off("change:trouble", drawTrouble);
    root.remove();
  };
}

export default { render };
