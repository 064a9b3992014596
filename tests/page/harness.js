// Runs inside the page under test, once it is ready: uses it as a reader would, and leaves what it saw in #outcome.
(async () => {
  const seen = { errors: window.seenErrors, dark: matchMedia("(prefers-color-scheme: dark)").matches };
  const pause = (ms) => new Promise((done) => setTimeout(done, ms));
  const until = async (test) => { for (let i = 0; i < 400 && !test(); i++) await pause(25); return test(); };
  const lines = () => [...document.querySelectorAll("#ranking-table tbody tr[data-row]")];
  const shown = () => lines().filter((tr) => !tr.hidden).map((tr) => tr.dataset.row);
  const column = (name) => [...document.querySelectorAll("#ranking-table thead th")].findIndex((th) => th.textContent.trim() === name);
  const sortBy = (name) => document.querySelectorAll("#ranking-table thead th")[column(name)].querySelector("button").click();
  const values = (name) => lines().map((tr) => tr.children[column(name)].dataset.value);
  const names = () => [...document.querySelectorAll("#p0-dots .role-axis-label text")].map((text) => text.textContent);
  try {
    await until(() => document.documentElement.dataset.ready);
    const places = [...document.querySelectorAll(".chart")];
    seen.places = places.length;
    seen.drawn = places.filter((place) => place.querySelector("svg path, canvas")).length;
    seen.links = [...document.querySelectorAll("[src], [href]")].map((e) => e.getAttribute("src") ?? e.getAttribute("href"));
    seen.overflow = document.documentElement.scrollWidth - document.documentElement.clientWidth;
    seen.text = getComputedStyle(document.querySelector("#p0-dots .role-axis-label text")).fill;

    sortBy("top-1 %");
    seen.falling = values("top-1 %");
    sortBy("top-1 %");
    seen.rising = values("top-1 %");
    sortBy("row");
    seen.byName = values("row");

    seen.all = shown();
    const filter = document.getElementById("filter");
    filter.value = "undecided";
    filter.dispatchEvent(new Event("input"));
    await until(() => shown().length < seen.all.length);
    seen.filtered = shown();
    seen.filteredCount = document.getElementById("shown-count").textContent;
    await until(() => names().length < 5 + 15);
    document.getElementById("show-all").click();
    await pause(50);
    seen.restored = shown();

    const chip = document.querySelector(".legend button[data-row=vit_mini]");
    seen.before = names().filter((name) => name === "vit_mini").length;
    chip.click();
    seen.pressed = chip.getAttribute("aria-pressed");
    await until(() => !names().includes("vit_mini"));
    seen.after = names().filter((name) => name === "vit_mini").length;
    seen.withoutVit = shown();
    chip.click();
    await until(() => names().includes("vit_mini"));

    for (const details of document.querySelectorAll("details")) details.open = true;
    if (window.axe) {
      const found = await axe.run(document, { resultTypes: ["violations"] });
      seen.axe = found.violations.map((v) => `${v.id}: ${v.nodes.length} x ${v.nodes[0].html.slice(0, 160)} ${v.nodes[0].failureSummary}`);
      seen.axeRules = found.passes.length;
    }
  } catch (error) {
    seen.errors.push(`harness: ${error.stack}`);
  }
  const outcome = document.createElement("script");
  outcome.type = "application/json";
  outcome.id = "outcome";
  outcome.textContent = JSON.stringify(seen).replaceAll("<", "\\u003c");
  document.body.append(outcome);
})();
