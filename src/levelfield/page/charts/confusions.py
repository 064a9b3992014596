"""What is taken for what: the most frequent confusions by row, and all confusions of one row."""

from __future__ import annotations

from collections.abc import Sequence

from levelfield.page.charts.chart import Chart, Spec
from levelfield.page.charts.heat_map import heat_map, rows_axis
from levelfield.tables.prediction_analysis import ConfusionPair, Predicted
from levelfield.tables.table import TableRow


def confusions(measured: Sequence[TableRow], pairs: Sequence[ConfusionPair], key: str) -> Chart | None:
    """The most frequent confusions by row."""
    if not pairs:
        return None
    order = [f"{pair.label} → {pair.predicted}" for pair in pairs]
    values: list[Spec] = [
        {"row": row.name, "name": row.title, "order": i, "class": name, "value": pair.share[row.name]}
        for i, row in enumerate(measured)
        for name, pair in zip(order, pairs, strict=True)
        if row.name in pair.share
    ]
    most = max(value["value"] for value in values)
    x = {"field": "class", "type": "nominal", "title": None, "sort": order,
         "axis": {"labelAngle": -40, "labelLimit": 150, "ticks": False, "domain": False}}  # fmt: skip
    spec = heat_map(values, x, rows_axis(), "% of the true class", most / 2, True, False, True)
    note = "True class → what it was taken for, as the share of the true class's test images."
    return Chart(
        key, "Most frequent confusions", note, "Heat map of the most frequent confusions by row.", spec, True, True
    )


def confusion_matrix(row: TableRow, predicted: Predicted, key: str) -> Chart | None:
    """All confusions of one row, where there are at most twenty classes."""
    names = [score.name for score in predicted.scores.classes]
    if len(names) > 20:
        return None
    counts = predicted.scores.confusion
    shares = 100 * counts / counts.sum(1, keepdims=True).clip(1)
    values = [
        {"row": row.name, "name": y, "class": x, "order": i, "value": float(shares[i, j])}
        for i, y in enumerate(names) for j, x in enumerate(names)
    ]  # fmt: skip
    x = {"field": "class", "type": "nominal", "title": "taken for", "sort": names,
         "axis": {"labelAngle": -40, "ticks": False, "domain": False}}  # fmt: skip
    y = rows_axis() | {"title": "true class"}
    spec = heat_map(values, x, y, "% of the true class", 50, True, False, True)
    spec["usermeta"] = {"row_px": 22}
    note = "Rows: true class; columns: what it was taken for; over all seeds."
    return Chart(key, f"Confusion matrix of {row.title}", note, f"Confusion matrix of {row.title}.", spec, dense=True)
