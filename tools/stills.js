// Draws the widgets of a recorded run where the page has room for them. The widgets' own scripts do it; nobody answers their buttons.
(() => {
  const widgets = (window.halabWidgets ??= {});
  const dark = () => document.body.getAttribute("data-md-color-scheme") === "slate";
  const theme = () => document.body.setAttribute("data-jp-theme-light", dark() ? "false" : "true");
  theme();
  new MutationObserver(theme).observe(document.body, { attributes: true, attributeFilter: ["data-md-color-scheme"] });
  for (const place of document.querySelectorAll("[data-halab-still]")) {
    const still = (window.halabStills ?? {})[place.getAttribute("data-halab-still")];
    if (!still || !widgets[still.widget]) continue;
    const data = { again: "", said: "", trouble: "", page: "", selected: "", details: {}, delta: {}, more: {}, shares: {}, ...still.data };
    const model = { get: (name) => data[name], set(name, value) { data[name] = value; }, save_changes() {}, send() {}, on() {}, off() {} };
    widgets[still.widget]({ model, el: place });
  }
  document.querySelector(".md-search")?.setAttribute("aria-label", "Search");
  // What is wider than the page is scrolled, with the keyboard as well.
  for (const text of document.querySelectorAll(".jp-OutputArea-output pre, .halab-still pre, .highlight pre, .highlight-ipynb")) {
    if (text.scrollWidth > text.clientWidth) text.tabIndex = 0;
  }
})();
