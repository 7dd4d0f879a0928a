// The lab's tasks: a list that completes by itself; buttons for a check and a hint.

function paint({ model, el }) {
  const shown = frame({ model, el }, "checklist", "Tasks of this lab");
  const bar = make("div", "halab-checklist-bar");
  const fill = make("div", "halab-checklist-fill");
  bar.setAttribute("role", "progressbar");
  bar.setAttribute("aria-label", "Tasks done");
  bar.setAttribute("aria-valuemin", "0");
  bar.append(fill);
  const list = make("ul", "halab-checklist-list");
  shown.body.append(bar, list);

  function row(task) {
    const item = make("li", `halab-task${task.done ? " halab-task-done" : ""}`);
    const mark = make("span", "halab-task-mark", task.done ? "✔" : task.busy ? "…" : "○");
    mark.setAttribute("aria-hidden", "true");
    const words = make("div", "halab-task-words");
    words.append(make("span", "halab-task-title", task.title), make("span", "halab-task-state", task.done ? "done" : task.busy ? "looking…" : "open"));
    if (task.text) words.append(make("div", "halab-task-text", task.text));
    const buttons = make("div", "halab-task-buttons");
    for (const [verb, label] of [["check", task.active ? "Run the check" : "Check"], ["hint", "Hint"]]) {
      const button = make("button", "halab-button halab-task-button", label);
      button.setAttribute("aria-label", `${label}: ${task.title}`);
      button.disabled = task.busy;
      button.addEventListener("click", () => model.send({ do: verb, task: task.id }));
      if (!(verb === "hint" && task.done)) buttons.append(button);
    }
    item.append(mark, words, buttons);
    return item;
  }

  function draw() {
    const tasks = model.get("tasks");
    const done = tasks.filter((t) => t.done).length;
    say(shown.title, `${model.get("title")}: ${done} of ${tasks.length} done`);
    bar.setAttribute("aria-valuemax", String(tasks.length));
    bar.setAttribute("aria-valuenow", String(done));
    fill.style.width = `${tasks.length ? (100 * done) / tasks.length : 0}%`;
    const focused = list.contains(document.activeElement) ? document.activeElement.getAttribute("aria-label") : null;
    list.replaceChildren(...tasks.map(row));
    if (focused) [...list.querySelectorAll("button")].find((b) => b.getAttribute("aria-label") === focused)?.focus();
  }

  const off = listen(model, { "change:tasks": draw });
  draw();
  return () => {
    off();
    shown.close();
  };
}

const render = reattaching(paint);
export default { render };
