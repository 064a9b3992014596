"""Which row is best: means with their intervals, single runs, and what was published."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from levelfield.page.charts.chart import NAMES_ABOVE, ROW_BELOW_NAME_PX, Chart, Spec, interval_of, quantity
from levelfield.tables.table import TableRow


def ranking(colour: Spec, measured: Sequence[TableRow], key: str) -> Chart:
    """Dot plot: mean with interval, single runs as ticks, the published value as a diamond."""
    values: list[Spec] = []
    for row in measured:
        assert row.top1 is not None
        base = {"row": row.name, "name": row.title, "order": -row.top1.value}
        values.append({**base, "kind": "mean", "top1": row.top1.value, **interval_of(row), "seeds": row.n})
        values += [{**base, "kind": "run", "top1": run.result["top1"], "seed": run.seed} for run in row.runs.finished]
        if row.published is not None and row.published.difference is not None:
            values.append({**base, "kind": "published", "top1": row.published.published})
    y = {"field": "name", "type": "nominal", "title": None, "sort": {"field": "order", "op": "min"},
         "axis": {"grid": True, "labelLimit": 200, "ticks": False, "domain": False}}  # fmt: skip
    x = quantity("top1", "test top-1 (%)", pad_px=12, axis={"tickCount": 9})

    def layer(kind: str, mark: Spec, **encoding: Any) -> Spec:
        return {"transform": [{"filter": f"datum.kind == '{kind}'"}], "mark": mark, "encoding": {"x": x, **encoding}}

    def tooltip(*fields: Spec) -> list[Spec]:
        return [{"field": "name", "title": "row"}, *fields]

    bar = layer("mean", {"type": "rule", "strokeWidth": 7, "strokeCap": "round", "opacity": 0.3},
                x=x | {"field": "low"}, x2={"field": "high"}, color=colour)  # fmt: skip
    ticks = layer("run", {"type": "tick", "thickness": 1.5, "size": 12, "opacity": 0.75}, color=colour,
                  tooltip=tooltip({"field": "seed"}, {"field": "top1", "format": ".2f"}))  # fmt: skip
    hollow = {"type": "point", "shape": "diamond", "size": 70, "strokeWidth": 1.6, "filled": False}
    diamonds = layer("published", hollow, color={"value": "#8a8f98"},
                     tooltip=tooltip({"field": "top1", "title": "published", "format": ".2f"}))  # fmt: skip
    dots = layer("mean", {"type": "point", "filled": True, "size": 85, "opacity": 1}, color=colour, tooltip=tooltip(
        {"field": "top1", "title": "mean top-1", "format": ".2f"}, {"field": "low", "format": ".2f"},
        {"field": "high", "format": ".2f"}, {"field": "seeds"}))  # fmt: skip
    intervals = any(value.get("low") is not None for value in values)
    published = any(value["kind"] == "published" for value in values)
    layers = [*([bar] if intervals else []), ticks, *([diamonds] if published else []), dots]
    narrow = {"encoding": {"y": {"axis": NAMES_ABOVE}}, "usermeta": {"row_px": ROW_BELOW_NAME_PX}}
    shared: Spec = {"data": {"values": values}, "width": "container", "usermeta": {"row_px": 30, "narrow": narrow}}
    spec = {**shared, "encoding": {"y": y}, "layer": layers}
    alt = f"Dot plot of test top-1 of {len(measured)} rows with intervals over seeds"
    alt += f"; {measured[0].title} has the highest mean."
    note = "Dot: mean over seeds. Bar: its 95 % interval. Ticks: single runs. Hollow diamond: published."
    return Chart(key, "Ranking", note, alt, spec, wide=True)
