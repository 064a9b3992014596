"""Accuracy and loss by epoch, and how good a row is at any time of its training."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean
from typing import Final

from levelfield.page.charts.chart import LABEL_PX, Chart, Spec, layered, others, quantity, singled_out
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
        spec = _lines(colour, by_measure[measure], "epoch", "epoch", title)
        note = "Line: mean over seeds. Band: lowest to highest seed." + chosen
        alt = f"Learning curves: {title} by epoch."
        charts.append(Chart(f"{key}-{measure}", title[0].upper() + title[1:], note, alt, spec))
    measure, title = next((each for each in CURVES[:2] if by_measure[each[0]]), ("", ""))
    timed = [point for point in by_measure.get(measure, ()) if point["minutes"] is not None]
    if timed and len(timed) == len(by_measure[measure]):
        spec = _lines(colour, timed, "minutes", "minutes of training", title)
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


def _lines(colour: Spec, values: list[Spec], along: str, axis: str, title: str) -> Spec:
    """Lines with their bands, and their names at their ends."""
    grid = {"grid": False, **({"tickMinStep": 1} if along == "epoch" else {})}
    x = quantity(along, axis, axis=grid)
    x["scale"] |= {"nice": False, "range": [0, {"expr": f"width - {LABEL_PX}"}]}
    y, detail = quantity("mean", title), {"field": "row"}
    told = [{"field": "name", "title": "row"}, {"field": along, "format": ".3~r"}, {"field": "mean", "format": ".2f"}]
    last = {"joinaggregate": [{"op": "max", "field": along, "as": "last"}], "groupby": ["row"]}
    shown: Spec = {"filter": "datum.shown"}
    return layered(
        values, 280,
        *others(values, {"x": x, "y": y, "detail": detail}),
        {"transform": [shown], "mark": {"type": "area", "opacity": 0.18},
         "encoding": {"x": x, "y": quantity("low", title), "y2": {"field": "high"}, "color": colour, "detail": detail}},
        {"transform": [shown], "mark": {"type": "line", "strokeWidth": 2},
         "encoding": {"x": x, "y": y, "color": colour, "detail": detail}},
        {"mark": {"type": "point", "opacity": 0, "size": 60},
         "encoding": {"x": x, "y": y, "color": colour, "tooltip": told}},
        {"name": "label_end", "transform": [shown, last, {"filter": f"datum.{along} == datum.last"}],
         "mark": {"type": "text", "align": "left", "dx": 6, "fontSize": 10.5, "limit": LABEL_PX - 8},
         "encoding": {"x": x, "y": y, "color": colour, "text": {"field": "name"}}},
    )  # fmt: skip
