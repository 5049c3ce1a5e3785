"use strict";
// Charts are drawn when they come into view, selectors switch panels, heads sort tables.
(() => {
  const CONFIG = { displaylogo: false, responsive: true, modeBarButtonsToRemove: ["sendChartToCloud", "lasso2d", "select2d", "autoScale2d"] };
  const ONE_ROW = 30; // px, at most, of a legend
  const TICK_PX = 13;
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  function themed(layout, width) {
    const line = css("--line");
    const axis = { gridcolor: line, linecolor: line, zerolinecolor: line };
    const merged = {
      font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: css("--ink") },
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", modebar: { bgcolor: "rgba(0,0,0,0)", color: css("--soft") },
      margin: { l: 60, r: 15, t: layout.title ? 40 : 28, b: 45 }, hovermode: "closest",
      legend: { orientation: "h", yanchor: "bottom", y: 1.01, x: 0, maxheight: 10000 }, ...layout,
    };
    for (const key of Object.keys(merged)) if (/^[xy]axis/.test(key)) merged[key] = { ...axis, ...fewerTicks(merged[key], width) };
    return merged;
  }

  // Of very many names an axis shows as many as can be read.
  function fewerTicks(axis, width) {
    const every = Math.ceil((axis.tickvals?.length ?? 0) / (width / TICK_PX));
    if (every < 2) return axis;
    const kept = (values) => values.filter((_, i) => i % every === 0);
    return { ...axis, tickvals: kept(axis.tickvals), ticktext: kept(axis.ticktext) };
  }

  function draw(place) {
    if (place.dataset.drawn || place.closest("[hidden]")) return;
    place.dataset.drawn = "yes";
    const figure = JSON.parse(place.parentElement.querySelector("script.figure").textContent);
    Plotly.newPlot(place, figure.data, themed(figure.layout, place.clientWidth), CONFIG).then(() => makeRoom(place));
  }

  // A legend of many rows makes its figure higher: it neither leaves series out nor takes the drawing's place.
  function makeRoom(place) {
    const legend = place.querySelector(".legend .bg");
    const more = legend ? legend.getBBox().height - ONE_ROW : 0;
    if (more <= 0) return;
    place.style.height = `${place.clientHeight + more}px`;
    Plotly.Plots.resize(place);
  }

  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) draw(entry.target);
  }, { rootMargin: "400px" });
  document.querySelectorAll(".plot").forEach((place) => watcher.observe(place));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    document.querySelectorAll(".plot[data-drawn]").forEach((place) => { delete place.dataset.drawn; draw(place); });
  });
  window.addEventListener("beforeprint", () => document.querySelectorAll(".plot").forEach(draw));

  document.querySelectorAll(".choice").forEach((choice) => {
    const select = choice.querySelector(":scope > .bar select.choose");
    const panels = [...choice.querySelectorAll(":scope > .panel")];
    select.addEventListener("change", () => {
      panels.forEach((panel, i) => { panel.hidden = i !== Number(select.value); });
      panels[Number(select.value)].querySelectorAll(".plot").forEach(draw);
    });
  });

  document.querySelectorAll("table.sortable").forEach((table) => {
    const heads = [...table.tHead.rows[0].cells];
    const value = (row, column) => {
      const cell = row.cells[column];
      const text = cell.dataset.value ?? cell.textContent;
      return text === "" || Number.isNaN(Number(text)) ? text : Number(text);
    };
    heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") !== "descending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = [...table.tBodies[0].rows].sort((a, b) => {
        const [x, y] = [value(a, column), value(b, column)];
        // rows without a number stay last, whatever the direction
        if (typeof x !== typeof y) return typeof x === "number" ? -1 : 1;
        const order = typeof x === "number" ? x - y : x.localeCompare(y);
        return down ? -order : order;
      });
      table.tBodies[0].append(...rows);
    }));
  });
})();
