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

  function createTask(task) {
    const item = make("li", "halab-task");
    const mark = make("span", "halab-task-mark");
    mark.setAttribute("aria-hidden", "true");
    const words = make("div", "halab-task-words");
    words.append(make("span", "halab-task-title"), make("span", "halab-task-state"), make("div", "halab-task-text"));
    const buttons = make("div", "halab-task-buttons");
    for (const [verb, label] of [["check", task.active ? "Run the check" : "Check"], ["hint", "Hint"]]) {
      const button = press(label, () => model.send({ do: verb, task: task.id }), "halab-task-button");
      button.setAttribute("aria-label", `${label}: ${task.title}`);
      buttons.append(button);
    }
    item.append(mark, words, buttons);
    return item;
  }

  function drawTask(item, task) {
    const [mark, words, buttons] = item.children;
    const [title, state, text] = words.children;
    item.classList.toggle("halab-task-done", task.done);
    say(mark, task.done ? "✔" : task.busy ? "…" : "○");
    say(title, task.title);
    say(state, task.done ? "done" : task.busy ? "looking…" : "open");
    say(text, task.text);
    text.hidden = !task.text;
    for (const button of buttons.children) enable(button, !task.busy);
    buttons.children[1].hidden = task.done;
  }

  function draw() {
    const tasks = model.get("tasks");
    const done = tasks.filter((t) => t.done).length;
    say(shown.title, `${model.get("title")}: ${done} of ${tasks.length} done`);
    bar.setAttribute("aria-valuemax", String(tasks.length));
    bar.setAttribute("aria-valuenow", String(done));
    fill.style.width = `${tasks.length ? (100 * done) / tasks.length : 0}%`;
    keyed(list, tasks, (t) => t.id, createTask, drawTask);
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
