"""Accuracy against cost: MACs, parameters, memory, speed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final

from levelfield.page.charts.chart import REST, Chart, Spec, interval_of, layered, quantity
from levelfield.tables.table import TableRow

COSTS: Final = (
    ("macs", "MACs", "ascending"),
    ("params", "parameters", "ascending"),
    ("mem_peak_mib", "peak memory (MiB)", "ascending"),
    ("images_per_s", "images/s", "descending"),
)
FAR: Final = 50.0
"""Ratio of the ends of a logarithmic axis beyond which it has ticks at powers of ten alone."""


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
        ticks = ticks_around(value["cost"] for value in values)
        x = {"field": "cost", "type": "quantitative", "title": title,
             "scale": {"type": "log", "nice": False, "padding": 44, "domain": [ticks[0], ticks[-1]]},
             "axis": {"format": "~s", "values": ticks, "grid": False}}  # fmt: skip
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


def ticks_around(costs: Iterable[float]) -> list[float]:
    """Ticks of a logarithmic axis that begin and end no nearer than the positive `costs` do: 1, 2, 5, 10, ...; where
    they go far, the powers of ten between the first and the last."""
    found = sorted(costs)
    powers = range(math.floor(math.log10(found[0])) - 1, math.ceil(math.log10(found[-1])) + 2)
    steps = [float(f"{digit}e{power}") for power in powers for digit in (1, 2, 5)]
    first = max(place for place, step in enumerate(steps) if step <= found[0])
    last = min(place for place, step in enumerate(steps) if step >= found[-1])
    if first == last:
        first, last = first - 1, last + 1
    ticks = steps[first : last + 1]
    far = ticks[-1] / ticks[0] > FAR
    return [tick for tick in ticks if not far or tick in (ticks[0], ticks[-1]) or _between(tick, ticks)]


def _between(tick: float, ticks: Sequence[float]) -> bool:
    """Whether a tick is a power of ten with room to both ends."""
    return math.log10(tick).is_integer() and 3 * ticks[0] < tick < ticks[-1] / 3


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
