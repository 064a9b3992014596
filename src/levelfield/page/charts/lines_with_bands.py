"""Lines with their bands, one a row, and their names at their ends: the frame of several charts."""

from __future__ import annotations

from typing import Final

from levelfield.page.charts.chart import LABEL_PX, Spec, layered, others, quantity

WHOLE: Final = ("epoch", "severity")
"""What a line may run along that has no values between whole numbers."""


def lines_with_bands(colour: Spec, values: list[Spec], along: str, axis: str, title: str, height_px: int = 280) -> Spec:
    """A line a row through the `mean` of `values` along the field `along`, with a band from `low` to `high`."""
    grid = {"grid": False, **({"tickMinStep": 1} if along in WHOLE else {})}
    x = quantity(along, axis, axis=grid)
    x["scale"] |= {"nice": False, "range": [0, {"expr": f"width - {LABEL_PX}"}]}
    y, detail = quantity("mean", title), {"field": "row"}
    told = [{"field": "name", "title": "row"}, {"field": along, "format": ".3~r"}, {"field": "mean", "format": ".2f"}]
    last = {"joinaggregate": [{"op": "max", "field": along, "as": "last"}], "groupby": ["row"]}
    shown: Spec = {"filter": "datum.shown"}
    return layered(
        values, height_px,
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
