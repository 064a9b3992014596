"use strict";
// Draws the charts with Vega-Lite, keeps their labels apart, marks their parts with rows, and saves them.
const Charts = (() => {
  const specs = JSON.parse(document.getElementById("charts-data").textContent);
  const views = new Map();
  const config = {
    background: null, view: { stroke: null },
    font: "system-ui, -apple-system, Segoe UI, Roboto, Noto Sans, DejaVu Sans, sans-serif",
    axis: { labelFontSize: 11.5, titleFontSize: 11.5, titleFontWeight: "normal", titlePadding: 8, labelPadding: 5, tickSize: 4, labelOverlap: "greedy", labelSeparation: 6 },
    axisYBand: { labelOverlap: false }, axisXBand: { labelOverlap: false },
    legend: { labelFontSize: 11, titleFontSize: 11, titleFontWeight: "normal" },
  };

  function draw(id, visible) {
    const spec = structuredClone(specs[id]);
    const place = document.getElementById(id);
    if (place.clientWidth < 440) {
      shorten(spec);
      merge(spec, spec.usermeta?.narrow ?? {});
    }
    spec.data.values = spec.data.values.filter((datum) => !datum.row || visible(datum.row));
    if (spec.usermeta?.row_px) spec.height = spec.usermeta.row_px * Math.max(1, new Set(spec.data.values.map((datum) => datum.name)).size);
    // Where rows are hidden a layer may have nothing to show, of which Vega need not warn.
    const logLevel = views.has(id) ? 1 : 2;
    return vegaEmbed(place, { ...spec, config }, { renderer: "svg", actions: false, logLevel }).then((result) => {
      if (views.has(id)) views.get(id).finalize();
      views.set(id, result);
      result.view.addResizeListener(() => requestAnimationFrame(() => finish(id)));
      finish(id);
    });
  }

  // What a chart wants to be otherwise where there is little room for it.
  function merge(part, change) {
    for (const [key, value] of Object.entries(change)) {
      if (part[key] && typeof part[key] === "object" && value && typeof value === "object") merge(part[key], value);
      else part[key] = value;
    }
  }

  // On a phone the names beside a chart leave most of the room to it.
  function shorten(part) {
    for (const [key, value] of Object.entries(part)) {
      if (key === "labelLimit") part[key] = Math.min(value, 104);
      else if (value && typeof value === "object" && key !== "data" && key !== "usermeta") shorten(value);
    }
  }

  // What Vega cannot do: the place itself is the image, and says so; parts know their row; labels keep apart.
  function finish(id) {
    const svg = document.getElementById(id).querySelector("svg");
    if (!svg) return;
    svg.setAttribute("aria-hidden", "true");
    const named = new Map(specs[id].data.values.filter((datum) => datum.row).map((datum) => [datum.name, datum.row]));
    for (const part of svg.querySelectorAll("path, text, line, rect")) {
      const item = part.__data__;
      const datum = (Array.isArray(item) ? item[0] : item)?.datum ?? item?.items?.[0]?.datum;
      const row = datum?.row ?? named.get(datum?.value);
      if (row) part.dataset.part = row;
    }
    separate(svg);
  }

  // Every label takes the first free place beside its point, those drawn first before the others; one that finds none,
  // or whose row has a label already, is left out.
  function separate(svg) {
    const frame = svg.getBoundingClientRect();
    const taken = [];
    const said = new Set();
    const points = [...svg.querySelectorAll(".mark-symbol.role-mark path")].filter((point) => point.getBoundingClientRect().width > 0);
    for (const kind of ["label_front", "label_rest", "label_end"]) {
      const labels = [...svg.querySelectorAll(`[class*="${kind}"] text`)];
      const dots = kind === "label_end" ? [] : points.map((point) => point.getBoundingClientRect());
      for (const label of labels) {
        const drawn = label.getAttribute("transform") ?? "";
        if (drawn !== label.dataset.moved) label.dataset.place = drawn; // Vega has drawn it, here or elsewhere than before
        label.style.display = "";
        put(label, 0, 0);
        const box = label.getBoundingClientRect();
        const row = label.dataset.part ?? label.textContent;
        const free = (dx, dy) => {
          const moved = { left: box.left + dx, right: box.right + dx, top: box.top + dy, bottom: box.bottom + dy };
          const inside = moved.left >= frame.left && moved.right <= frame.right && moved.top >= frame.top && moved.bottom <= frame.bottom;
          return inside && ![...taken, ...dots].some((other) => overlap(moved, other)) && moved;
        };
        const place = said.has(row) ? undefined : places(kind, box.width).find(([dx, dy]) => free(dx, dy));
        if (!place) { label.style.display = "none"; continue; }
        put(label, ...place);
        taken.push(free(...place));
        said.add(row);
      }
    }
  }

  function put(label, dx, dy) {
    label.dataset.moved = `${label.dataset.place} translate(${dx},${dy})`;
    label.setAttribute("transform", label.dataset.moved);
  }

  function overlap(a, b) {
    return a.left < b.right && b.left < a.right && a.top < b.bottom - 1 && b.top < a.bottom - 1;
  }

  function places(kind, width) {
    if (kind === "label_end") return [0, -7, 7, -14, 14, -21, 21, -28, 28, -36, 36, -48, 48].map((dy) => [0, dy]);
    const aside = width / 2 + 9;
    return [[0, -14], [0, 15], [aside, 0], [-aside, 0], [aside, -10], [-aside, -10], [aside, 11], [-aside, 11], [0, -27], [0, 28]];
  }

  // As it is seen now, with the style sheet's colours written into it.
  function svgOf(id) {
    const svg = document.getElementById(id).querySelector("svg");
    const copy = svg.cloneNode(true);
    const parts = [...svg.querySelectorAll("*")];
    [...copy.querySelectorAll("*")].forEach((part, i) => {
      const seen = getComputedStyle(parts[i]);
      for (const key of ["fill", "stroke", "font-family", "font-size", "font-weight", "display"]) part.style.setProperty(key, seen.getPropertyValue(key));
    });
    const ground = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    ground.setAttribute("width", "100%");
    ground.setAttribute("height", "100%");
    ground.setAttribute("fill", getComputedStyle(svg.closest("figure")).backgroundColor);
    copy.prepend(ground);
    copy.removeAttribute("aria-hidden");
    return new XMLSerializer().serializeToString(copy);
  }

  function dataOf(id) {
    const { keys, values } = figuresOf(id);
    return csv([keys, ...values.map((datum) => keys.map((key) => datum[key] ?? ""))]);
  }

  // The data of a chart, but for what only places it.
  function figuresOf(id) {
    const values = specs[id].data.values;
    return { values, keys: [...new Set(values.flatMap(Object.keys))].filter((key) => !["order", "shown"].includes(key)) };
  }

  function csv(lines) {
    const quoted = (value) => (/[",\n]/.test(String(value)) ? `"${String(value).replaceAll('"', '""')}"` : String(value));
    return lines.map((cells) => cells.map(quoted).join(",")).join("\n") + "\n";
  }

  return { ids: Object.keys(specs), draw, svgOf, dataOf, figuresOf, csv };
})();
