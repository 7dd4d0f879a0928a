// Routes: from the door (Ingress, HTTPRoute) over Service and EndpointSlice to the pods, as a nested list that reads from left to right.

function paint({ model, el }) {
  const root = make("section", "halab-widget halab-routes");
  root.setAttribute("aria-label", "Routes: how requests reach pods");
  const head = make("div", "halab-head");
  const title = make("span", "halab-title");
  head.append(title, make("span", "halab-soft", "route → Service → EndpointSlice → pod"));
  const list = make("ul", "halab-routes-list");
  const said = make("div", "halab-said");
  said.setAttribute("aria-live", "polite");
  root.append(head, list, said);
  el.append(root);
  const voice = speaker(said);
  let asked = 0;

  function pods(service) {
    const counts = model.get("shares") ?? {};
    const total = service.targets.reduce((sum, t) => sum + (counts[t.pod] ?? 0), 0);
    const slices = new Map();
    for (const target of service.targets) {
      if (!slices.has(target.slice)) slices.set(target.slice, []);
      slices.get(target.slice).push(target);
    }
    const box = make("ul", "halab-routes-slices");
    for (const [slice, targets] of slices) {
      const item = make("li", "halab-routes-slice");
      item.append(make("span", "halab-routes-kind", `EndpointSlice ${slice}`));
      const rows = make("ul", "halab-routes-pods");
      for (const target of targets) {
        const row = make("li", `halab-routes-pod${target.ready ? "" : " halab-routes-off"}`);
        const share = total ? (counts[target.pod] ?? 0) / total : 0;
        const track = make("span", "halab-routes-track");
        const bar = make("span", "halab-routes-bar");
        bar.style.width = `${100 * share}%`;
        track.append(bar);
        row.append(glyph(target.ready ? "ready" : "running"), make("span", "halab-mono", target.pod), track, make("span", "halab-routes-share", !target.ready ? "gets none" : total ? `${Math.round(100 * share)}%` : "no requests yet"));
        rows.append(row);
      }
      item.append(rows);
      box.append(item);
    }
    return box;
  }

  function serviceBox(service, name, share) {
    const item = make("li", "halab-routes-service");
    const words = service ? `Service ${name} · ${service.ready} of ${service.targets.length} pods ready` : `Service ${name} does not exist`;
    const line = make("span", `halab-routes-kind halab-title${service?.ready ? "" : " halab-routes-none"}`, (service?.ready ? "" : "✕ ") + words);
    item.append(line);
    if (share !== null) item.append(make("span", "halab-routes-weight", `${Math.round(100 * share)}% by weight`));
    if (service?.targets.length) item.append(pods(service));
    return item;
  }

  function draw() {
    asked = 0;
    const services = new Map(viewsOf(picture, "service/").map((s) => [s.name, s]));
    const routes = viewsOf(picture, "route/");
    const rows = routes.map((route) => {
      const item = make("li", "halab-routes-route");
      item.append(make("span", "halab-routes-door", `${route.tls ? "🔒 https" : "http"}://${route.name}`), make("span", "halab-soft", ` ${route.by}`));
      const inner = make("ul", "halab-routes-services");
      for (const backend of route.backends) inner.append(serviceBox(services.get(backend.service), backend.service, route.backends.length > 1 ? backend.share : null));
      item.append(inner);
      return item;
    });
    const routed = new Set(routes.flatMap((r) => r.backends.map((b) => b.service)));
    const inside = [...services.values()].filter((s) => !routed.has(s.name));
    if (inside.length) {
      const item = make("li", "halab-routes-route");
      item.append(make("span", "halab-routes-door", "inside the cluster only"));
      const inner = make("ul", "halab-routes-services");
      for (const service of inside) inner.append(serviceBox(service, service.name, null));
      item.append(inner);
      rows.push(item);
    }
    if (!rows.length) rows.push(make("li", "halab-soft", "No Service and no route in this namespace yet."));
    list.replaceChildren(...rows);
  }

  const later = () => {
    if (!asked) asked = requestAnimationFrame(draw);
  };
  const [picture, endPicture] = livePicture(model, (keys) => (keys === null || keys.some((k) => /^(route|service)\//.test(k))) && later());
  const off = listen(model, { "change:shares": later, "change:said": () => voice.say(model.get("said")) });
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
