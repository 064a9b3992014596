"""Figures of the rank study: a line of panels a kind of layer; and one panel a choice, for the sensitivity sweep.

The main figure shows each kind twice. The rank counts every direction above a tolerance, which stands at its axis: at
float64's, nearly every curve is at 1. The effective rank weighs the directions by their size and has no tolerance.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from levelfield.analysis.feature_ranks.random_networks import KINDS, NONLINEARITIES
from levelfield.analysis.feature_ranks.rank_study import Row
from levelfield.runs import write_bytes, write_text

if TYPE_CHECKING:
    import altair as alt

MARKS: Final = {
    "linear": ("#7f7f7f", "cross"), "ReLU": ("#d62728", "circle"), "ReLU6": ("#ff7f0e", "square"),
    "LeakyReLU": ("#bcbd22", "triangle-up"), "ELU": ("#2ca02c", "diamond"), "SoftPlus": ("#17becf", "triangle-down"),
    "hard swish": ("#1f3fb4", "triangle-left"), "SiLU": ("#9467bd", "stroke"),
}  # fmt: skip
"""Colour and shape of each non-linearity's curve."""
LARGEST: Final = 240
STEP: Final = 30
Z_95: Final = 1.959964


def panels(rows: Sequence[Row], group: str, title: str, tolerance: float) -> alt.ConcatChart:
    """For `group`, a line a kind: rank / d_out (at `tolerance`) and effective rank / d_out against d_in / d_out.

    A curve a non-linearity, with 95 % intervals.
    """
    charts = []
    for kind, name in KINDS.items():
        if shown := [row for row in rows if row.group == group and row.kind == kind]:
            charts.append(_panel(shown, name, f"rank / d_out (tolerance {tolerance:.1e})"))
            charts.append(_panel(shown, name, "effective rank / d_out", effective=True))
    return _grid(charts, title)


def sensitivity_panels(rows: Sequence[Row], kind: str, title: str) -> alt.ConcatChart:
    """Rank / d_out for one `kind` of layer: a panel a group (a choice changed)."""
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row.kind == kind:
            groups[row.group].append(row)
    charts = [_panel(shown, group, "rank / d_out") for group, shown in groups.items()]
    return _grid(charts, title, columns=3)


def _grid(charts: list[Any], title: str, columns: int = 2) -> alt.ConcatChart:
    import altair as alt

    chart: alt.ConcatChart = (
        alt.concat(*charts, columns=columns)
        .properties(title=alt.TitleParams(title, anchor="middle", fontSize=15))
        .configure_view(stroke="#bbbbbb")
        .configure_axis(gridOpacity=0.4, labelFontSize=11, titleFontSize=12)
        .configure_legend(symbolSize=90, labelFontSize=12, titleFontSize=12)
    )
    return chart


def _panel(rows: list[Row], title: str, measure: str, effective: bool = False) -> Any:
    import altair as alt

    order = list(NONLINEARITIES)
    names = [name for name in order if any(row.nonlinearity == name for row in rows)]
    values = []
    for row in rows:
        mean = row.effective_rank_over_d_out if effective else row.rank_over_d_out
        half = Z_95 * (row.effective_standard_error if effective else row.standard_error)
        values.append({
            "ratio": row.ratio, "rank": mean, "low": mean - half, "high": min(1.0, mean + half),
            "non-linearity": row.nonlinearity, "size": LARGEST - STEP * order.index(row.nonlinearity),
        })  # fmt: skip
    marks = [MARKS[name] for name in names]
    x = alt.X("ratio:Q", title="d_in / d_out", scale=alt.Scale(domain=[0.05, 1.05], nice=False))
    y = alt.Y("rank:Q", title=measure, scale=alt.Scale(domain=[0, 1.05], nice=False))
    colour = alt.Color(
        "non-linearity:N", sort=names, scale=alt.Scale(domain=names, range=[colour for colour, _ in marks])
    )
    shape = alt.Shape("non-linearity:N", sort=names, scale=alt.Scale(domain=names, range=[shape for _, shape in marks]))
    base = alt.Chart(alt.Data(values=values), title=title).properties(width=300, height=230)
    whiskers = base.mark_rule(strokeWidth=1.5, opacity=0.7).encode(x=x, y=alt.Y("low:Q"), y2="high:Q", color=colour)
    lines = base.mark_line(strokeWidth=1.5, opacity=0.8).encode(x=x, y=y, color=colour)
    # Curves coincide: markers of falling size, drawn around one another, leave each of them visible.
    size = alt.Size("size:Q", scale=None, legend=None)
    points = base.mark_point(opacity=0.9).encode(x=x, y=y, color=colour, shape=shape, size=size)
    return whiskers + lines + points


def save(chart: Any, stem: Path, scale: float = 2.0) -> list[Path]:
    """Write `chart` as `stem`.png (`scale` pixels a unit) and `stem`.svg; returns both paths."""
    import vl_convert

    specification = chart.to_json()
    png, svg = stem.with_name(stem.name + ".png"), stem.with_name(stem.name + ".svg")
    write_bytes(png, vl_convert.vegalite_to_png(specification, scale=scale))
    write_text(svg, vl_convert.vegalite_to_svg(specification))
    return [png, svg]
