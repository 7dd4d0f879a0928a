// The topology: the live picture, and a panel for the selected pod. Commands go back as messages.

function paint({ model, el }) {
  const shown = frame({ model, el }, "topology", "Topology of the lab", legend());
  const host = make("div", "halab-topology-host");
  const panel = make("div", "halab-topology-panel");
  shown.body.append(host, panel);
  const send = (/** @type {object} */ content) => model.send(content);

  const stage = topologyStage(host, {
    select,
    selected: () => model.get("selected"),
    remove: (name, now) => send({ do: "delete-pod", name, now }),
    cordon: (name, on) => send({ do: on ? "cordon" : "uncordon", name }),
  });

  function select(name) {
    model.set("selected", name === model.get("selected") ? "" : name);
    model.save_changes();
    drawPanel();
    stage.pressed();
  }

  function drawPanel() {
    const name = model.get("selected");
    const found = model.get("details");
    panel.hidden = !name;
    if (!name) {
      delete panel.dataset.pod;
      return panel.replaceChildren();
    }
    if (panel.dataset.pod !== name) {
      panel.dataset.pod = name;
      const bar = make("div", "halab-panel-bar");
      const gentle = make("button", "halab-button", "Delete pod");
      const hard = make("button", "halab-button halab-button-danger", "Kill now");
      const close = make("button", "halab-button", "Close");
      gentle.title = "Ask it to stop, with its grace period (Delete)";
      hard.title = "No grace period (Shift+Delete)";
      gentle.addEventListener("click", () => send({ do: "delete-pod", name, now: false }));
      hard.addEventListener("click", () => send({ do: "delete-pod", name, now: true }));
      close.addEventListener("click", () => select(name));
      bar.append(make("strong", "halab-panel-name", name), make("span", "halab-panel-facts"), gentle, hard, close);
      const log = make("pre", "halab-panel-log");
      log.tabIndex = 0;
      log.setAttribute("role", "region");
      log.setAttribute("aria-label", `Log of pod ${name}`);
      panel.replaceChildren(bar, make("div", "halab-panel-head", "Events"), make("ul", "halab-panel-events"), make("div", "halab-panel-head", "Log"), log);
    }
    const [bar, , events, , log] = panel.children;
    const known = found.name === name;
    const facts = bar.querySelector(".halab-panel-facts");
    say(facts, known ? `${found.word} · ${found.node || "no node"} · ${found.address || "no address"} · ${found.restarts} restarts` : "it is gone");
    events.replaceChildren(...(known ? found.events : []).map((line) => make("li", "halab-panel-event", line)));
    say(log, known ? found.log || "(nothing yet)" : "");
    log.scrollTop = log.scrollHeight;
  }

  const [picture, endPicture] = livePicture(model, (keys) => stage.draw(picture, keys));
  const off = listen(model, { "change:details": drawPanel, "change:selected": drawPanel });
  stage.draw(picture, null);
  drawPanel();
  return () => {
    off();
    endPicture();
    stage.close();
    shown.close();
  };
}

const render = reattaching(paint);
export default { render };
