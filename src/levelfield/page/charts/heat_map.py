"""Heat maps by row, the frame of several charts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from levelfield.page.charts.chart import Spec

HEAT: Final = ["#eef3f8", "#a9c8e6", "#5b9bd0", "#2a6fae", "#134a80"]


def heat_map(
    values: list[Spec], classes: Sequence[str], title: str, threshold: float | None, low_is_dark: bool = False,
    label_px: int | None = None, axes: tuple[str | None, str | None] = (None, None),
) -> Spec:  # fmt: skip
    """A cell for each of `values`, by its row's `name` and its `class`, in the order of `classes`.

    `threshold`: the value beyond which the number in a cell is white; None: no numbers. `axes`: the titles of x and y;
    `label_px`: the room for a class's name.
    """
    limit = {} if label_px is None else {"labelLimit": label_px}
    x = {"field": "class", "type": "nominal", "title": axes[0], "sort": list(classes),
         "axis": {"labelAngle": -40, **limit, "ticks": False, "domain": False}}  # fmt: skip
    y = {"field": "name", "type": "nominal", "title": axes[1], "sort": {"field": "order", "op": "min"},
         "axis": {"labelLimit": 180, "ticks": False, "domain": False}}  # fmt: skip
    layer: list[Spec] = [
        {
            "mark": {"type": "rect"},
            "encoding": {
                "color": {
                    "field": "value", "type": "quantitative", "title": title,
                    "scale": {"range": HEAT[::-1] if low_is_dark else HEAT, "zero": not low_is_dark},
                    "legend": {"orient": "top", "gradientLength": 160, "gradientThickness": 8, "titleOrient": "left"},
                },
                "tooltip": [{"field": "name", "title": "row"}, {"field": "class"},
                            {"field": "value", "title": title, "format": ".1f"}],
            },
        }
    ]  # fmt: skip
    if threshold is not None:
        dark = f"datum.value {'<' if low_is_dark else '>'} {threshold}"
        colour = {"condition": {"test": dark, "value": "#ffffff"}, "value": "#12263a"}
        encoding = {"text": {"field": "value", "format": ".0f"}, "color": colour}
        layer.append({"mark": {"type": "text", "fontSize": 10}, "encoding": encoding})
    shared = {"data": {"values": values}, "width": "container", "usermeta": {"row_px": 26}}
    return {**shared, "encoding": {"x": x, "y": y}, "layer": layer}
