"""The sections of charts of one test set: accuracy and cost, learning curves, where rows are right and wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from levelfield.page.charts.calibration import calibration
from levelfield.page.charts.chart import Chart, colour_scale
from levelfield.page.charts.confusions import confusion_matrix, confusions
from levelfield.page.charts.learning_curves import learning_curves
from levelfield.page.charts.per_class import per_class
from levelfield.page.charts.ranking import ranking
from levelfield.page.charts.trade_offs import trade_offs
from levelfield.page.figure import figures
from levelfield.page.section import Section
from levelfield.tables.prediction_analysis import Predicted, confusion_pairs
from levelfield.tables.table import TableRow


def chart_sections(
    all_rows: Sequence[TableRow], rows: Sequence[TableRow], predicted: Mapping[str, Predicted], key: str, of: str
) -> list[Section]:
    """The sections of charts of the measured `rows` of one test set, and of their predictions by row.

    `all_rows`: of the table, for their colours; `key`: where the anchors begin; `of`: how the titles end.
    """
    colour = colour_scale(all_rows)
    accuracy = [ranking(colour, rows, f"{key}-dots"), *trade_offs(colour, rows, f"{key}-cost")]
    learning = learning_curves(colour, rows, f"{key}-curve")
    errors: list[Chart | None] = []
    if predicted:
        best = next(row for row in rows if row.name in predicted)
        errors = [
            per_class(rows, predicted, f"{key}-class"),
            confusions(rows, confusion_pairs(predicted), f"{key}-pairs"),
            calibration(colour, rows, predicted, f"{key}-calibration"),
            confusion_matrix(best, predicted[best.name], f"{key}-matrix"),
        ]
    found = [
        _section(f"{key}-accuracy", "Accuracy and cost" + of, accuracy),
        _section(f"{key}-learning", "Learning curves" + of, learning),
        _section(f"{key}-errors", "Where they are right and wrong" + of, [chart for chart in errors if chart]),
    ]
    return [section for section in found if section.charts]


def _section(anchor: str, title: str, charts: Sequence[Chart]) -> Section:
    """A section with a place for every chart."""
    return Section(anchor, title, figures(charts), charts=tuple(charts))
