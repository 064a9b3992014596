"""Charts of the page where there is no page: for a figure on paper, or a picture in a document."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Final

from levelfield.page.charts.chart import ROW_BELOW_NAME_PX, Chart, Spec

CONFIG: Final[Spec] = {
    "background": None,
    "view": {"stroke": None},
    "font": "DejaVu Sans, Noto Sans, Helvetica, Arial, sans-serif",
    "axis": {"labelFontSize": 11, "titleFontSize": 11, "titleFontWeight": "normal", "labelOverlap": "greedy"},
    "axisYBand": {"labelOverlap": False},
    "legend": {"labelFontSize": 11, "titleFontSize": 11, "titleFontWeight": "normal"},
}


def standalone(charts: Sequence[Chart], width_px: int, titled: bool = False) -> Spec:
    """The Vega-Lite specification of `charts`, one below the other, each `width_px` wide with a height of its own.

    What a page's script places is left out: names that would collide stand in a legend. `titled`: each under its title.
    """
    found = [_fixed(chart.spec, width_px) | ({"title": chart.title} if titled else {}) for chart in charts]
    body = found[0] if len(found) == 1 else {"vconcat": found, "resolve": {"scale": {"color": "independent"}}}
    return {"$schema": "https://vega.github.io/schema/vega-lite/v5.json", **body, "config": CONFIG}


def svg_of(charts: Sequence[Chart], width_px: int) -> str:
    """`charts` as one picture on white, each under its title."""
    import vl_convert

    spec = standalone(charts, width_px, titled=True)
    svg: str = vl_convert.vegalite_to_svg(spec | {"background": "white", "padding": 12})
    return svg


def _fixed(spec: Spec, width_px: int) -> Spec:
    """A chart's specification with a size of its own, and its names where nothing moves them apart: as a legend."""
    found = copy.deepcopy(spec)
    usermeta: dict[str, Any] = found.pop("usermeta", {})
    found["width"] = width_px
    if "row_px" in usermeta:
        names = {datum["name"] for datum in found["data"]["values"]}
        below_its_name = usermeta["row_px"] >= ROW_BELOW_NAME_PX
        found["height"] = (40 if below_its_name else 24) * max(1, len(names))
    kept = [layer for layer in found["layer"] if layer.get("name") not in ("label_front", "label_rest", "label_end")]
    if len(kept) < len(found["layer"]):
        titles = {datum["row"]: datum["name"] for datum in found["data"]["values"] if datum.get("row")}
        shown = {datum["row"] for datum in found["data"]["values"] if datum.get("shown", True)}
        for layer in kept:
            if isinstance(colour := layer["encoding"].get("color"), dict) and "scale" in colour:
                layer["encoding"]["color"] = _with_legend(colour, titles, shown)
            x = layer["encoding"].get("x", {})
            if isinstance(x.get("scale"), dict):
                x["scale"].pop("range", None)  # which kept room for the names
        found["layer"] = kept
    for layer in found["layer"]:
        layer.pop("name", None)  # charts below one another with layers of one name draw one's data in all
    return found


def _with_legend(colour: Spec, titles: dict[str, str], shown: set[str]) -> Spec:
    """The colours of the rows that are shown in colour, by their titles."""
    pairs = [(row, of) for row, of in zip(colour["scale"]["domain"], colour["scale"]["range"], strict=True)]
    kept = [(row, of) for row, of in pairs if row in titles and row in shown]
    scale = {"domain": [titles[row] for row, _ in kept], "range": [of for _, of in kept]}
    legend = {"title": None, "orient": "bottom", "columns": 3, "labelLimit": 150, "symbolOpacity": 1}
    return {**colour, "field": "name", "scale": scale, "legend": legend}
