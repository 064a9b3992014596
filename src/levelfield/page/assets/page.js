"use strict";
// Sorts, filters, hides and picks rows, shows notes and saves. Everything else is plain HTML and works without this script.
(() => {
  const table = document.getElementById("ranking-table");
  const lines = [...table.querySelectorAll("tbody tr[data-row]")];
  const chips = [...document.querySelectorAll(".legend button")];
  const filter = document.getElementById("filter");
  const count = document.getElementById("shown-count");
  const showAll = document.getElementById("show-all");
  const hidden = new Set();
  const visible = (row) => {
    const line = lines.find((tr) => tr.dataset.row === row);
    return !line || !line.hidden;
  };

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
    return Promise.all(Charts.ids.map((id) => Charts.draw(id, visible)));
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

  // The row under the pointer, or in focus, stands out wherever it is shown.
  const picked = document.head.appendChild(document.createElement("style"));
  const rowOf = (target) => {
    const near = target instanceof Element ? target.closest("[data-row], [data-of], [data-part]") : null;
    return near && (near.dataset.row ?? near.dataset.of ?? near.dataset.part);
  };
  let now = null;
  function pick(row) {
    if (row === now) return;
    now = row;
    const name = row === null ? "" : CSS.escape(row);
    picked.textContent = row === null ? "" : `
      [data-part]:not([data-part="${name}"]) { opacity: .13 !important; }
      text[data-part="${name}"] { font-weight: bold; }
      tr[data-row="${name}"], tr[data-of="${name}"] { background: var(--picked); }
      .legend [data-row="${name}"], span[data-of="${name}"] { outline: 2px solid var(--accent); outline-offset: 1px; border-radius: 999px; }`;
  }
  for (const kind of ["pointerover", "focusin"]) document.addEventListener(kind, (event) => pick(rowOf(event.target)));
  document.documentElement.addEventListener("pointerleave", () => pick(null));

  // A mark shows its note while the pointer or the focus is on it; Escape puts it away.
  const tip = document.body.appendChild(document.createElement("div"));
  tip.id = "tip";
  tip.hidden = true;
  tip.setAttribute("aria-hidden", "true"); // readers hear the note itself, which describes the mark
  function show(event) {
    const mark = event.target instanceof Element ? event.target.closest("a.mark") : null;
    tip.hidden = !mark;
    if (!mark) return;
    tip.textContent = document.getElementById(mark.getAttribute("aria-describedby")).textContent;
    const box = mark.getBoundingClientRect();
    tip.style.left = `${Math.max(8, Math.min(box.left, innerWidth - tip.offsetWidth - 8))}px`;
    tip.style.top = `${box.bottom + tip.offsetHeight + 8 < innerHeight ? box.bottom + 6 : box.top - tip.offsetHeight - 6}px`;
  }
  for (const kind of ["pointerover", "focusin", "focusout"]) document.addEventListener(kind, show);
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") tip.hidden = true; });

  // A chart's data as a table, made when it is first opened: what the pointer is told by tooltips, for keyboard and reader.
  function tableOf(id, label) {
    const { keys, values } = Charts.figuresOf(id);
    const shown = keys.filter((key) => key !== "row" || !keys.includes("name"));
    const words = (value) => (value ?? "") === "" ? "–" : Number.isFinite(value) && !Number.isInteger(value) ? String(Number(value.toPrecision(5))) : String(value);
    const place = document.createElement("div");
    Object.assign(place, { className: "scroll", tabIndex: 0 });
    place.setAttribute("role", "region");
    place.setAttribute("aria-label", label);
    const made = place.appendChild(document.createElement("table"));
    const line = (part, cells, kind) => {
      const tr = part.insertRow();
      for (const cell of cells) tr.appendChild(document.createElement(kind)).textContent = cell;
      return tr;
    };
    for (const head of line(made.createTHead(), shown.map((key) => (key === "name" ? "row" : key.replaceAll("_", " "))), "th").cells) head.scope = "col";
    const body = made.createTBody();
    for (const datum of values) {
      const tr = line(body, shown.map((key) => words(datum[key])), "td");
      if (datum.row) Object.assign(tr, { hidden: !visible(datum.row) }).dataset.of = datum.row;
    }
    return place;
  }
  for (const details of document.querySelectorAll("details.figures")) {
    details.addEventListener("toggle", () => {
      if (details.open && !details.querySelector("table")) details.append(tableOf(details.dataset.figuresOf, details.firstElementChild.textContent));
    });
  }

  function textOf(cell) {
    return [...cell.childNodes].filter((node) => node.nodeName !== "SUP").map((node) => node.textContent.trim()).filter(Boolean).join(" ");
  }
  const savers = {
    svg: (id) => [Charts.svgOf(id), "image/svg+xml", "svg"],
    data: (id) => [Charts.dataOf(id), "text/csv", "csv"],
    table: (id) => [Charts.csv([...document.getElementById(id).rows].map((tr) => [...tr.cells].map(textOf))), "text/csv", "csv"],
    image: (id) => [Uint8Array.from(atob(document.getElementById(id).src.split(",")[1]), (c) => c.charCodeAt(0)), "image/svg+xml", "svg"],
  };
  for (const button of document.querySelectorAll("[data-save]")) {
    button.addEventListener("click", () => {
      pick(null);
      const id = button.dataset.ofId;
      const [content, type, ending] = savers[button.dataset.save](id);
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([content], { type }));
      link.download = `${document.querySelector("h1").textContent}-${id}.${ending}`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    });
  }

  update().then(() => { document.documentElement.dataset.ready = "true"; });
})();
