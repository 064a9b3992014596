"""The charts of the page as Vega-Lite specifications, each with its data inside.

Every datum that belongs to a row carries its name as `row`, so that the page can hide it. Text, axes and grid take
their colours from the page's style sheet, so that they follow dark and light; marks have mid-tones that do on both. A
specification with `usermeta.row_px` is as high as it has names.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Final

from levelfield.tables.number_format import bounds
from levelfield.tables.prediction_analysis import ConfusionPair, Predicted
from levelfield.tables.table import TableRow

Spec = dict[str, Any]

PALETTE: Final = (
    "#3b82c4", "#d9772b", "#3a9a5f", "#c94f6d", "#8e6fc1", "#2a9d9d", "#a0764a", "#b8912b", "#5b7fde", "#cf6fa8",
    "#6f9440", "#7d8590",
)  # fmt: skip
"""Mid-tones with a contrast of at least 3 to both a white and a near-black ground; repeated beyond twelve rows."""
HEAT: Final = ["#eef3f8", "#a9c8e6", "#5b9bd0", "#2a6fae", "#134a80"]
MOST_CLASSES: Final = 30
MOST_LABELS: Final = 9


@dataclass(frozen=True)
class Chart:
    """`key`: the id of its place in the page. `note`: how to read it. `alt`: what it shows, in words. `wide`: over both
    columns; `dense`: too fine for a phone, where it scrolls.
    """

    key: str
    title: str
    note: str
    alt: str
    spec: Spec
    wide: bool = False
    dense: bool = False


def colours(rows: Sequence[TableRow]) -> dict[str, str]:
    """The colour of each row, by its place in its panel."""
    place: dict[str, int] = defaultdict(int)
    of = {}
    for row in rows:
        of[row.name] = PALETTE[place[row.panel] % len(PALETTE)]
        place[row.panel] += 1
    return of


def _colour(rows: Sequence[TableRow]) -> Spec:
    of = colours(rows)
    return {
        "field": "row",
        "type": "nominal",
        "scale": {"domain": list(of), "range": list(of.values())},
        "legend": None,
    }


def _quantity(field: str, title: str | None, zero: bool = False, pad_px: int = 0, **more: Any) -> Spec:
    return {
        "field": field,
        "type": "quantitative",
        "title": title,
        "scale": {"zero": zero, "nice": not pad_px, "padding": pad_px},
        **more,
    }


def _interval(row: TableRow) -> Spec:
    low, high = bounds(row.top1)
    return {"low": low, "high": high}


def ranking(all_rows: Sequence[TableRow], measured: Sequence[TableRow], key: str) -> Chart:
    """Dot plot: mean with interval, single runs as ticks, the published value as a diamond."""
    values: list[Spec] = []
    for row in measured:
        assert row.top1 is not None
        base = {"row": row.name, "name": row.title, "order": -row.top1.value}
        values.append({**base, "kind": "mean", "top1": row.top1.value, **_interval(row), "seeds": row.n})
        values += [{**base, "kind": "run", "top1": run.result["top1"], "seed": run.seed} for run in row.runs.finished]
        if row.published is not None and row.published.difference is not None:
            values.append({**base, "kind": "published", "top1": row.published.published})
    colour = _colour(all_rows)
    y = {"field": "name", "type": "nominal", "title": None, "sort": {"field": "order", "op": "min"},
         "axis": {"grid": True, "labelLimit": 200, "ticks": False, "domain": False}}  # fmt: skip
    x = _quantity("top1", "test top-1 (%)", pad_px=12)

    def only(kind: str) -> list[Spec]:
        return [{"filter": f"datum.kind == '{kind}'"}]

    spec: Spec = {
        "data": {"values": values},
        "width": "container",
        "usermeta": {"row_px": 30},
        "encoding": {"y": y},
        "layer": [
            {
                "transform": only("mean"),
                "mark": {"type": "rule", "strokeWidth": 7, "strokeCap": "round", "opacity": 0.3},
                "encoding": {"x": x | {"field": "low"}, "x2": {"field": "high"}, "color": colour},
            },
            {
                "transform": only("run"),
                "mark": {"type": "tick", "thickness": 1.5, "size": 12, "opacity": 0.75},
                "encoding": {"x": x, "color": colour, "tooltip": [
                    {"field": "name", "title": "row"}, {"field": "seed"}, {"field": "top1", "format": ".2f"}]},
            },
            {
                "transform": only("mean"),
                "mark": {"type": "point", "filled": True, "size": 85, "opacity": 1},
                "encoding": {"x": x, "color": colour, "tooltip": [
                    {"field": "name", "title": "row"}, {"field": "top1", "title": "mean top-1", "format": ".2f"},
                    {"field": "low", "format": ".2f"}, {"field": "high", "format": ".2f"}, {"field": "seeds"}]},
            },
        ],
    }  # fmt: skip
    if all(value.get("low") is None for value in values):
        del spec["layer"][0]
    if any(value["kind"] == "published" for value in values):
        spec["layer"].insert(len(spec["layer"]) - 1, {
            "transform": only("published"),
            "mark": {"type": "point", "shape": "diamond", "size": 70, "strokeWidth": 1.6, "filled": False},
            "encoding": {"x": x, "color": {"value": "#8a8f98"}, "tooltip": [
                {"field": "name", "title": "row"}, {"field": "top1", "title": "published", "format": ".2f"}]},
        })  # fmt: skip
    first = measured[0]
    alt = (
        f"Dot plot of test top-1 of {len(measured)} rows with intervals over seeds; {first.title} has the highest mean."
    )
    note = "Dot: mean over seeds. Bar: its 95 % interval. Ticks: single runs. Hollow diamond: published."
    return Chart(key, "Ranking", note, alt, spec, wide=True)


COSTS: Final = (
    ("macs", "MACs", "~s", "ascending"),
    ("params", "parameters", "~s", "ascending"),
    ("mem_peak_mib", "peak memory (MiB)", "~s", "ascending"),
    ("images_per_s", "images/s", "~s", "descending"),
)


def trade_offs(all_rows: Sequence[TableRow], measured: Sequence[TableRow], key: str) -> list[Chart]:
    """Accuracy against each cost, with the Pareto front of the rows that are shown."""
    charts = []
    for cost, title, form, order in COSTS:
        values = [
            {"row": row.name, "name": row.title, "cost": row.means[cost], "top1": row.top1.value,
             **_interval(row), "above": i % 2 == 0}
            for i, row in enumerate(measured) if row.top1 is not None and row.means.get(cost)
        ]  # fmt: skip
        if len(values) < 2:
            continue
        colour = _colour(all_rows)
        x = {"field": "cost", "type": "quantitative", "title": title,
             "scale": {"type": "log", "nice": False, "padding": 44},
             "axis": {"format": form, "tickCount": 4, "grid": False}}  # fmt: skip
        y = _quantity("top1", "top-1 (%)", pad_px=20)
        pareto = _pareto(order)
        front = pareto if len(values) > MOST_LABELS else []
        spec: Spec = {
            "data": {"values": values},
            "width": "container",
            "height": 240,
            "layer": [
                {
                    "transform": pareto,
                    "mark": {"type": "line", "interpolate": "step-after" if order == "ascending" else "step-before",
                             "strokeDash": [4, 3], "strokeWidth": 1.3, "color": "#8a8f98"},
                    "encoding": {"x": x, "y": y},
                },
                {
                    "mark": {"type": "rule", "strokeWidth": 4, "opacity": 0.28, "strokeCap": "round"},
                    "encoding": {"x": x, "y": y | {"field": "low"}, "y2": {"field": "high"}, "color": colour},
                },
                {
                    "mark": {"type": "point", "filled": True, "size": 80, "opacity": 1},
                    "encoding": {"x": x, "y": y, "color": colour, "tooltip": [
                        {"field": "name", "title": "row"}, {"field": "top1", "format": ".2f"},
                        {"field": "cost", "title": title, "format": ".3s"}]},
                },
                _labels(x, y, True, front),
                _labels(x, y, False, front),
            ],
        }  # fmt: skip
        if all(value["low"] is None for value in values):
            del spec["layer"][1]
        better = "left" if order == "ascending" else "right"
        charts.append(
            Chart(f"{key}-{cost}", f"Accuracy against {title}",
                  f"Better is up and to the {better}. Dashed: Pareto front.",
                  f"Scatter plot of top-1 against {title} of {len(values)} rows with the Pareto front.", spec)
        )  # fmt: skip
    return charts


def _pareto(order: str) -> list[Spec]:
    """Keeps the rows that are better than every cheaper one: the first, by cost, to reach each maximum."""
    sort = [{"field": "cost", "order": order}, {"field": "top1", "order": "descending"}]
    return [
        {"window": [{"op": "max", "field": "top1", "as": "best"}], "frame": [None, 0], "sort": sort},
        {"window": [{"op": "row_number", "as": "turn"}], "groupby": ["best"], "sort": sort},
        {"filter": "datum.turn == 1"},
    ]


def _labels(x: Spec, y: Spec, above: bool, front: list[Spec]) -> Spec:
    """Names of every other row above its point and of the rest below, so that neighbours overlap less; where the panel
    is crowded only those on the `front`."""
    return {
        "name": "label_above" if above else "label_below",
        "transform": [*front, {"filter": f"datum.above == {str(above).lower()}"}],
        "mark": {"type": "text", "dy": -13 if above else 14, "fontSize": 10.5, "limit": 110},
        "encoding": {"x": x, "y": y, "text": {"field": "name"}},
    }


CURVES: Final = (
    ("val_top1", "validation top-1 (%)"), ("train_top1", "training top-1 (%)"), ("train_loss", "training loss"),
)  # fmt: skip


def learning_curves(all_rows: Sequence[TableRow], measured: Sequence[TableRow], key: str) -> list[Chart]:
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
        colour = _colour(all_rows)
        x = _quantity("epoch", "epoch", axis={"grid": False, "tickMinStep": 1})
        spec: Spec = {
            "data": {"values": by_measure[measure]},
            "width": "container",
            "height": 260,
            "layer": [
                {"mark": {"type": "area", "opacity": 0.2},
                 "encoding": {"x": x, "y": _quantity("low", title), "y2": {"field": "high"}, "color": colour}},
                {"mark": {"type": "line", "strokeWidth": 2},
                 "encoding": {"x": x, "y": _quantity("mean", title), "color": colour}},
                {"mark": {"type": "point", "opacity": 0, "size": 60},
                 "encoding": {"x": x, "y": _quantity("mean", title), "color": colour, "tooltip": [
                     {"field": "name", "title": "row"}, {"field": "epoch"}, {"field": "mean", "format": ".2f"}]}},
            ],
        }  # fmt: skip
        charts.append(
            Chart(f"{key}-{measure}", title[0].upper() + title[1:],
                  "Line: mean over seeds. Band: lowest to highest seed.",
                  f"Learning curves: {title} by epoch.", spec)
        )  # fmt: skip
    return charts


def _heat(
    values: list[Spec], x: Spec, y: Spec, title: str, threshold: float, labels: bool, reverse: bool, zero: bool
) -> Spec:
    layer: list[Spec] = [
        {
            "mark": {"type": "rect"},
            "encoding": {
                "color": {
                    "field": "value", "type": "quantitative", "title": title,
                    "scale": {"range": HEAT[::-1] if reverse else HEAT, "zero": zero},
                    "legend": {"orient": "top", "gradientLength": 160, "gradientThickness": 8, "titleOrient": "left"},
                },
                "tooltip": [{"field": "name", "title": "row"}, {"field": "class"},
                            {"field": "value", "title": title, "format": ".1f"}],
            },
        }
    ]  # fmt: skip
    if labels:
        dark = f"datum.value {'<' if reverse else '>'} {threshold}"
        layer.append(
            {
                "mark": {"type": "text", "fontSize": 10},
                "encoding": {
                    "text": {"field": "value", "format": ".0f"},
                    "color": {"condition": {"test": dark, "value": "#ffffff"}, "value": "#12263a"},
                },
            }
        )
    return {
        "data": {"values": values},
        "width": "container",
        "usermeta": {"row_px": 26},
        "encoding": {"x": x, "y": y},
        "layer": layer,
    }


def _rows_axis() -> Spec:
    return {"field": "name", "type": "nominal", "title": None, "sort": {"field": "order", "op": "min"},
            "axis": {"labelLimit": 180, "ticks": False, "domain": False}}  # fmt: skip


def per_class(measured: Sequence[TableRow], predicted: Mapping[str, Predicted], key: str) -> Chart | None:
    """Recall of every class by row, hardest classes first; of more than thirty classes the hardest thirty."""
    rows = [row for row in measured if row.name in predicted]
    if not rows:
        return None
    recalls = {row.name: {c.name: 100 * c.recall for c in predicted[row.name].scores.classes} for row in rows}
    names = list(next(iter(recalls.values())))
    mean = {name: fmean(recall.get(name, 0.0) for recall in recalls.values()) for name in names}
    hardest = sorted(names, key=lambda name: mean[name])[:MOST_CLASSES]
    values: list[Spec] = [
        {"row": row.name, "name": row.title, "order": i, "class": name, "value": recalls[row.name].get(name, 0.0)}
        for i, row in enumerate(rows)
        for name in hardest
    ]
    low, high = min(v["value"] for v in values), max(v["value"] for v in values)
    x = {"field": "class", "type": "nominal", "title": None, "sort": hardest,
         "axis": {"labelAngle": -40, "labelLimit": 110, "ticks": False, "domain": False}}  # fmt: skip
    spec = _heat(values, x, _rows_axis(), "recall (%)", (low + high) / 2, len(hardest) <= 20, True, False)
    note = f"Recall of each class over all seeds, hardest class first. Hardest: {', '.join(hardest[:3])}."
    if len(names) > len(hardest):
        note += f" The {len(hardest)} hardest of {len(names)} classes."
    return Chart(key, "Per class", note, "Heat map of the recall of each class by row.", spec, wide=True, dense=True)


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
    spec = _heat(values, x, _rows_axis(), "% of the true class", most / 2, True, False, True)
    note = "True class → what it was taken for, as the share of the true class's test images."
    return Chart(
        key, "Most frequent confusions", note, "Heat map of the most frequent confusions by row.", spec, True, True
    )


def calibration(
    all_rows: Sequence[TableRow], measured: Sequence[TableRow], predicted: Mapping[str, Predicted], key: str
) -> Chart | None:
    """Reliability: share that is right against mean confidence, in bins of confidence with at least ten images."""
    values = [
        {"row": row.name, "name": row.title, "confidence": 100 * b.confidence, "accuracy": 100 * b.accuracy,
         "images": b.count}
        for row in measured
        if row.name in predicted
        for b in predicted[row.name].scores.calibration.bins
        if b.count >= 10 and b.accuracy is not None and b.confidence is not None
    ]  # fmt: skip
    if not values:
        return None
    colour = _colour(all_rows)
    x = {"field": "confidence", "type": "quantitative", "title": "confidence (%)", "scale": {"domain": [0, 100]},
         "axis": {"grid": False}}  # fmt: skip
    y = {"field": "accuracy", "type": "quantitative", "title": "right (%)", "scale": {"domain": [0, 100]}}
    spec: Spec = {
        "data": {"values": values},
        "width": "container",
        "height": 280,
        "layer": [
            {"data": {"values": [{"confidence": 0, "accuracy": 0}, {"confidence": 100, "accuracy": 100}]},
             "mark": {"type": "line", "strokeDash": [4, 3], "strokeWidth": 1.2, "color": "#8a8f98"},
             "encoding": {"x": x, "y": y}},
            {"mark": {"type": "line", "strokeWidth": 2, "point": {"size": 36}},
             "encoding": {"x": x, "y": y, "color": colour, "tooltip": [
                 {"field": "name", "title": "row"}, {"field": "confidence", "format": ".1f"},
                 {"field": "accuracy", "title": "right", "format": ".1f"}, {"field": "images"}]}},
        ],
    }  # fmt: skip
    note = "Below the dashed diagonal a row is over-confident, above it under-confident. Bins with at least 10 images."
    return Chart(key, "Calibration", note, "Reliability diagram: share right against confidence by row.", spec)


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
    y = _rows_axis() | {"title": "true class"}
    spec = _heat(values, x, y, "% of the true class", 50, True, False, True)
    spec["usermeta"] = {"row_px": 22}
    note = "Rows: true class; columns: what it was taken for; over all seeds."
    return Chart(key, f"Confusion matrix of {row.title}", note, f"Confusion matrix of {row.title}.", spec, dense=True)
