// What every widget uses; joined in front of its own script.

const HALAB_GLYPHS = {
  ready: '<circle cx="8" cy="8" r="6"/>',
  running: '<path d="M8 2a6 6 0 0 1 0 12z"/><circle cx="8" cy="8" r="6" fill="none" stroke-width="2" stroke="currentColor"/>',
  starting: '<circle cx="8" cy="8" r="6" fill="none" stroke="currentColor" stroke-width="2" stroke-dasharray="3 2.3"/>',
  failing: '<path d="M8 1.5 15 14.5H1z"/>',
  ending: '<path d="M3 3l10 10M13 3L3 13" stroke="currentColor" stroke-width="3" stroke-linecap="round"/>',
  done: '<rect x="2.5" y="2.5" width="11" height="11" rx="1"/>',
  waiting: '<rect x="3" y="3" width="10" height="10" fill="none" stroke="currentColor" stroke-width="2" stroke-dasharray="3 2.3"/>',
};

/** @param {string} tag @param {string} name @param {string} [text] @returns {HTMLElement} */
function make(tag, name, text) {
  const element = document.createElement(tag);
  element.className = name;
  if (tag === "button") element.setAttribute("type", "button");
  if (text !== undefined) element.textContent = text;
  return element;
}

/** A button that calls `act`. One that is not to be pressed now keeps the focus, which a disabled one would lose. @param {string} text @param {() => void} act */
function press(text, act, extra = "") {
  const button = make("button", `halab-button${extra && ` ${extra}`}`, text);
  button.addEventListener("click", () => button.getAttribute("aria-disabled") !== "true" && act());
  return button;
}

/** @param {HTMLElement} button @param {boolean} on */
function enable(button, on) {
  if (on) button.removeAttribute("aria-disabled");
  else button.setAttribute("aria-disabled", "true");
}

/** Only what differs is written: a write, even of the same words, costs a layout. @param {HTMLElement} element @param {string} text */
function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** @param {string} state */
function glyph(state) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("class", `halab-glyph halab-is-${state}`);
  svg.setAttribute("aria-hidden", "true");
  svg.innerHTML = HALAB_GLYPHS[state] ?? HALAB_GLYPHS.waiting;
  return svg;
}

/** Keep one child element a key, in order; make and update as needed.
 *  @template T @param {Element} parent @param {T[]} items @param {(item: T) => string} key @param {(item: T) => HTMLElement} create @param {(element: HTMLElement, item: T) => void} update */
