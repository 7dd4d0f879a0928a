// The fault panel: choose, look at what would be hit, inject, heal. What is active counts down.

function paint({ model, el }) {
  const all = press("Heal all", () => send({ do: "heal-all" }));
  const shown = frame({ model, el }, "faults", "Fault panel", all);
  const form = make("div", "halab-faults-form");
  const label = (/** @type {string} */ text, /** @type {HTMLElement} */ control) => {
    const box = make("label", "halab-faults-label", text);
    box.append(control);
    form.append(box);
    return box;
  };
  const choice = /** @type {HTMLSelectElement} */ (make("select", "halab-faults-choice"));
  const target = /** @type {HTMLSelectElement} */ (make("select", "halab-faults-target"));
  const seconds = /** @type {HTMLInputElement} */ (make("input", "halab-faults-seconds"));
  seconds.type = "number";
  seconds.min = "1";
  seconds.max = "3600";
  label("failure", choice);
  const targetBox = label("target", target);
  label("seconds", seconds);
  const look = press("What would it hit?", () => send({ do: "preview", ...asked() }));
  const inject = press("Inject", () => send({ do: "inject", confirmed: previewed(model.get("preview")), ...asked() }), "halab-button-danger");
  const buttons = make("span", "halab-faults-buttons");
  buttons.append(look, inject);
  form.append(buttons);
  const about = make("dl", "halab-terms halab-faults-about");
  const hits = make("div", "halab-faults-hits");
  hits.setAttribute("aria-live", "polite");
  const active = make("ul", "halab-faults-active");
  active.setAttribute("aria-label", "Active failures");
  shown.body.append(form, about, hits, active);
  const send = (/** @type {object} */ content) => model.send(content);
  const chosen = () => model.get("catalogue").find((/** @type {any} */ f) => f.name === choice.value);
  const asked = () => ({ fault: choice.value, target: targetBox.hidden ? "" : target.value, duration: Number(seconds.value) || undefined });

  for (const fault of model.get("catalogue")) {
    const option = /** @type {HTMLOptionElement} */ (make("option", "halab-faults-option", fault.title + (fault.lacks.length ? " (not on this cluster)" : "")));
    option.value = fault.name;
    option.disabled = fault.lacks.length > 0;
    choice.append(option);
  }

  function drawTargets() {
    const names = model.get("targets")[chosen()?.target] ?? [];
    const before = target.value;
    target.replaceChildren(...names.map((/** @type {string} */ name) => {
      const option = /** @type {HTMLOptionElement} */ (make("option", "halab-faults-option", name));
      option.value = name;
      return option;
    }));
    if (names.includes(before)) target.value = before;
    targetBox.hidden = !chosen()?.target;
  }

  function drawAbout() {
    const fault = chosen();
    if (!fault) return;
    seconds.value = String(fault.duration);
    drawTargets();
    const rows = [["does", fault.does], ["expect", fault.expect], ["seen after", fault.within], ["heals", fault.heals]];
    if (fault.cluster_wide) rows.push(["mind", "▲ it hits the whole cluster, not only this namespace"]);
    about.replaceChildren(...rows.flatMap(([word, text]) => [make("dt", "halab-soft", word), make("dd", "", text)]));
    drawHits();
  }

  /** Whether what was looked at is what is chosen now. */
  const previewed = (/** @type {any} */ seen) => seen.fault === asked().fault && seen.target === asked().target;

  function drawHits() {
    const seen = model.get("preview");
    say(hits, seen.hits && previewed(seen) ? `would hit: ${seen.hits.join(", ") || "nothing"}` : "");
  }

  function drawActive() {
    const list = model.get("active");
    all.hidden = !list.length;
    keyed(active, list, (f) => f.id, (f) => {
      const item = make("li", "halab-faults-item");
      const button = press("Heal", () => send({ do: "heal", id: f.id }));
      button.setAttribute("aria-label", `Heal ${f.fault} ${f.target}`);
      item.append(glyph("failing"), make("span", "halab-title", `${f.fault} ${f.target}`), make("span", "halab-faults-left"), button);
      return item;
    }, (item, f) => say(item.querySelector(".halab-faults-left"), `${f.hits.join(", ")} · heals by itself in ${Math.max(0, Math.round(f.until - Date.now() / 1000))} s${f.error ? ` · ✕ ${f.error}` : ""}`));
    if (list.some((f) => f.until < Date.now() / 1000 - 1)) send({ do: "look" });
    if (list.length && !ticking) ticking = window.setInterval(drawActive, 1000);
    if (!list.length && ticking) {
      window.clearInterval(ticking);
      ticking = 0;
    }
  }
  let ticking = 0;

  function drawBusy() {
    for (const button of [look, inject]) enable(button, !model.get("busy"));
    inject.textContent = model.get("busy") ? "Working…" : "Inject";
  }
  choice.addEventListener("change", drawAbout);
  target.addEventListener("change", drawHits);
  // Keys that the notebook would take (Enter, arrows, Delete) belong to the controls.
  shown.root.addEventListener("keydown", (event) => event.stopPropagation());
  const off = listen(model, { "change:targets": drawTargets, "change:preview": drawHits, "change:active": drawActive, "change:busy": drawBusy });
  drawAbout();
  drawActive();
  drawBusy();
  return () => {
    off();
    window.clearInterval(ticking);
    shown.close();
  };
}

const render = reattaching(paint);
export default { render };
