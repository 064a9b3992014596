"""The picture of a compression ladder: accuracy against each cost, a panel a cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from levelfield.analysis.compression_ladder import Rung

COSTS: Final = {
    "params_m": "parameters (millions)",
    "macs_m": "multiply-accumulates (millions)",
    "size_mib": "size on disk (MiB)",
    "latency_ms": "CPU latency, batch 1 (ms)",
    "joules_per_image": "energy of an image, batch 1 (J)",
}


def ladder_chart(ladder: Sequence[Rung], title: str) -> Any:
    """Mean top-1 of each rung with its interval over seeds, against each cost that is known of every rung (log scale).

    A line joins the networks of a family that were trained as they are; a dashed one leads from a rung to what was made
    of it.
    """
    import altair as alt

    y = alt.Y("top1:Q", title="top-1 (%)", scale=alt.Scale(zero=False, padding=20))
    names = alt.Scale(domain=[rung.model for rung in ladder], scheme="tableau20")
    legend = alt.Legend(labelLimit=400)
    colour = alt.Color("model:N", title="rung", scale=names, sort=None, legend=legend)
    shape = alt.Shape("model:N", title="rung", scale=alt.Scale(domain=names.domain), sort=None, legend=legend)
    logarithmic, ticks = alt.Scale(type="log", nice=False, padding=25), alt.Axis(tickCount=5)
    panels = []
    for cost, label in COSTS.items():
        if any(getattr(rung, cost) is None for rung in ladder):
            continue
        x = alt.X("cost:Q", title=label, scale=logarithmic, axis=ticks)
        base = alt.Chart(alt.Data(values=_points(ladder, cost))).properties(width=300, height=220)
        panels.append(
            base.transform_filter("datum.done == ''")
            .mark_line(color="#888", opacity=0.5)
            .encode(x, y, detail="family:N")
            + base.transform_filter("isValid(datum.from_cost)")
            .mark_rule(color="#888", strokeDash=[3, 3], opacity=0.7)
            .encode(x=x, y=y, x2="from_cost:Q", y2="from_top1:Q")
            + base.transform_filter("isValid(datum.low)").mark_rule().encode(x=x, y="low:Q", y2="high:Q", color=colour)
            + base.mark_point(filled=True, size=90, opacity=1.0).encode(x=x, y=y, color=colour, shape=shape)
        )
    room = {"left": 5, "top": 5, "right": 70, "bottom": 5}  # names are wider in some fonts than in those measured with
    return alt.concat(*panels, columns=2).properties(title=alt.TitleParams(title, anchor="middle"), padding=room)


def _points(ladder: Sequence[Rung], cost: str) -> list[dict[str, Any]]:
    by_name = {rung.model: rung for rung in ladder}
    points = []
    for rung in ladder:
        parent, accuracy = by_name.get(rung.parent or ""), rung.accuracy
        points.append({
            "cost": getattr(rung, cost), "top1": accuracy.value, "low": accuracy.low, "high": accuracy.high,
            "family": rung.family, "model": rung.model, "done": rung.done,
            "from_cost": None if parent is None else getattr(parent, cost),
            "from_top1": None if parent is None else parent.mean,
        })  # fmt: skip
    return points
