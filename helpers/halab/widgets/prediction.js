// A question with options; committing fixes the choice. When it is known what happened, that stands beside it.

function paint({ model, el }) {
  const root = make("section", "halab-widget halab-predict");
  const group = make("fieldset", "halab-predict-options");
  group.append(make("legend", "halab-predict-question", model.get("question")));
  const name = `halab-predict-${Math.random().toString(36).slice(2)}`;
  const rows = model.get("options").map((option, index) => {
    const label = make("label", "halab-predict-option");
    const input = document.createElement("input");
    input.type = "radio";
    input.name = name;
    input.value = String(index);
    const verdict = make("span", "halab-predict-verdict");
    label.append(input, make("span", "halab-predict-words", option), verdict);
    group.append(label);
    return { label, input, verdict };
  });
  const picked = () => rows.findIndex(({ input }) => input.checked);
  const commit = press("Commit to this", () => model.send({ do: "commit", option: picked() }));
  const said = make("span", "halab-predict-said");
  said.setAttribute("aria-live", "polite");
  const foot = make("div", "halab-predict-foot");
  foot.append(commit, said);
  root.append(group, foot);
  el.append(root);

  /** @param {number} index */
  function verdictOn(index) {
    const [chosen, happened] = [model.get("chosen"), model.get("happened")];
    const known = happened >= 0;
    if (index === chosen) return !known ? "your prediction" : chosen === happened ? "✔ as you predicted" : "✕ your prediction";
    return known && index === happened ? "● what happened" : "";
  }

  function draw() {
    const [chosen, happened, seen] = [model.get("chosen"), model.get("happened"), model.get("seen")];
    const fixed = chosen >= 0 || happened >= 0; // a prediction after the fact is none
    rows.forEach(({ label, input, verdict }, index) => {
      if (fixed) input.checked = index === chosen;
      input.disabled = fixed;
      say(verdict, verdictOn(index));
      verdict.hidden = !verdict.textContent;
      label.classList.toggle("halab-predict-true", index === happened);
      label.classList.toggle("halab-predict-wrong", index === chosen && happened >= 0 && chosen !== happened);
    });
    enable(commit, !fixed && picked() >= 0);
    say(commit, fixed ? "Committed" : "Commit to this");
    commit.hidden = happened >= 0;
    say(said, happened >= 0 ? `Observed: ${seen}` : fixed ? "Noted. Now see what happens." : picked() >= 0 ? "" : "Choose one first.");
  }
  group.addEventListener("change", draw);
  const off = listen(model, { "change:chosen": draw, "change:happened": draw, "change:seen": draw });
  draw();
  return () => {
    off();
    root.remove();
  };
}

const render = reattaching(paint);
export default { render };
