// Routes: from the door (Ingress, HTTPRoute) over Service and EndpointSlice to the pods, as a nested list that reads from left to right.

/** @template T @param {T[]} items @param {(item: T) => string} key @returns {Map<string, T[]>} */
function grouped(items, key) {
  const found = new Map();
  for (const item of items) {
    if (!found.has(key(item))) found.set(key(item), []);
    found.get(key(item)).push(item);
  }
  return found;
}

function paint({ model, el }) {
  const shown = frame({ model, el }, "routes", "Routes: how requests reach pods", make("span", "halab-soft", "route → Service → EndpointSlice → pod"));
  const list = make("ul", "halab-routes-list");
  shown.body.append(list);

  function podRow(target, count, total) {
    const row = make("li", `halab-routes-pod${target.ready ? "" : " halab-routes-off"}`);
    const share = total ? count / total : 0;
    const track = make("span", "halab-track");
    const bar = make("span", "halab-bar");
    bar.style.width = `${100 * share}%`;
    track.append(bar);
    const words = !target.ready ? "gets none" : total ? `${Math.round(100 * share)}%` : "no requests yet";
    row.append(glyph(target.ready ? "ready" : "running"), make("span", "halab-mono", target.pod), track, make("span", "halab-routes-share", words));
    return row;
  }

  /** Requests by pod that came to this Service: to its own address, or by a route. @param {string} name @param {boolean} routed */
  const countsOf = (name, routed) => {
    const shares = model.get("shares") ?? {};
    return shares[`service/${name}`] ?? (routed ? shares.ingress : null) ?? {};
  };

  function slices(service, routed) {
    const counts = countsOf(service.name, routed);
    const total = service.targets.reduce((sum, t) => sum + (counts[t.pod] ?? 0), 0);
    const box = make("ul", "halab-routes-slices");
    for (const [slice, targets] of grouped(service.targets, (t) => t.slice)) {
      const item = make("li", "halab-routes-slice");
      const rows = make("ul", "halab-routes-pods");
      rows.append(...targets.map((t) => podRow(t, counts[t.pod] ?? 0, total)));
      item.append(make("span", "halab-routes-kind", `EndpointSlice ${slice}`), rows);
      box.append(item);
    }
    return box;
  }

  function serviceBox(service, name, share, routed) {
    const item = make("li", "halab-routes-service");
    const works = Boolean(service?.ready);
    const words = service ? `Service ${name} · ${service.ready} of ${service.targets.length} pods ready` : `Service ${name} does not exist`;
    item.append(make("span", `halab-routes-kind halab-title${works ? "" : " halab-routes-none"}`, (works ? "" : "✕ ") + words));
    if (share !== null) item.append(make("span", "halab-routes-weight", `${Math.round(100 * share)}% by weight`));
    if (service?.targets.length) item.append(slices(service, routed));
    return item;
  }

  function routeBox(door, by, services) {
    const item = make("li", "halab-routes-route");
    const inner = make("ul", "halab-routes-services");
    inner.append(...services);
    item.append(make("span", "halab-routes-door", door), make("span", "halab-soft", by ? ` ${by}` : ""), inner);
    return item;
  }

  const drawn = drawnFromPicture(model, /^(route|service)\//, (picture) => {
    const services = new Map(viewsOf(picture, "service/").map((s) => [s.name, s]));
    const routes = viewsOf(picture, "route/");
    const rows = routes.map((route) =>
      routeBox(`${route.tls ? "https" : "http"}://${route.name}`, route.by,
        route.backends.map((b) => serviceBox(services.get(b.service), b.service, route.backends.length > 1 ? b.share : null, true))));
    const routed = new Set(routes.flatMap((r) => r.backends.map((b) => b.service)));
    const inside = [...services.values()].filter((s) => !routed.has(s.name));
    if (inside.length) rows.push(routeBox("inside the cluster only", "", inside.map((s) => serviceBox(s, s.name, null, false))));
    if (!rows.length) rows.push(make("li", "halab-soft", "No Service and no route in this namespace yet."));
    list.replaceChildren(...rows);
  });
  const off = listen(model, { "change:shares": drawn.later });
  return () => {
    off();
    drawn.close();
    shown.close();
  };
}

const render = reattaching(paint);
export default { render };
