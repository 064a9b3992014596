"""Lines with their bands, one a row, and their names at their ends: the frame of several charts."""

from __future__ import annotations

from collections import Counter
from typing import Final

from levelfield.page.charts.chart import LABEL_PX, Spec, layered, others, quantity

WHOLE: Final = ("epoch", "severity")
"""What a line may run along that has no values between whole numbers."""


def lines_with_bands(colour: Spec, values: list[Spec], along: str, axis: str, title: str, height_px: int = 280) -> Spec:
    """A line a row through the `mean` of `values` along the field `along`, with a band from `low` to `high`.

    A row of one value, through which no line can be drawn, is a dot.
    """
    grid = {"grid": False, **({"tickMinStep": 1} if along in WHOLE else {})}
    x = quantity(along, axis, axis=grid)
    x["scale"] |= {"nice": False, "range": [0, {"expr": f"width - {LABEL_PX}"}]}
    y, detail = quantity("mean", title), {"field": "row"}
    told = [{"field": "name", "title": "row"}, {"field": along, "format": ".3~r"}, {"field": "mean", "format": ".2f"}]
    last = {"joinaggregate": [{"op": "max", "field": along, "as": "last"}], "groupby": ["row"]}
    shown: Spec = {"filter": "datum.shown"}
    points = Counter(value["row"] for value in values)
    lone: Spec = {"filter": {"field": "row", "oneOf": [row for row, count in points.items() if count == 1]}}
    dots: list[Spec] = [
        {"transform": [shown, lone], "mark": {"type": "rule", "strokeWidth": 6, "opacity": 0.18},
         "encoding": {"x": x, "y": quantity("low", title), "y2": {"field": "high"}, "color": colour}},
        {"transform": [shown, lone], "mark": {"type": "point", "filled": True, "size": 60, "opacity": 1},
         "encoding": {"x": x, "y": y, "color": colour}},
    ]  # fmt: skip
    return layered(
        values, height_px,
        *others(values, {"x": x, "y": y, "detail": detail}),
        {"transform": [shown], "mark": {"type": "area", "opacity": 0.18},
         "encoding": {"x": x, "y": quantity("low", title), "y2": {"field": "high"}, "color": colour, "detail": detail}},
        {"transform": [shown], "mark": {"type": "line", "strokeWidth": 2},
         "encoding": {"x": x, "y": y, "color": colour, "detail": detail}},
        *(dots if 1 in points.values() else []),
        {"mark": {"type": "point", "opacity": 0, "size": 60},
         "encoding": {"x": x, "y": y, "color": colour, "tooltip": told}},
        {"name": "label_end", "transform": [shown, last, {"filter": f"datum.{along} == datum.last"}],
         "mark": {"type": "text", "align": "left", "dx": 6, "fontSize": 10.5, "limit": LABEL_PX - 8},
         "encoding": {"x": x, "y": y, "color": colour, "text": {"field": "name"}}},
    )  # fmt: skip
