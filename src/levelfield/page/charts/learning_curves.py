"""Accuracy and loss by epoch, and how good a row is at any time of its training."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean
from typing import Final

from levelfield.page.charts.chart import Chart, Spec, singled_out
from levelfield.page.charts.lines_with_bands import lines_with_bands
from levelfield.tables.table import TableRow

CURVES: Final = (
    ("val_top1", "validation top-1 (%)"), ("train_top1", "training top-1 (%)"), ("train_loss", "training loss"),
)  # fmt: skip


def learning_curves(colour: Spec, measured: Sequence[TableRow], key: str) -> list[Chart]:
    """Mean over seeds with a band from the lowest to the highest seed, by epoch; and accuracy by time."""
    names, chosen = singled_out(measured)
    by_measure = {measure: _points(measured, measure, names) for measure, _ in CURVES}
    charts = []
    for measure, title in CURVES:
        if not by_measure[measure] or (measure == "train_top1" and by_measure["val_top1"]):
            continue
        spec = lines_with_bands(colour, by_measure[measure], "epoch", "epoch", title)
        note = "Line: mean over seeds. Band: lowest to highest seed." + chosen
        alt = f"Learning curves: {title} by epoch."
        charts.append(Chart(f"{key}-{measure}", title[0].upper() + title[1:], note, alt, spec))
    measure, title = next((each for each in CURVES[:2] if by_measure[each[0]]), ("", ""))
    timed = [point for point in by_measure.get(measure, ()) if point["minutes"] is not None]
    if timed and len(timed) == len(by_measure[measure]):
        spec = lines_with_bands(colour, timed, "minutes", "minutes of training", title)
        note = "The same by the time that training had taken, on the machines of the runs, as loaded as they were."
        alt = f"Anytime curves: {title} by minutes of training."
        charts.append(Chart(f"{key}-anytime", f"At any time: {title}", note + chosen, alt, spec))
    return charts


def _points(measured: Sequence[TableRow], measure: str, names: frozenset[str]) -> list[Spec]:
    """By row and epoch the mean, lowest and highest of its runs, and the mean of the minutes that they had taken."""
    points: list[Spec] = []
    for row in measured:
        curve: dict[float, list[tuple[float, float | None]]] = defaultdict(list)
        for run in row.runs.finished:
            for line in run.folder.metrics() if run.folder else ():
                if line.get("kind", "epoch") == "epoch" and None not in (line.get("epoch"), line.get(measure)):
                    curve[line["epoch"]].append((line[measure], line.get("train_seconds")))
        for epoch, found in sorted(curve.items()):
            values, seconds = [value for value, _ in found], [taken for _, taken in found if taken is not None]
            points.append({
                "row": row.name, "name": row.title, "epoch": epoch, "mean": fmean(values), "low": min(values),
                "high": max(values), "minutes": fmean(seconds) / 60 if len(seconds) == len(found) else None,
                "shown": row.name in names,
            })  # fmt: skip
    return points
