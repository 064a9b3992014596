"""The table with its controls."""

from __future__ import annotations

from levelfield.page.charts.chart import colours
from levelfield.page.markup import dot, paragraph, scrolled, tag, text
from levelfield.page.section import Section
from levelfield.statistics import verdict
from levelfield.tables.number_format import NONE, difference_interval, interval, percent, short, signed, whole
from levelfield.tables.table import StudyTable, TableRow
from levelfield.tables.text.columns import against_published
from levelfield.tables.text.footnotes import footnotes
from levelfield.tables.verdicts_in_words import verdict_words

CHIP = {"better": "better", "worse": "worse"}
COLUMNS = (
    ("row", "ascending"), ("seeds", "descending"), ("top-1 %", "descending"), ("to baseline", "descending"),
    ("verdict", "ascending"), ("rank", "ascending"), ("params", "ascending"), ("MACs", "ascending"),
    ("images/s", "descending"), ("published", "descending"),
)  # fmt: skip
"""Column titles, each with the order of its first sorting."""


def ranking_table(table: StudyTable) -> Section:
    """The table with its controls; one body per panel."""
    colour = colours(table.rows)
    published = any(row.runs.row.published for row in table.rows)
    columns = COLUMNS if published else COLUMNS[:-1]
    head = (
        tag("th", tag("button", name, type="button"), scope="col", data_first=first) for name, first in columns
    )  # fmt: skip
    bodies = []
    for panel in table.panels:
        lines = [_line(row, colour[row.name], published) for row in table.rows if row.panel == panel]
        if len(table.panels) > 1:
            title = tag("th", text(panel or "other"), colspan=len(columns), scope="rowgroup")
            lines.insert(0, tag("tr", title, class_="panel"))
        bodies.append(tag("tbody", lines))
    chips = (
        tag("li", tag("button", dot(colour[row.name]) + text(row.title), type="button", data_row=row.name,
                      aria_pressed="true"))
        for row in table.rows
    )  # fmt: skip
    search = tag("label", 'Filter <input type="search" id="filter" placeholder="name, verdict, …" autocomplete="off">')
    shown = tag("span", f"{len(table.rows)} rows", id="shown-count", role="status", class_="muted")
    every = tag("button", "Show all", type="button", id="show-all", hidden=True)
    note = "Press a name to hide it here and in the charts; press a column's title to sort."
    content = tag("table", tag("thead", tag("tr", head)) + "".join(bodies), id="ranking-table")
    return Section("table", "Table", "".join([
        tag("div", search + shown + every, class_="controls"),
        tag("div", tag("ul", chips, class_="legend", aria_label="Show or hide rows"), class_="legend-bar"),
        paragraph(note, class_="note controls"),
        scrolled(content, "Table of rows"),
        tag("div", (paragraph(line) for line in footnotes(table)), class_="note"),
    ]))  # fmt: skip


def _cell(value: float | str | None, shown: str, under: str = "") -> str:
    """A cell that sorts by `value` ("" where there is none)."""
    return tag(
        "td",
        shown + (tag("small", under) if under not in ("", NONE) else ""),
        data_value="" if value is None else value,
    )


def _line(row: TableRow, colour: str, published: bool) -> str:
    group = tag("small", text(row.runs.row.group)) if row.runs.row.group else ""
    group += (
        tag("small", text("also " + ", ".join(other.title for other in row.runs.row.also))) if row.runs.row.also else ""
    )
    cells = [tag("th", dot(colour) + text(row.title) + group, scope="row", data_value=row.title)]
    if row.top1 is None:
        cells += [_cell(0, "0"), _cell(None, tag("span", row.state, class_="chip even")), *[_cell(None, "")] * 6]
    else:
        cells += [_cell(row.n, str(row.n)), _cell(row.top1.value, percent(row.top1.value), interval(row.top1))]
        pair, means = row.to_baseline, row.means
        if row.is_baseline:
            cells += [_cell(0, "baseline"), _cell(None, "")]
        elif pair is None:
            cells += [_cell(None, NONE), _cell(None, "")]
        else:
            word = verdict(pair)
            chip = tag("span", verdict_words(pair), class_=f"chip {CHIP.get(word, 'even')}")
            cells += [_cell(pair.estimate, signed(pair.estimate), difference_interval(pair)), _cell(word, chip)]
        cells.append(_cell(row.rank.best if row.rank else None, str(row.rank or NONE)))
        cells += [_cell(means.get(key), short(means.get(key))) for key in ("params", "macs")]
        cells.append(_cell(means.get("images_per_s"), whole(means.get("images_per_s"))))
    if published:
        value, difference, inside = against_published(row)
        sorts = row.runs.row.published.values.get("top1") if row.runs.row.published else None
        cells.append(_cell(sorts, value, f"{difference} {inside}".strip()))
    return tag("tr", cells, data_row=row.name, class_="baseline" if row.is_baseline else None)
