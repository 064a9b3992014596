"""The upper sections of the page as HTML: header, audit, the table with its controls, places for charts, examples."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Final

from levelfield.page.charts import Chart, colours
from levelfield.page.markup import bullets, dot, folded, paragraph, scrolled, section, tag, text
from levelfield.tables.number_format import NONE, difference_interval, interval, percent, short, signed, whole
from levelfield.tables.prediction_analysis import Disagreement
from levelfield.tables.table import StudyTable, TableRow
from levelfield.tables.text.columns import against_published
from levelfield.tables.text.footnotes import footnotes

CHIP = {"better": "better", "worse": "worse"}
COLUMNS = (
    ("row", "ascending"), ("seeds", "descending"), ("top-1 %", "descending"), ("to baseline", "descending"),
    ("verdict", "ascending"), ("rank", "ascending"), ("params", "ascending"), ("MACs", "ascending"),
    ("images/s", "descending"), ("published", "descending"),
)  # fmt: skip
"""Column titles, each with the order of its first sorting."""


HEADING: Final = re.compile(r'<section id="([^"]+)"[^>]*><h2>(.*?)</h2>')
IN_PANEL: Final = re.compile(r"p\d+-(?!accuracy)")
"""Sections of one test set after its first: linked only where there is but one test set."""


def header(table: StudyTable, body: str) -> str:
    """Name, question, what was run, and links to the sections of `body`."""
    study = table.study
    parts = [tag("h1", text(study.name or "Comparison"))]
    if study.question:
        parts.append(paragraph(study.question, class_="question"))
    if study.answer:
        parts.append(paragraph(study.answer, class_="answer"))
    if study.description:
        parts.append(paragraph(study.description, class_="muted"))
    if study.scale not in ("", "full"):
        scale = tag("span", text(f"scale {study.scale}"), class_="chip worse")
        parts.append(tag("p", f"{scale} Reduced: not the study as published."))
    links = HEADING.findall(body)
    if any(key.startswith("p1-") for key, _ in links):
        links = [(key, title) for key, title in links if not IN_PANEL.match(key)]
    items = (tag("li", tag("a", title, href=f"#{key}")) for key, title in links)
    return tag("header", [*parts, tag("nav", tag("ul", items), aria_label="Sections")])


def audit(table: StudyTable) -> str:
    report = table.audit
    parts = [paragraph(report.verdict)]
    if report.unfair:
        parts.append(bullets(finding.text for finding in report.unfair))
    parts += [paragraph(finding.text) for finding in report.of("declared")]
    for kind, title in (
        ("differs", "to mention"),
        ("unchecked", "not checked"),
        ("passed", "looked at and found fair"),
    ):
        if found := report.of(kind):
            parts.append(folded(f"{len(found)} {title}", bullets(finding.text for finding in found)))
    return section("audit", "Fairness audit", parts, class_="audit unfair" if report.unfair else "audit")


def ranking_table(table: StudyTable) -> str:
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
    return section("table", "Table", [
        tag("div", search + shown + every, class_="controls"),
        tag("div", tag("ul", chips, class_="legend", aria_label="Show or hide rows"), class_="legend-bar"),
        paragraph(note, class_="note controls"),
        scrolled(content, "Table of rows"),
        tag("div", (paragraph(line) for line in footnotes(table)), class_="note"),
    ])  # fmt: skip


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
            chip = tag("span", pair.verdict, class_=f"chip {CHIP.get(pair.verdict, 'even')}")
            cells += [_cell(pair.estimate, signed(pair.estimate), difference_interval(pair)), _cell(pair.verdict, chip)]
        cells.append(_cell(row.rank.best if row.rank else None, str(row.rank or NONE)))
        cells += [_cell(means.get(key), short(means.get(key))) for key in ("params", "macs")]
        cells.append(_cell(means.get("images_per_s"), whole(means.get("images_per_s"))))
    if published:
        value, difference, inside = against_published(row)
        sorts = row.runs.row.published.values.get("top1") if row.runs.row.published else None
        cells.append(_cell(sorts, value, f"{difference} {inside}".strip()))
    return tag("tr", cells, data_row=row.name, class_="baseline" if row.is_baseline else None)


def figures(key: str, title: str, drawn: Sequence[Chart]) -> str:
    """A section with a place for every chart."""
    return section(key, title, tag("div", (_figure(chart) for chart in drawn), class_="charts")) if drawn else ""


def _figure(chart: Chart) -> str:
    caption = tag("figcaption", tag("h3", text(chart.title)) + paragraph(chart.note))
    place = tag("div", class_="chart dense" if chart.dense else "chart", id=chart.key, role="img", aria_label=chart.alt)
    by_keyboard = {"tabindex": 0, "role": "region", "aria_label": chart.title} if chart.dense else {}
    scroll = tag("div", place, class_="chart-scroll", **by_keyboard)
    return tag("figure", caption + scroll, class_="wide" if chart.wide else None)


def examples(
    table: StudyTable, key: str, of: str, found: Sequence[Disagreement], classes: Sequence[str],
    image_of: Callable[[int], bytes | None] | None,
) -> str:  # fmt: skip
    """Test images on which the rows disagree most, with what each predicts."""
    if not found:
        return ""
    colour, title = colours(table.rows), {row.name: row.title for row in table.rows}
    items = []
    for example in found:
        label = classes[example.label]
        png = image_of(example.index) if image_of else None
        picture = ""
        if png:
            data = base64.b64encode(png).decode()
            picture = f'<img alt="Test image {example.index}, {text(label)}" src="data:image/png;base64,{data}">'
        votes = tag("dl", (
            tag("div", [tag("dt", text(classes[vote]), class_="right" if vote == example.label else "wrong"),
                        tag("dd", dots)])
            for vote, dots in _voters(example, colour, title).items()
        ))  # fmt: skip
        name = tag("strong", text(label)) + " " + tag("span", f"#{example.index}", class_="muted")
        items.append(tag("li", picture + tag("div", name + votes)))
    note = (
        "The images on whose class the rows disagree most (first seed of each). Bold: the label; dots: who says what."
    )
    content = paragraph(note, class_="note") + tag("ul", items, class_="examples")
    return section(key, f"Most disagreed test images{of}", content)


def _voters(example: Disagreement, colour: Mapping[str, str], title: Mapping[str, str]) -> dict[int, str]:
    """By predicted class, the dots of the rows that predict it, the most frequent class first."""
    dots: dict[int, list[str]] = {}
    for name, vote in example.predicted.items():
        who = tag("span", text(title[name]), class_="hidden-text")
        mark = tag("span", dot(colour[name]) + who, data_of=name, title=title[name])
        dots.setdefault(vote, []).append(mark)
    return {vote: "".join(found) for vote, found in sorted(dots.items(), key=lambda item: -len(item[1]))}


def footer() -> str:
    written = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return tag("footer", text(f"Written by levelfield {version('levelfield')} on {written}. It needs no network."))
