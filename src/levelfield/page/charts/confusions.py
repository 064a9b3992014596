"""What is taken for what: the most frequent confusions by row, and all confusions of one row."""

from __future__ import annotations

from collections.abc import Sequence

from levelfield.page.charts.chart import Chart, Spec
from levelfield.page.charts.heat_map import heat_map
from levelfield.tables.prediction_analysis import ConfusionPair, Predicted
from levelfield.tables.table import TableRow


def confusions(measured: Sequence[TableRow], pairs: Sequence[ConfusionPair], key: str) -> Chart | None:
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
    spec = heat_map(values, order, "% of the true class", most / 2, label_px=150)
    note = "True class → what it was taken for, as the share of the true class's test images."
    alt = "Heat map of the most frequent confusions by row."
    return Chart(key, "Most frequent confusions", note, alt, spec, wide=True, dense=True)


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
    spec = heat_map(values, names, "% of the true class", 50, axes=("taken for", "true class"))
    spec["usermeta"] = {"row_px": 22}
    note = "Rows: true class; columns: what it was taken for; over all seeds."
    return Chart(key, f"Confusion matrix of {row.title}", note, f"Confusion matrix of {row.title}.", spec, dense=True)
