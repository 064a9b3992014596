// Runs inside the page under test, once it is ready: uses it as a reader would, and tells the frame around it what it saw.
(async () => {
  const seen = { errors: window.seenErrors, dark: matchMedia("(prefers-color-scheme: dark)").matches, width: innerWidth };
  const pause = (ms) => new Promise((done) => setTimeout(done, ms));
  const until = async (test) => { for (let i = 0; i < 400 && !test(); i++) await pause(25); return test(); };
  const lines = () => [...document.querySelectorAll("#ranking-table tbody tr[data-row]")];
  const shown = () => lines().filter((tr) => !tr.hidden).map((tr) => tr.dataset.row);
  const column = (name) => [...document.querySelectorAll("#ranking-table thead th")].findIndex((th) => th.textContent.trim() === name);
  const sortBy = (name) => document.querySelectorAll("#ranking-table thead th")[column(name)].querySelector("button").click();
  const values = (name) => lines().map((tr) => tr.children[column(name)].dataset.value);
  const names = () => [...document.querySelectorAll("#p0-dots .role-axis-label text")].map((text) => text.textContent);
  const boxes = (found) => found.map((e) => e.getBoundingClientRect()).filter((box) => box.width > 0);
  const collide = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom - 1 && b.top < a.bottom - 1;
  try {
    await until(() => document.documentElement.dataset.ready);
    const places = [...document.querySelectorAll(".chart")];
    seen.places = places.length;
    seen.drawn = places.filter((place) => place.querySelector("svg path, canvas")).length;
    seen.links = [...document.querySelectorAll("[src], [href]")].map((e) => e.getAttribute("src") ?? e.getAttribute("href"));
    seen.overflow = document.documentElement.scrollWidth - document.documentElement.clientWidth;
    const scroll = document.getElementById("ranking-table").parentElement;
    seen.cut = scroll.scrollWidth - scroll.clientWidth;
    seen.stacked = getComputedStyle(document.querySelector("#ranking-table tbody td")).display === "block";
    seen.text = getComputedStyle(document.querySelector("#p0-dots .role-axis-label text")).fill;
    seen.labelText = getComputedStyle(document.querySelector('[class*="label_front"] text')).fill;
    seen.order = values("top-1 %");

    const labels = places.map((place) => boxes([...place.querySelectorAll('[class*="label_front"] text, [class*="label_rest"] text, [class*="label_end"] text')]));
    seen.labels = labels.flat().length;
    seen.collisions = labels.flatMap((own) => own.flatMap((a, i) => own.slice(i + 1).filter((b) => collide(a, b)))).length;

    const faint = () => [...document.querySelectorAll("[data-part]")].filter((part) => getComputedStyle(part).opacity === "0.13").map((part) => part.dataset.part);
    const line = lines().find((tr) => tr.dataset.row === "vit_mini");
    line.dispatchEvent(new PointerEvent("pointerover", { bubbles: true }));
    seen.faint = [...new Set(faint())].sort();
    seen.parts = [...new Set([...document.querySelectorAll("[data-part]")].map((part) => part.dataset.part))].sort();
    document.body.dispatchEvent(new PointerEvent("pointerover", { bubbles: true }));

    const mark = document.querySelector("#ranking-table a.mark");
    mark.focus();
    const tip = document.getElementById("tip");
    seen.tip = tip.hidden ? "" : tip.textContent;
    seen.note = document.getElementById(mark.getAttribute("aria-describedby")).textContent;
    document.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", bubbles: true }));
    seen.tipAfterEscape = tip.hidden;
    mark.blur();

    // By keyboard: below every chart a summary in the order of the tab key opens a table of what its tooltips say.
    const figuresOf = (id) => document.querySelector(`details[data-figures-of="${id}"]`);
    seen.withoutFigures = places.filter((place) => !figuresOf(place.id) || figuresOf(place.id).querySelector("summary").tabIndex < 0).map((place) => place.id);
    for (const place of places) figuresOf(place.id)?.querySelector("summary").click();
    await until(() => places.every((place) => figuresOf(place.id)?.querySelector("tbody tr")));
    seen.figures = Object.fromEntries(places.map((place) => {
      const table = figuresOf(place.id)?.querySelector("table");
      return [place.id, table ? { head: [...table.tHead.rows[0].cells].map((cell) => cell.textContent), rows: table.tBodies[0].rows.length, empty: [...table.tBodies[0].rows].filter((tr) => [...tr.cells].every((cell) => cell.textContent === "–")).length } : null];
    }));
    seen.data = Object.fromEntries(Charts.ids.map((id) => [id, Charts.dataOf(id).trim().split("\n").length - 1]));
    const scrolls = places.map((place) => figuresOf(place.id)?.querySelector("[tabindex]"));
    seen.unreachable = scrolls.filter((one) => { one?.focus(); return !one || document.activeElement !== one; }).length;
    seen.overflowOpen = document.documentElement.scrollWidth - document.documentElement.clientWidth;
    for (const place of places) if (figuresOf(place.id)) figuresOf(place.id).open = false;

    // Whether a chart leaves its card, or Vega cut a name for want of room.
    const cut = (id) => [...document.querySelectorAll(`#${id} .role-axis-label text`)].map((text) => text.textContent).filter((text) => text.endsWith("…"));
    seen.matrix = document.getElementById("p0-decisions").parentElement.scrollWidth - document.getElementById("p0-decisions").parentElement.clientWidth;
    seen.matrixLabels = [...document.querySelectorAll("#p0-decisions .role-axis-label")].map((axis) => [...axis.querySelectorAll("text")].map((text) => text.textContent));
    seen.cutNames = Object.fromEntries(["p0-differences", "p0-dots", "p0-decisions"].map((id) => [id, cut(id)]));

    const saved = [];
    const make = URL.createObjectURL;
    URL.createObjectURL = (blob) => { saved.push(blob); return make.call(URL, blob); };
    const stop = (event) => { if (event.target.download) event.preventDefault(); };
    document.addEventListener("click", stop, true);
    HTMLAnchorElement.prototype.click = function () { seen.download = this.download; };
    for (const what of ["svg", "data"]) document.querySelector(`[data-save=${what}][data-of-id=p0-differences]`).click();
    for (const id of ["ranking-table", "runs-table"]) document.querySelector(`[data-save=table][data-of-id=${id}]`).click();
    document.querySelector("[data-save=image][data-of-id=compression-picture]").click();
    URL.createObjectURL = make;
    document.removeEventListener("click", stop, true);
    seen.unsaved = [...document.querySelectorAll("figure")].filter((one) => !one.querySelector("[data-save]")).map((one) => one.textContent.slice(0, 60));
    seen.saved = await Promise.all(saved.map((blob) => blob.text()));
    const parsed = new DOMParser().parseFromString(seen.saved[0], "image/svg+xml");
    seen.svg = { root: parsed.documentElement.nodeName, marks: parsed.querySelectorAll("path").length, unstyled: [...parsed.querySelectorAll("text")].filter((text) => !text.style.fill).length };

    sortBy("top-1 %");
    seen.falling = values("top-1 %");
    sortBy("top-1 %");
    seen.rising = values("top-1 %");
    sortBy("row");
    seen.byName = values("row");

    seen.all = shown();
    const filter = document.getElementById("filter");
    filter.value = "vit";
    filter.dispatchEvent(new Event("input"));
    await until(() => shown().length < seen.all.length);
    seen.filtered = shown();
    seen.filteredCount = document.getElementById("shown-count").textContent;
    await until(() => names().length < 5);
    document.getElementById("show-all").click();
    await pause(50);
    seen.restored = shown();

    const chip = document.querySelector(".legend button[data-row=vit_mini]");
    await until(() => names().includes("vit_mini") && names().length >= 5);
    seen.before = names().filter((name) => name === "vit_mini").length;
    chip.click();
    seen.pressed = chip.getAttribute("aria-pressed");
    await until(() => !names().includes("vit_mini"));
    seen.after = names().filter((name) => name === "vit_mini").length;
    seen.withoutVit = shown();
    chip.click();
    await until(() => names().includes("vit_mini"));

    // Turned, as a phone is: the names at the ends of lines stand beside their ends again.
    const ended = document.querySelector('[class*="label_end"] text').closest(".chart");
    const ends = () => [...ended.querySelectorAll('[class*="label_end"] text')].filter((text) => text.getBoundingClientRect().width > 0);
    const apart = () => ends().map((text) => Math.abs(+text.getAttribute("transform").match(/-?[\d.]+/)[0] - text.__data__.x - 6));
    seen.ends = [ends().length];
    const wide = ended.clientWidth;
    ended.style.width = `${wide - 90}px`;
    window.dispatchEvent(new Event("resize"));
    await until(() => ended.querySelector("svg").clientWidth < wide - 60);
    await pause(300);
    seen.ends.push(ends().length);
    seen.apart = Math.max(...apart());
    ended.style.width = "";
    window.dispatchEvent(new Event("resize"));

    for (const details of document.querySelectorAll("details")) details.open = true;
    if (window.axe) {
      const found = await axe.run(document, { resultTypes: ["violations"] });
      seen.axe = found.violations.map((v) => `${v.id}: ${v.nodes.length} x ${v.nodes[0].html.slice(0, 160)} ${v.nodes[0].failureSummary}`);
      seen.axeRules = found.passes.length;
    }
  } catch (error) {
    seen.errors.push(`harness: ${error.stack}`);
  }
  parent.postMessage(JSON.stringify(seen), "*");
})();
