"use strict";
// Draws the charts, and sorts, filters and hides rows. Everything else is plain HTML and works without this script.
(() => {
  const charts = JSON.parse(document.getElementById("charts-data").textContent);
  const table = document.getElementById("ranking-table");
  const lines = [...table.querySelectorAll("tbody tr[data-row]")];
  const chips = [...document.querySelectorAll(".legend button")];
  const filter = document.getElementById("filter");
  const count = document.getElementById("shown-count");
  const showAll = document.getElementById("show-all");
  const hidden = new Set();
  const views = new Map();

  const config = {
    background: null, view: { stroke: null },
    font: "system-ui, -apple-system, Segoe UI, Roboto, Noto Sans, DejaVu Sans, sans-serif",
    axis: { labelFontSize: 11.5, titleFontSize: 11.5, titleFontWeight: "normal", titlePadding: 8, labelPadding: 5, tickSize: 4 },
    legend: { labelFontSize: 11, titleFontSize: 11, titleFontWeight: "normal" },
  };

  const visible = (row) => {
    const line = lines.find((tr) => tr.dataset.row === row);
    return !line || !line.hidden;
  };

  function draw(id) {
    const spec = structuredClone(charts[id]);
    spec.data.values = spec.data.values.filter((datum) => !datum.row || visible(datum.row));
    if (spec.usermeta) spec.height = spec.usermeta.row_px * new Set(spec.data.values.map((datum) => datum.name)).size;
    const place = document.getElementById(id);
    // Where rows are hidden a layer may have nothing to show, of which Vega need not warn.
    const logLevel = views.has(id) ? 1 : 2;
    return vegaEmbed(place, { ...spec, config }, { renderer: "svg", actions: false, logLevel }).then((result) => {
        if (views.has(id)) views.get(id).finalize();
        views.set(id, result);
        place.querySelector("svg")?.setAttribute("aria-hidden", "true"); // the place itself is the image, and says so
      });
  }

  function update() {
    const words = filter.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const line of lines) {
      const text = line.textContent.toLowerCase();
      line.hidden = hidden.has(line.dataset.row) || !words.every((word) => text.includes(word));
      shown += line.hidden ? 0 : 1;
    }
    for (const other of document.querySelectorAll("[data-of]")) other.hidden = !visible(other.dataset.of);
    for (const chip of chips) chip.setAttribute("aria-pressed", String(!hidden.has(chip.dataset.row)));
    count.textContent = shown === lines.length ? `${shown} rows` : `${shown} of ${lines.length} rows`;
    showAll.hidden = shown === lines.length;
    return Promise.all(Object.keys(charts).map(draw));
  }

  for (const chip of chips) {
    chip.addEventListener("click", () => {
      const row = chip.dataset.row;
      hidden.has(row) ? hidden.delete(row) : hidden.add(row);
      update();
    });
  }
  let pending;
  filter.addEventListener("input", () => { clearTimeout(pending); pending = setTimeout(update, 120); });
  showAll.addEventListener("click", () => { hidden.clear(); filter.value = ""; update(); });

  // Sorting moves the rows of each panel within it; empty cells stay at the end.
  const heads = [...table.querySelectorAll("thead th")];
  heads.forEach((head, column) => {
    const button = head.querySelector("button");
    if (!button) return;
    button.addEventListener("click", () => {
      const first = head.dataset.first || "descending";
      const other = first === "descending" ? "ascending" : "descending";
      const direction = head.getAttribute("aria-sort") === first ? other : first;
      heads.forEach((h) => h.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", direction);
      const sign = direction === "ascending" ? 1 : -1;
      const value = (tr) => tr.children[column].dataset.value ?? "";
      for (const body of table.tBodies) {
        const rows = [...body.querySelectorAll("tr[data-row]")];
        rows.sort((a, b) => {
          const [x, y] = [value(a), value(b)];
          if (x === "" || y === "") return (x === "") - (y === "");
          const numbers = !Number.isNaN(Number(x)) && !Number.isNaN(Number(y));
          return sign * (numbers ? Number(x) - Number(y) : x.localeCompare(y));
        });
        body.append(...rows);
      }
    });
  });

  update().then(() => { document.documentElement.dataset.ready = "true"; });
})();
