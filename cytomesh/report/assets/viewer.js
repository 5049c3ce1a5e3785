"use strict";
// Two linked views of one hemisphere; every node colours its own cell of the mesh.
(() => {
  const root = document.getElementById("viewer");
  if (!root) return;
  const data = JSON.parse(root.querySelector("script").textContent);
  const TYPES = { Uint8Array, Uint16Array, Uint32Array };
  const NONE = "#c9c9c9";
  const GREY = [201, 201, 201];
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const cache = new WeakMap();

  function unpack(packed) {
    if (!cache.has(packed)) {
      const bytes = Uint8Array.from(atob(packed.data), (c) => c.charCodeAt(0));
      cache.set(packed, new TYPES[packed.type](bytes.buffer));
    }
    return cache.get(packed);
  }

  function pointsOf(surface) {
    const steps = unpack(surface.points);
    const points = new Float64Array(steps.length);
    for (let i = 0; i < steps.length; i++) points[i] = surface.low[i % 3] + steps[i] * surface.step[i % 3];
    return points;
  }

  // plotly reads some markup in texts
  const plain = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;");
  const rgbOf = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
  const cssOf = (rgb) => `rgb(${rgb[0]},${rgb[1]},${rgb[2]})`;

  // Split triangles whose corners differ along the lines between edge midpoints (and the centre where three labels meet).
  // `shades` of the new corners are means, too; a border is drawn where `areaOf` the labels differs.
  function labelMesh(points, faces, labels, shades, areaOf) {
    const xyz = Array.from(points);
    const shade = Array.from(shades);
    const [i, j, k, owner, border] = [[], [], [], [], []];
    const middles = new Map();
    const n = points.length / 3;
    const add = (weights) => {
      for (let axis = 0; axis < 3; axis++) xyz.push(weights.reduce((sum, v) => sum + points[3 * v + axis], 0) / weights.length);
      shade.push(weights.reduce((sum, v) => sum + shades[v], 0) / weights.length);
      return xyz.length / 3 - 1;
    };
    const middle = (a, b) => {
      const key = a < b ? a * n + b : b * n + a;
      if (!middles.has(key)) middles.set(key, add([a, b]));
      return middles.get(key);
    };
    const face = (a, b, c, label) => { i.push(a); j.push(b); k.push(c); owner.push(label); };
    for (let f = 0; f < faces.length; f += 3) {
      let [a, b, c] = [faces[f], faces[f + 1], faces[f + 2]];
      if (labels[a] === labels[b] && labels[b] === labels[c]) { face(a, b, c, labels[a]); continue; }
      if (labels[a] !== labels[b] && labels[b] !== labels[c] && labels[c] !== labels[a]) {
        const centre = add([a, b, c]);
        const [ab, bc, ca] = [middle(a, b), middle(b, c), middle(c, a)];
        for (const [v, next, last] of [[a, ab, ca], [b, bc, ab], [c, ca, bc]]) {
          face(v, next, centre, labels[v]); face(v, centre, last, labels[v]);
        }
        for (const [v, w, on] of [[a, b, ab], [b, c, bc], [c, a, ca]]) if (areaOf(labels[v]) !== areaOf(labels[w])) border.push(on, centre);
        continue;
      }
      while (labels[b] !== labels[c]) [a, b, c] = [b, c, a]; // a is the odd one
      const [ab, ca] = [middle(a, b), middle(c, a)];
      face(a, ab, ca, labels[a]); face(ab, b, c, labels[b]); face(ab, c, ca, labels[b]);
      if (areaOf(labels[a]) !== areaOf(labels[b])) border.push(ab, ca);
    }
    return { xyz, i, j, k, owner, border, shade };
  }

  function normalsOf(points, faces) {
    const normals = new Float64Array(points.length);
    for (let f = 0; f < faces.length; f += 3) {
      const [a, b, c] = [3 * faces[f], 3 * faces[f + 1], 3 * faces[f + 2]];
      const u = [0, 1, 2].map((x) => points[b + x] - points[a + x]);
      const v = [0, 1, 2].map((x) => points[c + x] - points[a + x]);
      const cross = [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]];
      for (const corner of [a, b, c]) for (let x = 0; x < 3; x++) normals[corner + x] += cross[x];
    }
    for (let v = 0; v < normals.length; v += 3) {
      const length = Math.hypot(normals[v], normals[v + 1], normals[v + 2]) || 1;
      for (let x = 0; x < 3; x++) normals[v + x] /= length;
    }
    return normals;
  }

  const column = (xyz, axis) => { const out = new Float32Array(xyz.length / 3); for (let v = 0; v < out.length; v++) out[v] = xyz[3 * v + axis]; return out; };
  // Little shading, so that colours stay those of the legend.
  const LIGHT = { lighting: { ambient: 0.82, diffuse: 0.34, specular: 0.02, roughness: 0.9, fresnel: 0.02 } };

  function mesh(xyz, i, j, k, text, more) {
    return { type: "mesh3d", x: column(xyz, 0), y: column(xyz, 1), z: column(xyz, 2), i, j, k, text, hoverinfo: "text", ...LIGHT, lightposition: { x: 2e4 * outward(), y: 1e4, z: 2e4 }, ...more };
  }

  const nodeName = (graph, v) => (graph.nodes ? unpack(graph.nodes)[v] : v);

  // From 1 on a gyrus to DARKEST in a sulcus.
  const DARKEST = 0.72;
  const FLAT = 128;

  function labelTraces(graph, surface, map, chosen, withBorders, withFolds) {
    const table = data.tables[map.table];
    const n = table.names.length + 1;
    const areaOf = (label) => label % n; // n and more: the same area, pale
    const names = [map.none, ...table.names];
    const pale = (rgb, share) => rgb.map((x) => share * x + (1 - share) * 232);
    const plainColours = [NONE, ...table.colours].map((hex, label) => (chosen && chosen !== label ? pale(rgbOf(hex), 0.12) : rgbOf(hex)));
    const colours = [...plainColours, ...plainColours.map((rgb) => pale(rgb, 0.55))];
    const labels = unpack(map.values);
    const faces = unpack(graph.faces);
    const points = pointsOf(surface);
    const folds = unpack(graph.folds);
    const cells = labelMesh(points, faces, labels, folds, areaOf);
    const lightOf = (f) => {
      if (!withFolds) return 1;
      const mean = (cells.shade[cells.i[f]] + cells.shade[cells.j[f]] + cells.shade[cells.k[f]]) / 3;
      return mean < FLAT ? 1 - (1 - DARKEST) * (1 - mean / FLAT) : 1;
    };
    const facecolor = cells.owner.map((label, f) => cssOf(colours[label].map((x) => Math.round(lightOf(f) * x))));
    const details = (label) => (map.details?.[label - 1] ?? []).map((line) => `<br>${plain(line)}`).join("");
    const text = Array.from(labels, (label, v) => {
      const source = label < n ? "" : `<br>${plain(map.pale)}`;
      return `${plain(names[areaOf(label)])}${source}${details(areaOf(label))}<br>node ${nodeName(graph, v)}`;
    });
    while (text.length < cells.xyz.length / 3) text.push("area border");
    const traces = [mesh(cells.xyz, cells.i, cells.j, cells.k, text, { facecolor })];
    if (withBorders && cells.border.length) {
      const flat = [];
      for (let f = 0; f < cells.i.length; f++) flat.push(cells.i[f], cells.j[f], cells.k[f]);
      const normals = normalsOf(cells.xyz, flat);
      const line = { x: [], y: [], z: [] };
      const lift = 0.0015 * sizeOf(graph); // less than a pixel beside the silhouette
      for (let s = 0; s < cells.border.length; s += 2) {
        for (const v of [cells.border[s], cells.border[s + 1]]) {
          ["x", "y", "z"].forEach((axis, a) => line[axis].push(cells.xyz[3 * v + a] + lift * normals[3 * v + a]));
        }
        ["x", "y", "z"].forEach((axis) => line[axis].push(null));
      }
      traces.push({ type: "scatter3d", mode: "lines", ...line, line: { color: "#202020", width: 1.5 }, hoverinfo: "skip" });
    }
    return traces;
  }

  function scalarTraces(graph, surface, map) {
    const stops = map.colours.map(rgbOf);
    const values = unpack(map.values);
    const shade = (value) => {
      const place = (value / 65534) * (stops.length - 1);
      const left = Math.min(Math.floor(place), stops.length - 2);
      return stops[left].map((x, c) => Math.round(x + (place - left) * (stops[left + 1][c] - x)));
    };
    const vertexcolor = Array.from(values, (value) => cssOf(value === 65535 ? GREY : shade(value)));
    const text = Array.from(values, (value, v) => {
      const number = map.low + (value / 65534) * (map.high - map.low);
      return `${value === 65535 ? "no value" : `${Number(number.toPrecision(3))} ${map.unit}`}<br>node ${nodeName(graph, v)}`;
    });
    const faces = unpack(graph.faces);
    const [i, j, k] = [0, 1, 2].map((corner) => Array.from({ length: faces.length / 3 }, (_, f) => faces[3 * f + corner]));
    return [mesh(Array.from(pointsOf(surface)), i, j, k, text, { vertexcolor })];
  }

  // Marks float a little above the surface, so that it does not hide them.
  function markTraces(graph, surface) {
    if (!graph.marks?.length) return [];
    const points = pointsOf(surface);
    const normals = normalsOf(points, unpack(graph.faces));
    const at = (axis) => graph.marks.map((mark) => points[3 * mark.row + axis] + 0.008 * sizeOf(graph) * normals[3 * mark.row + axis]);
    const text = graph.marks.map((mark) => mark.lines.map(plain).join("<br>"));
    const marker = { symbol: "diamond", size: 5, color: "#ffffff", line: { color: "#000000", width: 2 } };
    return [{ type: "scatter3d", mode: "markers", x: at(0), y: at(1), z: at(2), text, hoverinfo: "text", marker }];
  }

  const outward = () => (currentGraph().hemisphere === "L" ? -1 : 1);

  // Letters on the axis that points at the reader would lie on the surface: they are left out.
  function letters(box, eye) {
    const length = Math.hypot(eye.x, eye.y, eye.z);
    return [["L", "R", "x"], ["P", "A", "y"], ["I", "S", "z"]].flatMap(([low, high, axis], a) => [low, high].map((text, end) => {
      const at = box.centre.map((value, other) => (other === a ? (end ? box.high[a] + 0.6 * box.margin : box.low[a] - 0.6 * box.margin) : value));
      const visible = Math.abs(eye[axis]) / length < 0.9;
      return { x: at[0], y: at[1], z: at[2], text: `<b>${text}</b>`, showarrow: false, visible, font: { size: 15, color: css("--ink") } };
    }));
  }

  function boxOf(graph) {
    const boxes = Object.values(graph.surfaces);
    const low = [0, 1, 2].map((a) => Math.min(...boxes.map((s) => s.low[a])));
    const high = [0, 1, 2].map((a) => Math.max(...boxes.map((s) => s.low[a] + 65535 * s.step[a])));
    const margin = 0.08 * Math.max(...[0, 1, 2].map((a) => high[a] - low[a]));
    return { low, high, margin, centre: [0, 1, 2].map((a) => (low[a] + high[a]) / 2) };
  }

  function sizeOf(graph) {
    const box = boxOf(graph);
    return Math.max(...[0, 1, 2].map((a) => box.high[a] - box.low[a]));
  }

  // The height of a panel is what a scene is scaled to: one that is higher than wide shows it smaller, and whole.
  function ratioOf(graph) {
    const box = boxOf(graph);
    const sides = [0, 1, 2].map((a) => box.high[a] - box.low[a] + 2 * box.margin);
    const { clientWidth, clientHeight } = panels[0].scene;
    const most = 1.9 * Math.min(1, (1.05 * clientWidth) / clientHeight);
    const [x, y, z] = sides.map((side) => (most * side) / Math.max(...sides));
    return { x, y, z };
  }

  function frame(graph) {
    const box = boxOf(graph);
    const axis = (a) => ({ visible: false, range: [box.low[a] - box.margin, box.high[a] + box.margin], autorange: false });
    return { xaxis: axis(0), yaxis: axis(1), zaxis: axis(2), aspectmode: "manual", aspectratio: zoom ?? ratioOf(graph), annotations: letters(box, view.eye), bgcolor: css("--paper"), camera: view };
  }

  function camera(view, hemisphere) {
    const out = hemisphere === "L" ? -1 : 1;
    const eyes = { lateral: [out, 0, 0], medial: [-out, 0, 0], dorsal: [0, 0, 1], ventral: [0, 0, -1], anterior: [0, 1, 0], posterior: [0, -1, 0] };
    const up = view === "dorsal" || view === "ventral" ? { x: 0, y: 1, z: 0 } : { x: 0, y: 0, z: 1 };
    const [x, y, z] = eyes[view].map((value) => 1.6 * value);
    return { eye: { x, y, z }, up, center: { x: 0, y: 0, z: 0 }, projection: { type: "orthographic" } };
  }

  const opening = (graph) => camera(graph.view, graph.hemisphere);

  function options(select, items) {
    const before = select.value;
    select.replaceChildren(...items.map(([value, text]) => new Option(text, value)));
    if (items.some(([value]) => value === before)) select.value = before;
  }

  const graphSelect = root.querySelector("select.graph");
  const surfaceSelect = root.querySelector("select.surface");
  const borders = root.querySelector("input.borders");
  const folds = root.querySelector("input.folds");
  const panels = [...root.querySelectorAll(".view-panel")].map((element) => ({
    element, scene: element.querySelector(".scene"), select: element.querySelector("select.map"), legend: element.querySelector(".legend"), chosen: 0,
  }));
  let view = opening(data.graphs[0]);
  let zoom = null;
  const currentGraph = () => data.graphs[Number(graphSelect.value)];

  function showLegend(panel, map) {
    if (map.kind === "scalars") {
      const ramp = Object.assign(document.createElement("div"), { className: "ramp" });
      ramp.style.background = `linear-gradient(to right, ${map.colours.join(",")})`;
      const ends = Object.assign(document.createElement("div"), { className: "ends" });
      ends.append(...[0, 0.5, 1].map((t) => {
        const number = Number((map.low + t * (map.high - map.low)).toPrecision(3));
        return Object.assign(document.createElement("span"), { textContent: `${t === 0 ? "≤ " : t === 1 ? "≥ " : ""}${number} ${map.unit}` });
      }));
      const none = swatchButton(NONE, "no value", () => {});
      none.disabled = true;
      panel.legend.replaceChildren(ramp, ends, none);
      return;
    }
    const table = data.tables[map.table];
    const counts = new Map();
    const n = table.names.length + 1;
    let hasPale = false;
    for (const label of unpack(map.values)) {
      counts.set(label % n, (counts.get(label % n) ?? 0) + 1);
      hasPale ||= label >= n;
    }
    const names = [map.none, ...table.names];
    const colours = [NONE, ...table.colours];
    const labels = [...counts.keys()].sort((a, b) => (a === 0) - (b === 0) || a - b);
    panel.legend.replaceChildren(...labels.map((label) => {
      const button = swatchButton(colours[label], names[label], () => {
        panel.chosen = panel.chosen === label ? 0 : label;
        show(panel);
      });
      button.title = `${counts.get(label)} nodes`;
      button.disabled = label === 0;
      button.setAttribute("aria-pressed", panel.chosen === label && label > 0);
      return button;
    }));
    if (hasPale) panel.legend.append(Object.assign(document.createElement("span"), { textContent: `pale: ${map.pale}` }));
  }

  function swatchButton(colour, name, action) {
    const button = Object.assign(document.createElement("button"), { type: "button" });
    const swatch = Object.assign(document.createElement("span"), { className: "swatch" });
    swatch.style.background = colour;
    button.append(swatch, name);
    button.addEventListener("click", action);
    return button;
  }

  function show(panel) {
    const graph = currentGraph();
    const map = graph.maps.find((item) => item.title === panel.select.value);
    const surface = graph.surfaces[surfaceSelect.value];
    const traces = map.kind === "labels" ? labelTraces(graph, surface, map, panel.chosen, borders.checked, folds.checked) : scalarTraces(graph, surface, map);
    traces.push(...markTraces(graph, surface));
    const focused = panel.legend.contains(document.activeElement) ? document.activeElement.textContent : null;
    const place = panel.legend.scrollTop;
    showLegend(panel, map);
    panel.legend.scrollTop = place;
    if (focused !== null) [...panel.legend.querySelectorAll("button")].find((b) => b.textContent === focused)?.focus();
    const layout = { scene: frame(graph), margin: { l: 0, r: 0, t: 0, b: 0 }, showlegend: false, paper_bgcolor: css("--paper"), modebar: { bgcolor: "rgba(0,0,0,0)" } };
    panel.scene.setAttribute("aria-label", `${map.title}: ${data.surfaces[surfaceSelect.value]}, ${graph.title}. ${KEYS}`);
    Plotly.react(panel.scene, traces, layout, { displaylogo: false, responsive: true, scrollZoom: true, modeBarButtonsToRemove: ["sendChartToCloud", "tableRotation", "resetCameraLastSave3d"] });
  }

  const KEYS = "Arrow keys turn it, plus and minus zoom, Home shows it as at first.";
  const STEP = Math.PI / 18;

  // Turns a vector round a unit axis (Rodrigues' formula).
  function turned(v, axis, angle) {
    const [c, s] = [Math.cos(angle), Math.sin(angle)];
    const along = (1 - c) * (axis.x * v.x + axis.y * v.y + axis.z * v.z);
    const cross = cross3(axis, v);
    return { x: c * v.x + s * cross.x + along * axis.x, y: c * v.y + s * cross.y + along * axis.y, z: c * v.z + s * cross.z + along * axis.z };
  }

  const cross3 = (a, b) => ({ x: a.y * b.z - a.z * b.y, y: a.z * b.x - a.x * b.z, z: a.x * b.y - a.y * b.x });
  const unit = (v) => { const length = Math.hypot(v.x, v.y, v.z); return { x: v.x / length, y: v.y / length, z: v.z / length }; };

  function press(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const across = unit(cross3(view.up, view.eye));
    const turn = (axis, angle) => { view = { ...view, eye: turned(view.eye, axis, angle), up: turned(view.up, axis, angle) }; };
    const scale = (factor) => { const { x, y, z } = zoom ?? ratioOf(currentGraph()); zoom = { x: factor * x, y: factor * y, z: factor * z }; };
    const actions = {
      ArrowLeft: () => turn(unit(view.up), -STEP), ArrowRight: () => turn(unit(view.up), STEP),
      ArrowUp: () => turn(across, -STEP), ArrowDown: () => turn(across, STEP),
      "+": () => scale(1.15), "=": () => scale(1.15), "-": () => scale(1 / 1.15),
      Home: () => { view = opening(currentGraph()); zoom = null; },
    };
    if (!actions[event.key]) return;
    event.preventDefault();
    actions[event.key]();
    look();
  }

  // Shows both panels as `view` and `zoom` say.
  function look() {
    const graph = currentGraph();
    move(panels, { "scene.camera": view, "scene.aspectratio": zoom ?? ratioOf(graph), "scene.annotations": letters(boxOf(graph), view.eye) });
  }

  function move(targets, change) {
    targets.forEach((panel) => Plotly.relayout(panel.scene, change));
  }

  // A panel that is turned by hand takes the others along. Relayouts made here come back as events, too: those with
  // letters are ours, and so is one of a panel that nobody holds and that shows the common view already.
  let held = null;

  function follow(panel) {
    const others = panels.filter((other) => other !== panel);
    const copy = (event, targets, more) => {
      view = event["scene.camera"];
      zoom = event["scene.aspectratio"] ?? zoom;
      move(targets, { "scene.camera": view, ...(zoom && { "scene.aspectratio": zoom }), ...more });
    };
    panel.scene.on("plotly_relayouting", (event) => {
      if (!event["scene.camera"]) return;
      held = panel;
      copy(event, others, {});
    });
    panel.scene.on("plotly_relayout", (event) => {
      const camera = event["scene.camera"];
      if (!camera || event["scene.annotations"]) return;
      if (panel !== held && JSON.stringify(camera) === JSON.stringify(view)) return;
      held = null;
      copy(event, panels, { "scene.annotations": letters(boxOf(currentGraph()), camera.eye) });
    });
  }

  function showAll() { panels.forEach(show); }

  function chooseGraph() {
    const graph = currentGraph();
    options(surfaceSelect, Object.keys(graph.surfaces).map((kind) => [kind, data.surfaces[kind]]));
    for (const panel of panels) {
      options(panel.select, graph.maps.map((map) => [map.title, map.title]));
      panel.chosen = 0;
    }
  }

  function start() {
    options(graphSelect, data.graphs.map((graph, number) => [String(number), graph.title]));
    chooseGraph();
    for (const panel of panels) {
      const wanted = panel.element.dataset.map;
      if (currentGraph().maps.some((map) => map.title === wanted)) panel.select.value = wanted;
    }
    showAll();
    panels.forEach(follow);
    graphSelect.addEventListener("change", () => { chooseGraph(); view = opening(currentGraph()); zoom = null; showAll(); });
    surfaceSelect.addEventListener("change", showAll);
    borders.addEventListener("change", showAll);
    folds.addEventListener("change", showAll);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", showAll);
    window.addEventListener("resize", look);
    panels.forEach((panel) => panel.scene.addEventListener("keydown", press));
    panels.forEach((panel) => panel.select.addEventListener("change", () => { panel.chosen = 0; show(panel); }));
    root.querySelectorAll("button[data-view]").forEach((button) => button.addEventListener("click", () => {
      view = camera(button.dataset.view, currentGraph().hemisphere);
      look();
    }));
  }

  const watcher = new IntersectionObserver((entries) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    watcher.disconnect();
    start();
  }, { rootMargin: "300px" });
  watcher.observe(root);
})();