function keyed(parent, items, key, create, update) {
  const old = new Map();
  for (const child of parent.children) old.set(child.dataset.key, child);
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

/** Views of one kind, by name. @param {Record<string, any>} picture @param {string} kind */
function viewsOf(picture, kind) {
  const found = [];
  for (const key in picture) if (key.startsWith(kind)) found.push(picture[key]);
  return found.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}

/** What all widgets have in common: a labelled section with a head (title, and what is `beside` it), a body, a line for trouble, and one that is
 *  spoken. Listens to the traits of those lines. @param {{model: any, el: HTMLElement}} place @param {string} name @param {string} label @param {HTMLElement[]} beside */
function frame({ model, el }, name, label, ...beside) {
  const root = make("section", `halab-widget halab-${name}`);
  root.setAttribute("aria-label", label);
  const head = make("div", "halab-head");
  const title = make("span", "halab-title");
  head.append(title, ...beside);
  const body = make("div", "halab-body");
  const away = make("div", "halab-away");
  away.setAttribute("role", "status");
  const trouble = make("div", "halab-trouble");
  trouble.setAttribute("role", "alert");
  const said = make("div", `halab-said halab-${name}-said`);
  said.setAttribute("aria-live", "polite");
  root.append(head, away, body, trouble, said);
  el.append(root);
  const voice = speaker(said);
  const drawTrouble = () => {
    say(trouble, model.get("trouble") ?? "");
    trouble.hidden = !trouble.textContent;
  };
  const drawAway = () => {
    say(away, model.get("away") ?? "");
    away.hidden = !away.textContent;
    body.classList.toggle("halab-past", !away.hidden);
  };
  const off = listen(model, { "change:trouble": drawTrouble, "change:away": drawAway, "change:said": () => voice.say(model.get("said") ?? "") });
  drawTrouble();
  drawAway();
  voice.say(model.get("said") ?? "");
  say(title, model.get("title") ?? "");
  return {
    root,
    title,
    body,
    said,
    close() {
      off();
      voice.close();
      root.remove();
    },
  };
}

/** Draws at most once a frame, however often it is asked to. @param {() => void} draw */
function perFrame(draw) {
  let asked = 0;
  const later = () => {
    if (!asked)
      asked = requestAnimationFrame(() => {
        asked = 0;
        draw();
      });
  };
  later.cancel = () => cancelAnimationFrame(asked);
  return later;
}

/** The live picture, kept from the whole of it and its changes. `changed` gets the keys that changed (null: all). Returns [picture, off]. */
function livePicture(model, changed) {
  let seq = 0;
  /** @type {Record<string, any>} */
  const picture = {};
  function whole() {
    const state = model.get("state");
    if (!state || state.seq === undefined || (state.seq < seq && seq)) return;
    seq = state.seq;
    for (const key in picture) delete picture[key];
    Object.assign(picture, state.picture);
    changed(null);
  }
  function part() {
    const delta = model.get("delta");
    if (!delta?.seq || delta.seq <= seq) return;
    if (delta.seq !== seq + 1) return model.send({ do: "whole" });
    seq = delta.seq;
    Object.assign(picture, delta.set);
    for (const key of delta.gone) delete picture[key];
    changed([...Object.keys(delta.set), ...delta.gone]);
  }
  const off = listen(model, { "change:state": whole, "change:delta": part });
  Object.assign(picture, model.get("state")?.picture);
  seq = model.get("state")?.seq ?? 0;
  if ((model.get("delta")?.seq ?? 0) > seq) model.send({ do: "whole" });
  return [picture, off];
}

/** A widget that draws some kinds of the live picture whenever they change. `pattern` tells which keys; `draw` gets the picture.
 *  Returns the function that ends it, and `later`, which has it drawn for another reason. */
function drawnFromPicture(model, pattern, draw) {
  const later = perFrame(() => draw(picture));
  const [picture, off] = livePicture(model, (keys) => (keys === null || keys.some((key) => pattern.test(key))) && later());
  draw(picture);
  return {
    later,
    close() {
      off();
      later.cancel();
    },
  };
}

/** @param {any} model @param {Record<string, () => void>} table */
function listen(model, table) {
  for (const name in table) model.on(name, table[name]);
  return () => {
    for (const name in table) model.off(name, table[name]);
  };
}

/** A paragraph that screen readers speak when it changes; not more often than they can follow. @param {HTMLElement} element */
function speaker(element) {
  let timer = 0;
  let next = "";
  const speak = () => {
    timer = 0;
    say(element, next);
  };
  return {
    /** @param {string} text */
    say(text) {
      next = text;
      if (!timer) {
        say(element, text);
        timer = window.setTimeout(speak, 1000);
      }
    },
    close: () => window.clearTimeout(timer),
  };
}

const HALAB_LOST = new Set(["restarting", "autorestarting", "dead", "terminating"]);

/** A widget whose kernel is gone says so, and can be made again in the new one. Wraps a `render`. */
function reattaching(paint) {
  return ({ model, el }) => {
    const notice = make("div", "halab-gone");
    const words = make("span", "halab-gone-words");
    const button = make("button", "halab-button", "Show it live again");
    notice.setAttribute("role", "status");
    notice.append(words, button);
    const place = make("div", "halab-place");
    // Keys are the widget's own: in JupyterLab X on a button would cut the cell, and an arrow on a choice leave it. It asks the focused element alone.
    const mine = (/** @type {FocusEvent} */ event) => /** @type {HTMLElement} */ (event.target).setAttribute("data-lm-suppress-shortcuts", "true");
    for (const element of [notice, place]) element.addEventListener("focusin", mine);
    el.append(notice, place);
    let current = model;
    let end = paint({ model, el: place });
    let since = "";
    notice.hidden = true;
    const kernel = () => current.widget_manager?.kernel ?? null;

    function gone() {
      if (!since) since = new Date().toLocaleTimeString();
      const again = current.get("again") && kernel()?.requestExecute;
      words.textContent = `The kernel behind this picture has ended: it shows what was at ${since}. ` + (again ? "" : "Run the cell again.");
      button.hidden = !again;
      notice.hidden = false;
      place.classList.add("halab-stale");
    }

    const onStatus = (/** @type {any} */ _sender, /** @type {string} */ status) => HALAB_LOST.has(status) && gone();
    let watched = kernel();

    async function attach() {
      button.disabled = true;
      words.textContent = "Asking the new kernel…";
      try {
        const manager = current.widget_manager;
        const asked = kernel().requestExecute({ code: "", silent: true, store_history: false, user_expressions: { id: `__import__("halab.session").session.${current.get("again")}.model_id` } });
        const reply = await asked.done;
        const found = reply.content.user_expressions?.id;
        if (found?.status !== "ok") throw new Error(found?.evalue ?? "the kernel did not answer");
        const id = found.data["text/plain"].replace(/'/g, "");
        for (let tries = 0; !manager.has_model(id) && tries < 100; tries++) await new Promise((done) => setTimeout(done, 50));
        const fresh = await manager.get_model(id);
        end?.();
        current = fresh;
        since = "";
        place.replaceChildren();
        place.classList.remove("halab-stale");
        notice.hidden = true;
        fresh.on("comm_live_update", gone);
        end = paint({ model: fresh, el: place });
      } catch (error) {
        words.textContent = `It could not be shown again: ${error instanceof Error ? error.message : error}. Run the cell again.`;
      } finally {
        button.disabled = false;
      }
    }

    button.addEventListener("click", attach);
    model.on("comm_live_update", gone);
    watched?.statusChanged?.connect(onStatus);
    return () => {
      watched?.statusChanged?.disconnect(onStatus);
      model.off("comm_live_update", gone);
      if (current !== model) current.off("comm_live_update", gone);
      end?.();
      notice.remove();
      place.remove();
    };
  };
}
