"""Heat maps by row, the frame of several charts."""

from __future__ import annotations

from typing import Final

from levelfield.page.charts.chart import Spec

HEAT: Final = ["#eef3f8", "#a9c8e6", "#5b9bd0", "#2a6fae", "#134a80"]


def heat_map(
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


def rows_axis() -> Spec:
    return {"field": "name", "type": "nominal", "title": None, "sort": {"field": "order", "op": "min"},
            "axis": {"labelLimit": 180, "ticks": False, "domain": False}}  # fmt: skip
