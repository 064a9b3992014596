"""Accuracy against cost: MACs, parameters, memory, speed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from levelfield.page.charts.chart import Chart, Spec, interval_of, layered, quantity
from levelfield.tables.table import TableRow

MOST_LABELS: Final = 9
COSTS: Final = (
    ("macs", "MACs", "ascending"),
    ("params", "parameters", "ascending"),
    ("mem_peak_mib", "peak memory (MiB)", "ascending"),
    ("images_per_s", "images/s", "descending"),
)


def trade_offs(colour: Spec, measured: Sequence[TableRow], key: str) -> list[Chart]:
    """Accuracy against each cost, with the Pareto front of the rows that are shown."""
    charts = []
    for cost, title, order in COSTS:
        values = [
            {"row": row.name, "name": row.title, "cost": row.means[cost], "top1": row.top1.value,
             **interval_of(row), "above": i % 2 == 0}
            for i, row in enumerate(measured) if row.top1 is not None and row.means.get(cost)
        ]  # fmt: skip
        if len(values) < 2:
            continue
        x = {"field": "cost", "type": "quantitative", "title": title,
             "scale": {"type": "log", "nice": False, "padding": 44},
             "axis": {"format": "~s", "tickCount": 4, "grid": False}}  # fmt: skip
        y = quantity("top1", "top-1 (%)", pad_px=20)
        pareto = _pareto(order)
        front = pareto if len(values) > MOST_LABELS else []
        spec = layered(
            values, 240,
            {"transform": pareto,
             "mark": {"type": "line", "interpolate": "step-after" if order == "ascending" else "step-before",
                      "strokeDash": [4, 3], "strokeWidth": 1.3, "color": "#8a8f98"},
             "encoding": {"x": x, "y": y}},
            {"mark": {"type": "rule", "strokeWidth": 4, "opacity": 0.28, "strokeCap": "round"},
             "encoding": {"x": x, "y": y | {"field": "low"}, "y2": {"field": "high"}, "color": colour}},
            {"mark": {"type": "point", "filled": True, "size": 80, "opacity": 1},
             "encoding": {"x": x, "y": y, "color": colour, "tooltip": [
                 {"field": "name", "title": "row"}, {"field": "top1", "format": ".2f"},
                 {"field": "cost", "title": title, "format": ".3s"}]}},
            _labels(x, y, True, front),
            _labels(x, y, False, front),
        )  # fmt: skip
        if all(value["low"] is None for value in values):
            del spec["layer"][1]
        better = "left" if order == "ascending" else "right"
        note = f"Better is up and to the {better}. Dashed: Pareto front."
        alt = f"Scatter plot of top-1 against {title} of {len(values)} rows with the Pareto front."
        charts.append(Chart(f"{key}-{cost}", f"Accuracy against {title}", note, alt, spec))
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
