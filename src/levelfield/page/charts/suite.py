"""Models over several data sets: the critical-difference diagram, and performance profiles."""

from __future__ import annotations

from levelfield.page.charts.chart import LABEL_PX, PALETTE, REST, Chart, Spec, layered, quantity
from levelfield.tables.suite import Suite

ROW_PX = 26


def critical_differences(suite: Suite, key: str) -> Chart:
    """Average ranks, each with a bar of half the critical difference to both sides; lines join what is not decided."""
    found = suite.ranking
    order, half = list(found.ranks), found.critical_difference / 2
    ranks = [
        {"model": name, "rank": rank, "low": rank - half, "high": rank + half} for name, rank in found.ranks.items()
    ]
    groups = [
        {"model": name, "rank": found.ranks[name], "group": number}
        for number, group in enumerate(found.groups)
        for name in group
    ]
    y: Spec = {"field": "model", "type": "nominal", "sort": order, "title": None, "axis": {"labelLimit": 180}}
    x = quantity("rank", "average rank (1 is the best)", axis={"grid": True})
    x["scale"] |= {"nice": False, "padding": 10}
    told = [{"field": "model"}, {"field": "rank", "title": "average rank", "format": ".2f"}]
    spec = layered(
        ranks, max(80, ROW_PX * len(order)),
        {"mark": {"type": "rule", "strokeWidth": 2, "opacity": 0.5, "color": PALETTE[0]},
         "encoding": {"x": quantity("low", x["title"]), "x2": {"field": "high"}, "y": y}},
        {"data": {"values": groups}, "mark": {"type": "line", "strokeWidth": 5, "opacity": 0.3, "color": REST},
         "encoding": {"x": x, "y": y, "detail": {"field": "group"}, "order": {"field": "rank"}}},
        {"mark": {"type": "point", "filled": True, "size": 70, "opacity": 1, "color": PALETTE[0]},
         "encoding": {"x": x, "y": y, "tooltip": told}},
    )  # fmt: skip
    note = (
        "Bars that do not overlap: further apart than Nemenyi's critical difference. Broad grey lines join models of "
    )
    note += "which Wilcoxon's test over the sets, under Holm's procedure, tells no pair apart."
    return Chart(key, "Average ranks", note, "Critical-difference diagram of the average ranks.", spec)


def profiles(suite: Suite, key: str) -> Chart:
    """The share of runs above each level of top-1, every set weighing alike, a line a model."""
    values: list[Spec] = [
        {"model": model, "level": level, "share": 100 * share} for model, level, share in suite.profiles()
    ]
    order = list(suite.ranking.ranks)
    palette = [PALETTE[place] if place < len(PALETTE) else REST for place in range(len(order))]
    colour: Spec = {"field": "model", "type": "nominal", "scale": {"domain": order, "range": palette},
                    "legend": {"title": None, "orient": "top"}}  # fmt: skip
    x = quantity("level", "top-1 (%)", axis={"grid": False})
    x["scale"] |= {"nice": False, "padding": LABEL_PX / 20}
    y = quantity("share", "runs above it (%)", zero=True)
    told = [{"field": "model"}, {"field": "level", "format": ".1f"}, {"field": "share", "format": ".0f"}]
    spec = layered(
        values, 240,
        {"mark": {"type": "line", "strokeWidth": 2, "interpolate": "step-after"},
         "encoding": {"x": x, "y": y, "color": colour}},
        {"mark": {"type": "point", "opacity": 0, "size": 40},
         "encoding": {"x": x, "y": y, "color": colour, "tooltip": told}},
    )  # fmt: skip
    note = "A model whose line lies above another's everywhere has more runs above every level (stochastic dominance)."
    return Chart(key, "Performance profiles", note, "Share of runs above each top-1, by model.", spec)
