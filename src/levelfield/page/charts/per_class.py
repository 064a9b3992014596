"""Which classes are hard, and for which row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Final

from levelfield.page.charts.chart import Chart, Spec
from levelfield.page.charts.heat_map import heat_map
from levelfield.tables.prediction_analysis import Predicted
from levelfield.tables.table import TableRow

MOST_CLASSES: Final = 24
"""More cannot be read: of more classes the hardest and the easiest half as many are shown."""


def per_class(measured: Sequence[TableRow], predicted: Mapping[str, Predicted], key: str) -> Chart | None:
    """Recall of every class by row, hardest classes first; of more than can be read the extremes."""
    rows = [row for row in measured if row.name in predicted]
    if not rows:
        return None
    recalls = {row.name: {c.name: 100 * c.recall for c in predicted[row.name].scores.classes} for row in rows}
    names = list(next(iter(recalls.values())))
    mean = {name: fmean(recall.get(name, 0.0) for recall in recalls.values()) for name in names}
    shown = sorted(names, key=lambda name: mean[name])
    extremes = len(names) > MOST_CLASSES
    if extremes:
        shown = shown[: MOST_CLASSES // 2] + shown[-MOST_CLASSES // 2 :]
    values: list[Spec] = [
        {"row": row.name, "name": row.title, "order": i, "class": name, "value": recalls[row.name].get(name, 0.0)}
        for i, row in enumerate(rows)
        for name in shown
    ]
    low, high = min(v["value"] for v in values), max(v["value"] for v in values)
    spec = heat_map(values, shown, "recall (%)", (low + high) / 2, low_is_dark=True, label_px=110)
    note = f"Recall of each class over all seeds, hardest class first. Hardest: {', '.join(shown[:3])}."
    if extremes:
        note += f" Of {len(names)} classes only the {MOST_CLASSES // 2} hardest and the {MOST_CLASSES // 2} easiest."
    return Chart(key, "Per class", note, "Heat map of the recall of each class by row.", spec, wide=True, dense=True)
