"""Accuracy against cost: MACs, parameters, memory, speed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from levelfield.page.charts.chart import REST, Chart, Spec, interval_of, layered, quantity
from levelfield.tables.table import TableRow

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
             **interval_of(row)}
            for row in measured if row.top1 is not None and row.means.get(cost)
        ]  # fmt: skip
        if len(values) < 2:
            continue
        x = {"field": "cost", "type": "quantitative", "title": title,
             "scale": {"type": "log", "nice": False, "padding": 44},
             "axis": {"format": "~s", "tickCount": 4, "grid": False}}  # fmt: skip
        y = quantity("top1", "top-1 (%)", pad_px=20)
        pareto = _pareto(order)
        spec = layered(
            values, 240,
            {"transform": pareto,
             "mark": {"type": "line", "interpolate": "step-after" if order == "ascending" else "step-before",
                      "strokeDash": [4, 3], "strokeWidth": 1.3, "color": REST},
             "encoding": {"x": x, "y": y}},
            {"mark": {"type": "rule", "strokeWidth": 4, "opacity": 0.28, "strokeCap": "round"},
             "encoding": {"x": x, "y": y | {"field": "low"}, "y2": {"field": "high"}, "color": colour}},
            {"mark": {"type": "point", "filled": True, "size": 80, "opacity": 1},
             "encoding": {"x": x, "y": y, "color": colour, "tooltip": [
                 {"field": "name", "title": "row"}, {"field": "top1", "format": ".2f"},
                 {"field": "cost", "title": title, "format": ".3s"}]}},
            _labels("label_front", x, y, pareto),
            _labels("label_rest", x, y, []),
        )  # fmt: skip
        if all(value["low"] is None for value in values):
            del spec["layer"][1]
        better = "left" if order == "ascending" else "right"
        note = f"Better is up and to the {better}. Dashed: Pareto front. Names that would collide are left out."
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


def _labels(name: str, x: Spec, y: Spec, transform: list[Spec]) -> Spec:
    """Names of the rows that `transform` keeps; the page's script moves or hides those that would collide, and those of
    the front come first."""
    return {
        "name": name,
        "transform": transform,
        "mark": {"type": "text", "fontSize": 10.5, "limit": 130},
        "encoding": {"x": x, "y": y, "text": {"field": "name"}},
    }
