// The topology of a picture: routes, Services, nodes with their pods; used live and by the timeline. Pods are buttons (focus moves with the
// arrow keys); edges are an SVG layer behind them, drawn anew when the layout changes.

const HALAB_GUTTER = 12; // pixels from a node's left side to where lines run along it
const HALAB_DENSE = 60; // pods from which each is only its shape, and edges lead to nodes instead of to every pod

/** @param {HTMLElement} host @param {{select?: (name: string) => void, selected?: () => string, remove?: (name: string, now: boolean) => void, cordon?: (name: string, on: boolean) => void}} does */
function topologyStage(host, does) {
  const SVG = "http://www.w3.org/2000/svg";
  const stage = make("div", "halab-topology-stage");
  const edges = document.createElementNS(SVG, "svg");
  edges.setAttribute("class", "halab-topology-edges");
  edges.setAttribute("aria-hidden", "true");
  const routes = make("div", "halab-topology-row halab-topology-routes");
  const services = make("div", "halab-topology-row halab-topology-services");
  const nodes = make("div", "halab-topology-row halab-topology-nodes");
  nodes.setAttribute("role", "group");
  nodes.setAttribute("aria-label", does.remove ? "Nodes and pods; arrow keys move, Enter selects, Delete deletes a pod" : "Nodes and pods; arrow keys move");
  stage.append(edges, routes, services, nodes);
  host.append(stage);
  /** @type {Record<string, any>} */
  let picture = {};
  let dense = false;
  /** @type {Map<string, HTMLElement>} */
  const shown = new Map();

  /** Deployments whose pods are of several revisions now. @type {Set<string>} */
  const mixed = new Set();

  /** What a pod is called here, without the hash that says nothing to anybody, and its revision while there are others: ["web x7k2p", "#2"]. */
  function nameOf(pod) {
    const made = picture[`revision/${pod.owner}`];
    if (!made?.deployment || !pod.name.startsWith(`${pod.owner}-`)) return [pod.name, ""];
    return [`${made.deployment} ${pod.name.slice(pod.owner.length + 1)}`, mixed.has(made.deployment) ? `#${made.revision}` : ""];
  }

  function countRevisions(pods) {
    const owners = new Map();
    mixed.clear();
    for (const pod of pods) {
      const deployment = picture[`revision/${pod.owner}`]?.deployment;
      if (deployment && (owners.get(deployment) ?? pod.owner) !== pod.owner) mixed.add(deployment);
      else if (deployment) owners.set(deployment, pod.owner);
    }
  }

  function createPod() {
    const button = make("button", "halab-pod");
    button.append(make("span", "halab-pod-glyph"), make("span", "halab-pod-name"), " ", make("span", "halab-pod-revision"), " ", make("span", "halab-pod-word"));
    button.tabIndex = -1;
    return button;
  }

  function updatePod(button, pod) {
    shown.set(pod.uid || pod.name, button);
    const [called, revision] = nameOf(pod);
    if (button.halabPod === pod && button.dataset.called === called + revision) return;
    button.halabPod = pod;
    button.dataset.called = called + revision;
    const [mark, name, from, word] = button.children;
    if (button.dataset.state !== pod.state) {
      button.dataset.state = pod.state;
      button.className = `halab-pod halab-pod-${pod.state}`;
      mark.replaceChildren(glyph(pod.state));
    }
    button.dataset.pod = pod.name;
    say(name, called);
    say(from, revision);
    from.hidden = !revision;
    const restarts = pod.restarts ? ` ↻${pod.restarts}` : "";
    say(word, pod.word + restarts);
    // What is seen comes first, so that who says what they see reaches it by voice.
    button.setAttribute("aria-label", `${called} ${revision}${revision && " "}${word.textContent}, pod ${pod.name}${pod.restarts ? `, ${pod.restarts} restarts` : ""}`);
    if (does.selected) button.setAttribute("aria-pressed", String(pod.name === does.selected()));
    button.title = `${pod.name}\n${pod.word}${pod.address ? ` · ${pod.address}` : ""}\n${pod.images.join(", ")}`;
  }

  function createNode() {
    const box = make("div", "halab-node");
    const bar = make("div", "halab-node-bar");
    bar.append(make("span", "halab-node-name"), make("span", "halab-node-word"));
    if (does.cordon) {
      const cordon = make("button", "halab-button");
      cordon.addEventListener("click", () => does.cordon?.(box.dataset.key ?? "", box.dataset.cordoned !== "true"));
      bar.append(cordon);
    }
    box.append(bar, make("div", "halab-node-pods"));
    return box;
  }

  function updateNode(box, node) {
    box.classList.toggle("halab-node-lost", !node.ready);
    box.classList.toggle("halab-node-cordoned", node.cordoned);
    box.dataset.cordoned = String(node.cordoned);
    const [name, word, cordon] = box.firstElementChild.children;
    say(name, node.name);
    say(word, wordOf(node, node.pods.filter((p) => p.state === "ready").length, node.pods.length));
    if (cordon) {
      cordon.hidden = node.fake === true;
      say(cordon, node.cordoned ? "Uncordon" : "Cordon");
      cordon.setAttribute("aria-label", `${cordon.textContent} node ${node.name}`);
    }
    keyed(box.lastElementChild, node.pods, (pod) => pod.uid || pod.name, createPod, updatePod);
  }

  const wordOf = (node, ready, all) => (dense && all ? `${node.word} · ${ready} of ${all} ready` : node.word);

  /** Of many pods the nodes tell how many are ready; no layout is asked for. */
  function countReady() {
    const counts = new Map();
    for (const key in picture)
      if (key.startsWith("pod/")) {
        const pod = picture[key];
        const count = counts.get(pod.node) ?? [0, 0];
        counts.set(pod.node, [count[0] + Number(pod.state === "ready"), count[1] + 1]);
      }
    for (const box of nodes.children) {
      const node = picture[`node/${box.dataset.key}`];
      if (node) say(box.firstElementChild.children[1], wordOf(node, ...(counts.get(node.name) ?? [0, 0])));
    }
  }

  function structure() {
    const pods = viewsOf(picture, "pod/");
    countRevisions(pods);
    dense = pods.length > HALAB_DENSE;
    stage.classList.toggle("halab-dense", dense);
    shown.clear();
    const boxes = new Map(viewsOf(picture, "node/").map((n) => [n.name, { ...n, pods: [] }]));
    const unplaced = [];
    for (const pod of pods) (boxes.get(pod.node)?.pods ?? unplaced).push(pod);
    const all = [...boxes.values()];
    if (unplaced.length) all.push({ name: "no node yet", word: "", ready: true, cordoned: false, fake: true, pods: unplaced });
    keyed(nodes, all, (n) => n.name, createNode, updateNode);
    const doors = viewsOf(picture, "route/");
    const chips = viewsOf(picture, "service/");
    keyed(routes, doors, (r) => `${r.by}/${r.name}`, () => make("div", "halab-chip halab-route"), (chip, r) => {
      say(chip, `${r.tls ? "https://" : ""}${r.name}`);
      chip.title = `${r.by}: ${r.name} → ${r.backends.map((b) => `service ${b.service}`).join(", ")}`;
      chip.halabTo = r.backends;
    });
    keyed(services, chips, (s) => s.name, () => make("div", "halab-chip halab-service"), (chip, s) => {
      say(chip, `${s.name}  ${s.ready}/${s.targets.length}`);
      chip.title = `Service ${s.name} (${s.type}) ${s.address} port ${s.ports.join(", ")}: ${s.ready} of ${s.targets.length} pods ready`;
      chip.classList.toggle("halab-service-empty", s.ready === 0);
    });
    routes.hidden = !doors.length;
    services.hidden = !chips.length;
    stage.classList.toggle("halab-wired", chips.length > 0);
    roving();
    later();
  }

  // One draw a frame, however many changes came.
  let waiting = 0;
  let structural = true;
  /** @type {Set<string>} */
  const touched = new Set();

  /** @param {Record<string, any>} next @param {string[] | null} keys what changed; null: anything */
  function draw(next, keys) {
    const same = picture === next;
    picture = next;
    if (!same || keys === null) structural = true;
    else
      for (const key of keys) {
        const pod = key.startsWith("pod/") ? picture[key] : null;
        const button = pod && shown.get(pod.uid || pod.name);
        if (button && button.halabPod?.node === pod.node) touched.add(key);
        else if (!/^(deployment|revision)\//.test(key)) structural = true;
      }
    if (!waiting) waiting = requestAnimationFrame(paint);
  }

  function paint() {
    waiting = 0;
    if (structural) structure();
    else {
      for (const key of touched) if (picture[key]) updatePod(shown.get(picture[key].uid || picture[key].name), picture[key]);
      if (dense && touched.size) countReady();
    }
    structural = false;
    touched.clear();
  }

  // Edges: measured after layout, at most once a frame; all is read before anything is written.
  let asked = 0;
  const later = () => {
    if (!asked) asked = requestAnimationFrame(drawEdges);
  };

  function drawEdges() {
    asked = 0;
    const frame = stage.getBoundingClientRect();
    if (!frame.width) return;
    const chips = new Map([...services.children].map((c) => [c.dataset.key, c.getBoundingClientRect()]));
    const byName = new Map();
    if (!dense) for (const button of shown.values()) byName.set(button.dataset.pod, button.getBoundingClientRect());
    /** @type {[string, boolean][]} a path, and whether requests take it */
    const lines = [];
    const middle = (/** @type {DOMRect} */ box) => box.left + box.width / 2 - frame.left;
    const down = (x1, y1, x2, y2) => `M${x1} ${y1}C${x1} ${(y1 + y2) / 2} ${x2} ${(y1 + y2) / 2} ${x2} ${y2}`;
    for (const chip of routes.children) {
      const from = chip.getBoundingClientRect();
      for (const backend of chip.halabTo) {
        const to = chips.get(backend.service);
        if (to) lines.push([down(middle(from), from.bottom - frame.top, middle(to), to.top - frame.top), true]);
      }
    }
    const pods = new Map(viewsOf(picture, "pod/").map((pod) => [pod.name, pod]));
    const boxes = new Map([...nodes.children].map((box) => [box.dataset.key, box.getBoundingClientRect()]));
    const top = Math.min(...[...boxes.values()].map((box) => box.top)) - frame.top;
    viewsOf(picture, "service/").forEach((service, number) => {
      const from = chips.get(service.name);
      if (!from) return;
      const start = [middle(from), from.bottom - frame.top];
      /** @type {Map<string, [DOMRect, boolean][]>} by node: where its pods are, and whether they are ready */
      const ends = new Map();
      for (const target of service.targets) {
        const pod = pods.get(target.pod);
        const end = pod && (dense ? boxes.get(pod.node) : byName.get(target.pod));
        if (!end) continue;
        if (!ends.has(pod.node)) ends.set(pod.node, []);
        ends.get(pod.node).push([end, target.ready]);
      }
      for (const [name, found] of ends) {
        const node = boxes.get(name);
        if (!node) continue;
        // Down to the node's left margin, along it, and from the left into each pod: a line crosses no words.
        const x = node.left + HALAB_GUTTER - (number % 3) * 3 - frame.left;
        let y = node.top - frame.top;
        const any = found.some(([, ready]) => ready);
        lines.push([`${down(...start, x, top)}V${y}`, any]); // where nodes stand below each other, along those above
        if (dense) {
          lines.push([`M${x} ${y}v8`, any]);
          continue;
        }
        found.sort(([a], [b]) => a.top - b.top);
        found.forEach(([pod, ready], i) => {
          const bend = pod.top + pod.height / 2 - 6 - frame.top;
          lines.push([`M${x} ${y}V${bend}`, found.slice(i).some(([, r]) => r)], [`M${x} ${bend}q0 6 6 6H${pod.left - frame.left}`, ready]);
          y = bend;
        });
      }
    });
    edges.setAttribute("width", String(frame.width));
    edges.setAttribute("height", String(frame.height));
    keyed(edges, lines, ([path, ready]) => `${path} ${ready}`, ([path, ready]) => {
      const line = document.createElementNS(SVG, "path");
      line.setAttribute("d", path);
      line.setAttribute("class", ready ? "halab-edge" : "halab-edge halab-edge-off");
      return line;
    }, () => {});
  }

  // Keyboard: one pod is in the tab order; arrows move among all.
  const buttons = () => /** @type {HTMLElement[]} */ ([...nodes.querySelectorAll(".halab-pod")]);
  /** @type {HTMLElement | null} */
  let current = null;

  function roving() {
    if (current?.isConnected) return;
    current = nodes.querySelector(".halab-pod");
    if (current) current.tabIndex = 0;
  }

  function onKey(event) {
    const at = /** @type {HTMLElement} */ (event.target).closest(".halab-pod");
    if (!at) return;
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (step) {
      const all = buttons();
      const next = all[(all.indexOf(at) + step + all.length) % all.length];
      if (current) current.tabIndex = -1;
      current = next;
      next.tabIndex = 0;
      next.focus();
    } else if (event.key === "Delete" && does.remove) {
      const all = buttons();
      const after = all[all.indexOf(at) + 1] ?? all[all.indexOf(at) - 1];
      does.remove(at.dataset.pod, event.shiftKey);
      after?.focus(); // the one that is going takes the focus with it
      if (after && current) [current.tabIndex, current, after.tabIndex] = [-1, after, 0];
    } else if (event.key === "Escape" && does.select) {
      does.select("");
    } else {
      return;
    }
    // JupyterLab has its own meaning for these keys; here they belong to the picture.
    event.preventDefault();
    event.stopPropagation();
  }

  nodes.addEventListener("keydown", onKey);
  nodes.addEventListener("click", (event) => {
    const pod = /** @type {HTMLElement} */ (event.target).closest(".halab-pod");
    if (pod) does.select?.(pod.dataset.pod ?? "");
  });
  const sized = new ResizeObserver(later);
  sized.observe(stage);
  return {
    draw,
    pressed() {
      for (const button of shown.values()) button.setAttribute("aria-pressed", String(button.dataset.pod === does.selected?.()));
    },
    close() {
      sized.disconnect();
      cancelAnimationFrame(asked);
      cancelAnimationFrame(waiting);
      stage.remove();
    },
  };
}

/** The meaning of the shapes. */
function legend() {
  const box = make("span", "halab-legend");
  for (const [state, word] of [["ready", "ready"], ["running", "not ready"], ["starting", "starting"], ["failing", "failing"], ["ending", "stopping"]]) {
    const item = make("span", "halab-legend-item");
    item.append(glyph(state), word);
    box.append(item);
  }
  return box;
}
