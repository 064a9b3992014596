"""What the table's comparisons say at a glance: the forest plots, and the matrices of decisions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from levelfield.page.charts.chart import Chart
from levelfield.page.charts.decisions import decisions
from levelfield.page.charts.forest import forest
from levelfield.page.figure import figures
from levelfield.page.section import Section
from levelfield.statistics import Comparison
from levelfield.tables.table import StudyTable, TableRow

Draw = Callable[[Sequence[TableRow], Comparison, str], Chart | None]


def forests(table: StudyTable) -> Section | None:
    """The differences to the baseline of every test set."""
    return _section(table, "differences", "Differences to the baseline", forest)


def matrices(table: StudyTable) -> Section | None:
    """The decisions between every two rows of every test set."""
    return _section(table, "decisions", "Every pair of rows", decisions)


def _section(table: StudyTable, anchor: str, title: str, draw: Draw) -> Section | None:
    charts = []
    for place, (panel, comparison) in enumerate(table.panels.items()):
        chart = draw([row for row in table.measured if row.panel == panel], comparison, f"p{place}-{anchor}")
        if chart is not None:
            charts.append(chart.on(panel) if len(table.panels) > 1 else chart)
    return Section(anchor, title, figures(charts), charts=tuple(charts)) if charts else None
