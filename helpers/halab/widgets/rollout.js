// Rollouts: a row for every revision of a Deployment; a cell for every pod it has, filled when it is ready.

const HALAB_MARKS = { complete: "✔", paused: "‖" };
const HALAB_CELLS = 40; // cells in a bar; beyond that the words count

function paint({ model, el }) {
  const legend = make("span", "halab-legend");
  for (const [kind, word] of [["full", "ready"], ["open", "not ready"], ["wanted", "still to come"]]) {
    const item = make("span", "halab-legend-item halab-rollout-newest");
    item.append(make("span", `halab-rollout-cell halab-rollout-${kind}`), word);
    legend.append(item);
  }
  const shown = frame({ model, el }, "rollout", "Rollouts: revisions filling and draining", legend);
  const list = make("div", "halab-rollout-list");
  const none = make("div", "halab-soft", "No Deployment in this namespace yet.");
  shown.body.append(list, none);

  const createDeployment = () => {
    const box = make("div", "halab-rollout-deployment");
    const line = make("div", "halab-rollout-head");
    line.append(make("span", "halab-title"), make("span", "halab-rollout-word"));
    box.append(line, make("div", "halab-rollout-revisions"));
    return box;
  };
  const createRevision = () => {
    const row = make("div", "halab-rollout-revision");
    const bar = make("div", "halab-rollout-bar");
    bar.setAttribute("role", "img");
    row.append(make("span", "halab-rollout-name"), bar, make("span", "halab-rollout-count"));
    return row;
  };

  /** The newest revision, those that have or want pods, and the last two of the others. @param {any[]} all newest first */
  const worthShowing = (all) => {
    const [newest, ...older] = all;
    const there = older.filter((r) => r.pods || r.wanted);
    return [newest, ...there, ...older.filter((r) => !there.includes(r)).slice(0, 2)].filter(Boolean);
  };

  function drawRevision(row, r, newest, most) {
    const [name, bar, count] = row.children;
    say(name, `revision ${r.revision || "?"}${newest ? " (newest)" : ""} · ${r.images.map((i) => i.split("/").pop()).join(", ")}`);
    row.classList.toggle("halab-rollout-newest", newest);
    const cells = Array.from({ length: Math.min(HALAB_CELLS, most) }, (_, i) => (i < r.ready ? "full" : i < r.pods ? "open" : i < r.wanted ? "wanted" : "none"));
    keyed(bar, cells.map((kind, i) => ({ kind, i })), (c) => String(c.i), () => make("span", ""), (cell, c) => (cell.className = `halab-rollout-cell halab-rollout-${c.kind}`));
    const words = `${r.ready} of ${r.pods} pods ready${r.wanted < r.pods ? `, draining to ${r.wanted}` : r.wanted > r.pods ? `, filling to ${r.wanted}` : ""}`;
    bar.setAttribute("aria-label", words);
    say(count, words);
  }

  const drawn = drawnFromPicture(model, /^(deployment|revision)\//, (picture) => {
    const revisions = viewsOf(picture, "revision/");
    const deployments = viewsOf(picture, "deployment/");
    none.hidden = deployments.length > 0;
    keyed(list, deployments, (d) => d.name, createDeployment, (box, one) => {
      const [line, rows] = box.children;
      const stuck = one.word.startsWith("stuck");
      say(line.children[0], one.name);
      say(line.children[1], `${HALAB_MARKS[one.word] ?? (stuck ? "✕" : "…")} ${one.word}: ${one.available} of ${one.wanted} available, ${one.updated} of the newest revision`);
      line.children[1].classList.toggle("halab-rollout-bad", stuck);
      const mine = revisions.filter((r) => r.deployment === one.name).sort((a, b) => Number(b.revision || 0) - Number(a.revision || 0));
      const kept = worthShowing(mine);
      const most = Math.max(one.wanted, ...kept.map((r) => Math.max(r.pods, r.wanted)), 1);
      keyed(rows, kept, (r) => r.name, createRevision, (row, r) => drawRevision(row, r, r === mine[0], most));
    });
  });
  return () => {
    drawn.close();
    shown.close();
  };
}

const render = reattaching(paint);
export default { render };
