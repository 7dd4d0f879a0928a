// A question with options; committing fixes the choice.

function paint({ model, el }) {
  const root = make("section", "halab-widget halab-predict");
  const group = make("fieldset", "halab-predict-options");
  group.append(make("legend", "halab-predict-question", model.get("question")));
  const name = `halab-predict-${Math.random().toString(36).slice(2)}`;
  const inputs = model.get("options").map((option, index) => {
    const label = make("label", "halab-predict-option");
    const input = document.createElement("input");
    input.type = "radio";
    input.name = name;
    input.value = String(index);
    label.append(input, make("span", "halab-predict-words", option));
    group.append(label);
    return input;
  });
  const commit = press("Commit to this", () => model.send({ do: "commit", option: inputs.findIndex((input) => input.checked) }));
  const said = make("span", "halab-predict-said");
  said.setAttribute("aria-live", "polite");
  root.append(group, commit, said);
  el.append(root);

  function draw() {
    const chosen = model.get("chosen");
    const fixed = chosen >= 0;
    inputs.forEach((input, index) => {
      if (fixed) input.checked = index === chosen;
      input.disabled = fixed;
    });
    enable(commit, !fixed && inputs.some((input) => input.checked));
    said.textContent = fixed ? "Noted. Now see what happens." : inputs.some((input) => input.checked) ? "" : "Choose one first.";
  }
  group.addEventListener("change", draw);
  model.on("change:chosen", draw);
  draw();
  return () => {
    model.off("change:chosen", draw);
    root.remove();
  };
}

const render = reattaching(paint);
export default { render };
