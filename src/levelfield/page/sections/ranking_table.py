"""The table with its controls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from levelfield.page.charts.chart import colours
from levelfield.page.figure import save
from levelfield.page.markup import dot, folded, paragraph, scrolled, tag, text
from levelfield.page.section import Section
from levelfield.page.sections.notes import marks
from levelfield.page.verdict_marks import chip
from levelfield.statistics import verdict
from levelfield.tables.lists_in_words import listed
from levelfield.tables.number_format import NONE, difference_interval, interval, percent, short, signed, whole
from levelfield.tables.table import StudyTable, TableRow
from levelfield.tables.text.columns import against_published
from levelfield.tables.text.footnotes import sources
from levelfield.tables.verdicts_in_words import verdict_words

COLUMNS: Final = (
    ("row", "ascending"), ("seeds", "descending"), ("top-1 %", "descending"), ("to baseline", "descending"),
    ("verdict", "ascending"), ("rank", "ascending"), ("params", "ascending"), ("MACs", "ascending"),
    ("images/s", "descending"), ("published", "descending"),
)  # fmt: skip
"""Column titles, each with the order of its first sorting."""
DECIDED: Final = (
    "To baseline: difference of the means, with an interval that excludes zero exactly where it is decided."
)
CHIPS_OPEN: Final = 8
"""Rows up to which the buttons that hide them stand open."""


def ranking_table(table: StudyTable) -> Section:
    """The table with its controls, in the order of the ranks; one body per panel."""
    colour, noted = colours(table.rows), marks(table)
    without = set() if any(row.means.get("images_per_s") for row in table.rows) else {"images/s"}
    without |= set() if any(row.runs.row.published for row in table.rows) else {"published"}
    columns = [(name, first) for name, first in COLUMNS if name not in without]
    head = (
        tag("th", tag("button", name, type="button"), scope="col", data_first=first) for name, first in columns
    )  # fmt: skip
    bodies = []
    for panel in dict.fromkeys(row.panel for row in table.ranked):
        rows = [row for row in table.ranked if row.panel == panel]
        lines = [_line(row, colour[row.name], noted[row.name], [name for name, _ in columns]) for row in rows]
        if len(table.panels) > 1:
            title = tag("th", text(panel or "other"), colspan=len(columns), scope="rowgroup")
            lines.insert(0, tag("tr", title, class_="panel"))
        bodies.append(tag("tbody", lines))
    content = tag("table", tag("thead", tag("tr", head)) + "".join(bodies), id="ranking-table")
    return Section("table", "Table", "".join([
        _controls(table), _legend(table.ranked, colour), scrolled(content, "Table of rows"),
        tag("div", (paragraph(line) for line in (*sources(table), DECIDED)), class_="note"),
    ]))  # fmt: skip


def _controls(table: StudyTable) -> str:
    search = tag("label", 'Filter <input type="search" id="filter" placeholder="name, verdict, …" autocomplete="off">')
    shown = tag("span", f"{len(table.rows)} rows", id="shown-count", role="status", class_="muted")
    every = tag("button", "Show all", type="button", id="show-all", hidden=True)
    saved = tag("span", save("table", "ranking-table", "CSV", "Save the table"), class_="save")
    return tag("div", search + shown + every + saved, class_="controls")


def _legend(rows: Sequence[TableRow], colour: Mapping[str, str]) -> str:
    """Buttons that hide rows, by group; behind a line where there are many."""
    groups: dict[str, list[TableRow]] = {}
    for row in rows:
        groups.setdefault(row.runs.row.group, []).append(row)
    parts = []
    for group, members in groups.items():
        chips = (
            tag("li", tag("button", dot(colour[row.name]) + text(row.title), type="button", data_row=row.name,
                          aria_pressed="true"))
            for row in members
        )  # fmt: skip
        said = tag("span", text(group), class_="muted") if group and len(groups) > 1 else ""
        parts.append(tag("div", said + tag("ul", chips, class_="legend", aria_label=f"Show or hide {group or 'rows'}")))
    note = "Press a name to hide it here and in the charts; press a column's title to sort."
    content = paragraph(note, class_="note") + "".join(parts)
    if len(rows) <= CHIPS_OPEN:
        return tag("div", content, class_="legend-bar")
    return folded(f"Show or hide rows ({len(rows)})", content, class_="legend-bar")


def _cell(value: float | str | None, shown: str, under: str = "") -> str:
    """A cell that sorts by `value` ("" where there is none)."""
    small = tag("small", text(under)) if under not in ("", NONE) else ""
    return tag("td", shown + small, data_value="" if value is None else value)


def _line(row: TableRow, colour: str, noted: str, columns: Sequence[str]) -> str:
    """A row's line. Each cell names its column, for where the lines are stacked."""
    cells = _measured(row) if row.top1 is not None else _unmeasured(row)
    value, difference, inside = against_published(row)
    printed = row.runs.row.published.values.get("top1") if row.runs.row.published else None
    cells["published"] = _cell(printed, value, f"{difference} {inside}".strip())
    under = [row.runs.row.group] if row.runs.row.group else []
    if row.runs.row.also:
        under.append("also listed as " + listed([other.title for other in row.runs.row.also], 30))
    first = dot(colour) + text(row.title) + noted + "".join(tag("small", text(words)) for words in under)
    shown = [tag("th", first, scope="row", data_value=row.title)]
    for name in columns[1:]:
        shown.append(cells.get(name, _cell(None, "")).replace("<td", f'<td data-label="{text(name)}"', 1))
    return tag("tr", shown, data_row=row.name, class_="baseline" if row.is_baseline else None)


def _seeds(row: TableRow) -> str:
    """Seeds that came through, and how many did not."""
    return _cell(row.n, str(row.n), f"{row.failed} of {row.n + row.failed} failed" if row.failed else "")


def _unmeasured(row: TableRow) -> dict[str, str]:
    state = tag("span", text(row.state), class_="chip even")
    return {"seeds": _seeds(row), "top-1 %": _cell(None, state)}


def _measured(row: TableRow) -> dict[str, str]:
    assert row.top1 is not None
    pair, means = row.to_baseline, row.means
    cells = {
        "seeds": _seeds(row),
        "top-1 %": _cell(row.top1.value, percent(row.top1.value), interval(row.top1)),
        "rank": _cell(row.rank.best if row.rank else None, str(row.rank or NONE)),
        "params": _cell(means.get("params"), short(means.get("params"))),
        "MACs": _cell(means.get("macs"), short(means.get("macs"))),
        "images/s": _cell(means.get("images_per_s"), whole(means.get("images_per_s"))),
    }
    if row.is_baseline:
        return {**cells, "to baseline": _cell(0, "baseline")}
    if pair is None:
        return {**cells, "to baseline": _cell(None, NONE)}
    word = verdict(pair)
    said, _, beside = verdict_words(pair).partition(" (")
    cells["to baseline"] = _cell(pair.estimate, signed(pair.estimate), difference_interval(pair))
    return {**cells, "verdict": _cell(word, chip(word, said), beside.rstrip(")"))}
