"""`report.html`: one self-contained file: the answer first, then everything that it rests on.

The page is plain HTML with its style inside; a small script draws the charts (Vega-Lite, its script inlined from
vl-convert, so that nothing is fetched), and sorts, filters and hides rows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import resources
from importlib.metadata import version
from pathlib import Path

from levelfield.page.chart_library import chart_library
from levelfield.page.listed_images import ImageOf
from levelfield.page.markup import paragraph, tag, text
from levelfield.page.section import Section, contents
from levelfield.page.sections.all_scores import all_scores
from levelfield.page.sections.analyses import analyses
from levelfield.page.sections.answer import answer
from levelfield.page.sections.audit import audit
from levelfield.page.sections.chart_sections import chart_sections
from levelfield.page.sections.cite import cite
from levelfield.page.sections.compared import forests, matrices, steps
from levelfield.page.sections.differing_settings import differing_settings
from levelfield.page.sections.disagreements import disagreements
from levelfield.page.sections.effects import effects
from levelfield.page.sections.environment import environment
from levelfield.page.sections.notes import notes
from levelfield.page.sections.ranking_table import ranking_table
from levelfield.page.sections.reproduce import reproduce
from levelfield.page.sections.runs import runs
from levelfield.page.sections.scaling import scaling
from levelfield.page.sections.suite import suite
from levelfield.page.sections.sweeps import sweeps
from levelfield.page.sections.verdicts import verdicts
from levelfield.page.thumbnails import tested_on
from levelfield.runs import write_text
from levelfield.tables.prediction_analysis import Predicted, most_disagreed, read_predicted
from levelfield.tables.table import StudyTable


def write_page(table: StudyTable, path: Path, image_of: ImageOf | None = None) -> None:
    """Write the page of `table` to `path`. `image_of`: thumbnails of the first measured panel's test images."""
    write_text(path, page(table, image_of))


def page(table: StudyTable, image_of: ImageOf | None = None) -> str:
    """The page of `table` as HTML."""
    predicted = {row.name: found for row in table.measured if (found := read_predicted(row)) is not None}
    sections = [
        answer(table),
        forests(table),
        steps(table),
        audit(table),
        ranking_table(table),
        scaling(table),
        suite(table),
        effects(table),
        matrices(table),
        *_of_test_sets(table, predicted, image_of),
        *analyses(table, image_of),
        verdicts(table, predicted),
        runs(table),
        all_scores(table, predicted),
        sweeps(table),
        differing_settings(table),
        environment(table),
        notes(table),
        reproduce(table),
        cite(table),
    ]
    return _fill(table, [section for section in sections if section is not None])


def _of_test_sets(table: StudyTable, predicted: Mapping[str, Predicted], image_of: ImageOf | None) -> list[Section]:
    """The sections of every test set; where there are several, the table of contents names the first of each."""
    panels = list(dict.fromkeys(row.panel for row in table.measured))
    found: list[Section] = []
    for i, panel in enumerate(panels):
        rows = [row for row in table.measured if row.panel == panel]
        of = f" on {panel}" if len(panels) > 1 else ""
        own = {row.name: predicted[row.name] for row in rows if row.name in predicted}
        shown: list[Section | None] = [*chart_sections(table.rows, rows, own, f"p{i}", of)]
        if own:
            names = [score.name for score in next(iter(own.values())).scores.classes]
            pictures = image_of if i == 0 else None
            shown.append(disagreements(table, f"p{i}-examples", of, most_disagreed(own), names, pictures))
        first, *others = [section for section in shown if section is not None]
        found += [first, *(replace(section, in_contents=len(panels) == 1) for section in others)]
    return found


def _asset(name: str) -> str:
    return (resources.files("levelfield.page") / "assets" / name).read_text(encoding="utf-8")


def _header(table: StudyTable) -> str:
    """Name and question, and whether it was asked at a reduced scale."""
    study = table.study
    parts = [tag("h1", text(study.name or "Comparison"))]
    if study.question:
        parts.append(paragraph(study.question, class_="question"))
    if study.scale not in ("", "full"):
        scale = tag("span", text(f"scale {study.scale}"), class_="chip worse")
        parts.append(tag("p", f"{scale} Reduced: not the whole study."))
    return tag("header", parts)


def _fill(table: StudyTable, sections: Sequence[Section]) -> str:
    specs = {chart.key: chart.spec for section in sections for chart in section.charts}
    first, *others = (section.html() for section in sections)
    content = "\n".join([first, contents(sections), *others])
    data = json.dumps(specs, ensure_ascii=False, allow_nan=False, separators=(",", ":")).replace("</", "<\\/")
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{text(table.study.name or "levelfield")} · levelfield report</title>
{tested_on(table)}<link rel="icon" href="data:,">
<style>
{_asset("style.css")}</style>
</head>
<body>
{_header(table)}
<main>
{content}
</main>
<footer>Written by levelfield {version("levelfield")}. It needs no network.</footer>
<script type="application/json" id="charts-data">{data}</script>
<script>{chart_library()}</script>
<script>
{_asset("charts.js")}
{_asset("page.js")}</script>
</body>
</html>
"""
