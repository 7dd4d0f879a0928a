// Rollouts: a row for every revision of a Deployment; a cell for every pod it has, filled when it is ready.

function paint({ model, el }) {
  const root = make("section", "halab-widget halab-rollout");
  root.setAttribute("aria-label", "Rollouts: revisions filling and draining");
  const head = make("div", "halab-head");
  const title = make("span", "halab-title");
  head.append(title, make("span", "halab-soft", "■ ready  □ not ready"));
  const list = make("div", "halab-rollout-list");
  const said = make("div", "halab-said");
  said.setAttribute("aria-live", "polite");
  root.append(head, list, said);
  el.append(root);
  const voice = speaker(said);
  let asked = 0;

  const make1 = () => {
    const box = make("div", "halab-rollout-deployment");
    const line = make("div", "halab-rollout-head");
    line.append(make("span", "halab-title"), make("span", "halab-rollout-word"));
    box.append(line, make("div", "halab-rollout-revisions"));
    return box;
  };
  const make2 = () => {
    const row = make("div", "halab-rollout-revision");
    const bar = make("div", "halab-rollout-bar");
    bar.setAttribute("role", "img");
    row.append(make("span", "halab-rollout-name"), bar, make("span", "halab-rollout-count"));
    return row;
  };

  function draw() {
    asked = 0;
    const revisions = viewsOf(picture, "revision/");
    const deployments = viewsOf(picture, "deployment/");
    keyed(list, deployments, (d) => d.name, make1, (box, one) => {
      const [line, rows] = box.children;
      say(line.children[0], one.name);
      const mark = { complete: "✔", paused: "‖" }[one.word] ?? (one.word.startsWith("stuck") ? "✕" : "…");
      say(line.children[1], `${mark} ${one.word}: ${one.available} of ${one.wanted} available, ${one.updated} of the newest revision`);
      line.children[1].classList.toggle("halab-rollout-bad", one.word.startsWith("stuck"));
      const mine = revisions.filter((r) => r.deployment === one.name).sort((a, b) => Number(b.revision || 0) - Number(a.revision || 0));
      const newest = mine[0];
      const kept = mine.filter((r) => r === newest || r.pods || r.wanted).concat(mine.filter((r) => r !== newest && !r.pods && !r.wanted).slice(0, 2));
      const most = Math.max(one.wanted, ...kept.map((r) => Math.max(r.pods, r.wanted)), 1);
      keyed(rows, kept, (r) => r.name, make2, (row, r) => {
        const [name, bar, count] = row.children;
        say(name, `revision ${r.revision || "?"}${r === newest ? " (newest)" : ""} · ${r.images.map((i) => i.split("/").pop()).join(", ")}`);
        row.classList.toggle("halab-rollout-newest", r === newest);
        const cells = Array.from({ length: Math.min(40, most) }, (_, i) => (i < r.ready ? "full" : i < r.pods ? "open" : i < r.wanted ? "wanted" : "none"));
        keyed(bar, cells.map((kind, i) => ({ kind, i })), (c) => String(c.i), () => make("span", "halab-rollout-cell"), (cell, c) => (cell.className = `halab-rollout-cell halab-rollout-${c.kind}`));
        const words = `${r.ready} of ${r.pods} pods ready${r.wanted < r.pods ? `, draining to ${r.wanted}` : r.wanted > r.pods ? `, filling to ${r.wanted}` : ""}`;
        bar.setAttribute("aria-label", words);
        say(count, words);
      });
    });
    if (!deployments.length) list.replaceChildren(make("div", "halab-soft", "No Deployment in this namespace yet."));
  }

  const later = () => {
    if (!asked) asked = requestAnimationFrame(draw);
  };
  const [picture, endPicture] = livePicture(model, (keys) => (keys === null || keys.some((k) => /^(deployment|revision)\//.test(k))) && later());
  const off = listen(model, { "change:said": () => voice.say(model.get("said")) });
  say(title, model.get("title"));
  draw();
  return () => {
    off();
    endPicture();
    cancelAnimationFrame(asked);
    voice.close();
    root.remove();
  };
}

const render = reattaching(paint);
export default { render };
