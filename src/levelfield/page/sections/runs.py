"""Every single run, those that failed or diverged too."""

from __future__ import annotations

from levelfield.page.figure import save
from levelfield.page.markup import bullets, folded, paragraph, scrolled, tag, text
from levelfield.page.section import Section
from levelfield.tables.lists_in_words import counted
from levelfield.tables.number_format import NONE, percent, whole
from levelfield.tables.outcomes import Outcome, outcomes
from levelfield.tables.table import StudyTable, TableRow

COLUMNS = ("row", "seed", "outcome", "top-1 %", "loss", "epochs", "train s")


def runs(table: StudyTable) -> Section | None:
    """A line for every seed of every row; before it those without a result, and why."""
    found = [(row, outcome) for row in table.ranked for outcome in outcomes(row.runs)]
    if not found:
        return None
    finished = sum(outcome.run is not None for _, outcome in found)
    failed = sum(outcome.state in ("failed", "diverged") for _, outcome in found)
    said = f"{counted(len(found), 'run')}: {finished} finished, {failed} failed or diverged"
    said += f", {len(found) - finished - failed} not there." if finished + failed < len(found) else "."
    head = tag("thead", tag("tr", (tag("th", name, scope="col") for name in COLUMNS)))
    body = tag("tbody", (_line(row, outcome) for row, outcome in found))
    content = scrolled(tag("table", head + body, id="runs-table"), "Every run")
    troubled = [
        f"{row.title}, seed {outcome.seed}: {outcome.state}{': ' * bool(outcome.why)}{outcome.why}"
        for row, outcome in found
        if outcome.state in ("failed", "diverged", "could not begin")
    ]
    button = tag("div", save("table", "runs-table", "CSV", "Save the table of runs"), class_="save")
    shown = paragraph(said) + bullets(troubled) * bool(troubled) + folded("Run by run", button + content)
    return Section("runs", "Every run", shown)


def _line(row: TableRow, outcome: Outcome) -> str:
    run = outcome.run
    result = {} if run is None else run.result
    style = {"finished": "even", "failed": "worse", "diverged": "worse"}.get(outcome.state, "even")
    state = tag("span", text(outcome.state), class_=f"chip {style}", title=outcome.why or None)
    epochs = result.get("epochs_done")
    cells = [
        str(outcome.seed), state, percent(result.get("top1")), percent(result.get("loss"), 3),
        NONE if epochs is None else f"{epochs:g}", whole(result.get("train_seconds")),
    ]  # fmt: skip
    name = tag("th", text(row.title), scope="row")
    return tag("tr", [name, *(tag("td", cell) for cell in cells)], data_of=row.name)
