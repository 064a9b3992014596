"""What the table's comparisons say at a glance: the forest plots, and the matrices of decisions."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from levelfield.page.charts.chart import Chart
from levelfield.page.charts.decisions import decisions
from levelfield.page.charts.forest import forest, forest_of_steps
from levelfield.page.charts.standalone import svg_of
from levelfield.page.figure import figures
from levelfield.page.markup import paragraph
from levelfield.page.section import Section
from levelfield.statistics import Comparison
from levelfield.tables.table import StudyTable, TableRow

PICTURE_PX: Final = 640

Draw = Callable[[Sequence[TableRow], Comparison, str], Chart | None]


def forests(table: StudyTable, panels: Collection[str] | None = None) -> Section | None:
    """The differences to the baseline of the test sets in `panels` (None: of every one)."""
    return _section(table, "differences", "Differences to the baseline", forest, panels)


def steps(table: StudyTable, panels: Collection[str] | None = None) -> Section | None:
    """What each step of the study does, on the same test sets; None where it declares none."""
    draw = partial(forest_of_steps, steps=table.study.steps)
    return _section(table, "steps", "What each step does", draw, panels)


def matrices(table: StudyTable) -> Section | None:
    """The decisions between every two rows of every test set; of one where nothing was decided, that."""
    decided = table.decided_panels
    found = _section(table, "decisions", "Every pair of rows", decisions, decided)
    pairs = [len(comparison.pairs) for panel, comparison in table.panels.items() if panel not in decided]
    if not sum(pairs):
        return found
    where = f" of the {sum(pairs)} pairs" + (" on the other test sets" if decided else "")
    said = paragraph(f"Undecided is every one{where}: there is no matrix to show.")
    return Section("decisions", "Every pair of rows", said) if found is None else replace(found, body=found.body + said)


def forest_picture(table: StudyTable) -> str | None:
    """As one SVG, what each step of the study does, or where it declares none the differences to the baseline; of the
    test sets where something was decided, and None where nothing was."""
    decided = table.decided_panels
    section = steps(table, decided) or forests(table, decided)
    return None if section is None else svg_of(section.charts, PICTURE_PX)


def _section(table: StudyTable, anchor: str, title: str, draw: Draw, panels: Collection[str] | None) -> Section | None:
    charts = []
    for place, (panel, comparison) in enumerate(table.panels.items()):
        rows = [row for row in table.measured if row.panel == panel]
        chart = draw(rows, comparison, f"p{place}-{anchor}") if panels is None or panel in panels else None
        if chart is not None:
            charts.append(chart.on(panel) if len(table.panels) > 1 else chart)
    return Section(anchor, title, figures(charts), charts=tuple(charts)) if charts else None
