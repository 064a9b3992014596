"""A run's learning curve as a picture in its folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from levelfield.runs import RunFolder, write_bytes


def write_learning_curve(folder: RunFolder) -> Path | None:
    """Write `learning_curve.png` (loss and top-1 over epochs) from metrics.jsonl; None where no epoch was finished."""
    import vl_convert

    points = [
        {"epoch": line["epoch"], "panel": panel, "series": series, "value": line[f"{split}_{measure}"]}
        for line in folder.metrics()
        if line.get("kind") == "epoch"
        for measure, panel in (("loss", "loss"), ("top1", "top-1 (%)"))
        for split, series in (("train", "train"), ("val", "validation"))
        if line.get(f"{split}_{measure}") is not None
    ]
    if not points:
        return None
    description = folder.description()["run"]
    title = f"{description['model']['name']} on {description['data']['name']}, seed {description['seed']}"
    chart = {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "title": title,
        "data": {"values": points},
        "hconcat": [_panel(panel) for panel in ("loss", "top-1 (%)")],
    }
    path = folder.path / "learning_curve.png"
    write_bytes(path, vl_convert.vegalite_to_png(chart, scale=2))
    return path


def _panel(panel: str) -> dict[str, Any]:
    """One of the two charts: its lines over epochs."""
    return {
        "transform": [{"filter": {"field": "panel", "equal": panel}}],
        "mark": {"type": "line", "point": True},
        "encoding": {
            "x": {"field": "epoch", "type": "quantitative", "title": "epoch"},
            "y": {"field": "value", "type": "quantitative", "title": panel, "scale": {"zero": False}},
            "color": {"field": "series", "type": "nominal", "title": None},
        },
        "width": 320,
        "height": 220,
    }
