"""Accuracy over cost: the curves of networks at several sizes, lengths or shares of the data, with their bands."""

from __future__ import annotations

from levelfield.page.charts.chart import PALETTE, REST, Chart, Spec, layered, quantity
from levelfield.page.charts.trade_offs import ticks_around
from levelfield.tables.scaling import COSTS, OnCost
from levelfield.tables.text.scaling import on_words


def scaling_chart(on: OnCost, key: str) -> Chart:
    """A line a network with its 95 % band, its points with their runs' means, crossings as shaded intervals; dashed
    beyond the last point only where extrapolation was asked for."""
    band: list[Spec] = [
        {"network": line.name, "cost": cost, "top1": value, "low": low, "high": high}
        for line in on.lines
        for cost, value, low, high in line.band()
    ]
    points: list[Spec] = [
        {"network": line.name, "row": row.name, "cost": cost, "top1": row.top1.value, "seeds": row.n}
        for line in on.lines
        for row, cost in zip(line.rows, line.curve.costs, strict=True)
        if row.top1 is not None
    ]
    ahead: list[Spec] = [
        {"network": line.name, "cost": at, "top1": value}
        for line in on.lines
        if line.ahead is not None
        for at, value in ((line.curve.costs[-1], band_end(band, line.name)), line.ahead[:2])
    ]
    crossings: list[Spec] = [
        {"from": crossing.low, "to": crossing.high}
        for one in on.pairs.values()
        for crossing in one.crossings
        if crossing.from_below and crossing.to_above
    ]
    names = [line.name for line in on.lines]
    palette = [PALETTE[place] if place < len(PALETTE) else REST for place in range(len(names))]
    colour: Spec = {"field": "network", "type": "nominal", "scale": {"domain": names, "range": palette},
                    "legend": {"title": None, "orient": "top"}}  # fmt: skip
    ticks = ticks_around(each["cost"] for each in (*band, *ahead))
    x: Spec = {"field": "cost", "type": "quantitative", "title": COSTS[on.cost],
               "scale": {"type": "log", "nice": False, "domain": [ticks[0], ticks[-1]]},
               "axis": {"format": "~s", "values": ticks, "grid": False}}  # fmt: skip
    y = quantity("top1", "top-1 (%)", pad_px=8)
    told = [{"field": "network"}, {"field": "row"}, {"field": "top1", "format": ".2f"}, {"field": "seeds"},
            {"field": "cost", "title": COSTS[on.cost], "format": ".3s"}]  # fmt: skip
    layers: list[Spec] = []
    if crossings:
        layers.append({"data": {"values": crossings}, "mark": {"type": "rect", "opacity": 0.12, "color": REST},
                       "encoding": {"x": x | {"field": "from"}, "x2": {"field": "to"}}})  # fmt: skip
    layers += [
        {"mark": {"type": "area", "opacity": 0.18},
         "encoding": {"x": x, "y": y | {"field": "low"}, "y2": {"field": "high"}, "color": colour}},
        {"mark": {"type": "line", "strokeWidth": 2}, "encoding": {"x": x, "y": y, "color": colour}},
    ]  # fmt: skip
    if ahead:
        layers.append({"data": {"values": ahead}, "mark": {"type": "line", "strokeWidth": 1.5, "strokeDash": [4, 4]},
                       "encoding": {"x": x, "y": y, "color": colour}})  # fmt: skip
    layers.append({"data": {"values": points}, "mark": {"type": "point", "filled": True, "size": 70, "opacity": 1},
                   "encoding": {"x": x, "y": y, "color": colour, "tooltip": told}})  # fmt: skip
    note = "Points: means over seeds. Band: 95 % over seeds, between the costs that were trained."
    note += " Grey: where two curves cross, 95 %." if crossings else ""
    note += " Dashed: extrapolated by the law, not measured." if ahead else ""
    alt = f"Top-1 over {on_words(on)} of {len(names)} networks."
    return Chart(key, f"Accuracy over {on_words(on)}", note, alt, layered(band, 260, *layers))


def band_end(band: list[Spec], name: str) -> float:
    """The top-1 at which the curve of a network ends."""
    return float(next(each["top1"] for each in reversed(band) if each["network"] == name))
