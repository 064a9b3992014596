"""`report.html`: one self-contained file with the audit, the table, the charts and everything that they rest on.

The page is plain HTML with its style inside; a small script draws the charts (Vega-Lite, its script inlined from
vl-convert, so that nothing is fetched), and sorts, filters and hides rows.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import cache
from importlib import resources
from pathlib import Path

from levelfield.page import analysis_sections, appendix, charts, sections
from levelfield.page.charts import Chart
from levelfield.page.markup import text
from levelfield.runs import write_text
from levelfield.tables.prediction_analysis import Predicted, confusion_pairs, most_disagreed, read_predicted
from levelfield.tables.table import StudyTable, TableRow

ImageOf = Callable[[int], bytes | None]
"""The thumbnail (PNG) of a test image by its index, or None where there is none."""


def write_page(table: StudyTable, path: Path, image_of: ImageOf | None = None) -> None:
    """Write the page of `table` to `path`. `image_of`: thumbnails of the first measured panel's test images."""
    write_text(path, page(table, image_of))


def page(table: StudyTable, image_of: ImageOf | None = None) -> str:
    """The page of `table` as HTML."""
    predicted = {row.name: found for row in table.measured if (found := read_predicted(row)) is not None}
    panels = list(dict.fromkeys(row.panel for row in table.measured))
    body = [sections.audit(table), sections.ranking_table(table)]
    drawn: list[Chart] = []
    for i, panel in enumerate(panels):
        rows = [row for row in table.measured if row.panel == panel]
        of = f" on {panel}" if len(panels) > 1 else ""
        own = {row.name: predicted[row.name] for row in rows if row.name in predicted}
        for key, title, shown in _figures(table, rows, own, f"p{i}"):
            body.append(sections.figures(key, title + of, shown))
            drawn += shown
        if own:
            names = [score.name for score in next(iter(own.values())).scores.classes]
            pictures = image_of if i == 0 else None
            body.append(sections.examples(table, f"p{i}-examples", of, most_disagreed(own), names, pictures))
    body += [
        *analysis_sections.sections(table.study.path),
        appendix.words(table, predicted),
        appendix.details(table, predicted),
        appendix.sweeps(table),
        appendix.configuration(table),
        appendix.environment(table),
        appendix.reproduce(table),
    ]
    return _fill(table, body, drawn)


def _figures(
    table: StudyTable, rows: Sequence[TableRow], own: dict[str, Predicted], key: str
) -> list[tuple[str, str, list[Chart]]]:
    """The sections of charts of one panel's measured rows: key, title, charts."""
    accuracy = [charts.ranking(table.rows, rows, f"{key}-dots"), *charts.trade_offs(table.rows, rows, f"{key}-cost")]
    learning = charts.learning_curves(table.rows, rows, f"{key}-curve")
    errors: list[Chart | None] = []
    if own:
        best = next(row for row in rows if row.name in own)
        errors = [
            charts.per_class(rows, own, f"{key}-class"),
            charts.confusions(rows, confusion_pairs(own), f"{key}-pairs"),
            charts.calibration(table.rows, rows, own, f"{key}-calibration"),
            charts.confusion_matrix(best, own[best.name], f"{key}-matrix"),
        ]
    return [
        (f"{key}-accuracy", "Accuracy and cost", accuracy),
        (f"{key}-learning", "Learning curves", learning),
        (f"{key}-errors", "Where they are right and wrong", [chart for chart in errors if chart is not None]),
    ]


@cache
def _bundle() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script that sets `vegaEmbed`."""
    import vl_convert

    script: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    return script.replace("</script", "<\\/script")


def _asset(name: str) -> str:
    return (resources.files("levelfield.page") / "assets" / name).read_text(encoding="utf-8")


def _fill(table: StudyTable, body: list[str], drawn: list[Chart]) -> str:
    specs = {chart.key: chart.spec for chart in drawn}
    content = "\n".join(part for part in body if part)
    data = json.dumps(specs, ensure_ascii=False, allow_nan=False, separators=(",", ":")).replace("</", "<\\/")
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{text(table.study.name or "levelfield")} · levelfield report</title>
<link rel="icon" href="data:,">
<style>
{_asset("style.css")}</style>
</head>
<body>
{sections.header(table, content)}
<main>
{content}
</main>
{sections.footer()}
<script type="application/json" id="charts-data">{data}</script>
<script>{_bundle()}</script>
<script>
{_asset("page.js")}</script>
</body>
</html>
"""
