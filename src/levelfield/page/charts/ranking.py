"""Which row is best: means with their intervals, single runs, and what was published."""

from __future__ import annotations

from collections.abc import Sequence

from levelfield.page.charts.chart import Chart, Spec, interval_of, quantity
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
    x = quantity("top1", "test top-1 (%)", pad_px=12)

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
    alt = f"Dot plot of test top-1 of {len(measured)} rows with intervals over seeds"
    alt += f"; {measured[0].title} has the highest mean."
    note = "Dot: mean over seeds. Bar: its 95 % interval. Ticks: single runs. Hollow diamond: published."
    return Chart(key, "Ranking", note, alt, spec, wide=True)
