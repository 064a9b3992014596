"""Accuracy and loss by epoch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean
from typing import Final

from levelfield.page.charts.chart import Chart, Spec, layered, quantity
from levelfield.tables.table import TableRow

CURVES: Final = (
    ("val_top1", "validation top-1 (%)"), ("train_top1", "training top-1 (%)"), ("train_loss", "training loss"),
)  # fmt: skip


def learning_curves(colour: Spec, measured: Sequence[TableRow], key: str) -> list[Chart]:
    """Mean over seeds with a band from the lowest to the highest seed, by epoch."""
    by_measure: dict[str, list[Spec]] = defaultdict(list)
    for row in measured:
        points: dict[str, dict[float, list[float]]] = defaultdict(lambda: defaultdict(list))
        for run in row.runs.finished:
            for line in run.folder.metrics() if run.folder else ():
                if line.get("kind", "epoch") == "epoch" and line.get("epoch") is not None:
                    for measure, _ in CURVES:
                        if line.get(measure) is not None:
                            points[measure][line["epoch"]].append(line[measure])
        for measure, curve in points.items():
            by_measure[measure] += [
                {"row": row.name, "name": row.title, "epoch": epoch, "mean": fmean(v), "low": min(v), "high": max(v)}
                for epoch, v in sorted(curve.items())
            ]
    charts = []
    for measure, title in CURVES:
        if not by_measure[measure] or (measure == "train_top1" and by_measure["val_top1"]):
            continue
        x = quantity("epoch", "epoch", axis={"grid": False, "tickMinStep": 1})
        y = quantity("mean", title)
        spec = layered(
            by_measure[measure], 260,
            {"mark": {"type": "area", "opacity": 0.2},
             "encoding": {"x": x, "y": quantity("low", title), "y2": {"field": "high"}, "color": colour}},
            {"mark": {"type": "line", "strokeWidth": 2}, "encoding": {"x": x, "y": y, "color": colour}},
            {"mark": {"type": "point", "opacity": 0, "size": 60},
             "encoding": {"x": x, "y": y, "color": colour, "tooltip": [
                 {"field": "name", "title": "row"}, {"field": "epoch"}, {"field": "mean", "format": ".2f"}]}},
        )  # fmt: skip
        note = "Line: mean over seeds. Band: lowest to highest seed."
        alt = f"Learning curves: {title} by epoch."
        charts.append(Chart(f"{key}-{measure}", title[0].upper() + title[1:], note, alt, spec))
    return charts
