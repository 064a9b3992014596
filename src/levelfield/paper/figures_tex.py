"""The charts of the page as PDF figures, and the LaTeX that holds them."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Final

from levelfield.page.charts.chart import Chart, Spec, colour_scale
from levelfield.page.charts.forest import forest
from levelfield.page.charts.learning_curves import learning_curves
from levelfield.page.charts.ranking import ranking
from levelfield.page.charts.trade_offs import trade_offs
from levelfield.paper.ledger import PROVIDE, Ledger
from levelfield.tables.table import StudyTable, TableRow
from levelfield.tables.text.latex_words import latex_with_breaks as latex

WIDTH_PX: Final = 500
MOVED: Final = " Names that would collide are left out."
"""Said of the page, whose script does it."""
CONFIG: Final[Spec] = {
    "background": None,
    "view": {"stroke": None},
    "font": "DejaVu Sans, Noto Sans, Helvetica, Arial, sans-serif",
    "axis": {"labelFontSize": 11, "titleFontSize": 11, "titleFontWeight": "normal", "labelOverlap": "greedy"},
    "axisYBand": {"labelOverlap": False},
    "legend": {"labelFontSize": 11, "titleFontSize": 11, "titleFontWeight": "normal"},
}


def charts_of(table: StudyTable) -> list[Chart]:
    """The figures of a paper: of every test set the ranking, the differences, accuracy against MACs, and the learning
    curve, as far as the results hold them."""
    colour = colour_scale(table.rows)
    found: list[Chart] = []
    for place, panel in enumerate(table.panels):
        rows = [row for row in table.measured if row.panel == panel]
        if not rows:
            continue
        prefix = "" if len(table.panels) == 1 else f"set{place + 1}-"
        charts = [ranking(colour, rows, f"{prefix}ranking"), forest(rows, table.panels[panel], f"{prefix}differences")]
        charts += [each for each in trade_offs(colour, rows, f"{prefix}cost") if each.key.endswith("-macs")]
        charts += learning_curves(colour, rows, f"{prefix}curve")[:1]
        found += [chart if not prefix else chart.on(panel) for chart in charts if chart is not None]
    return found


def pdf_of(chart: Chart) -> bytes:
    """The chart as a PDF, `WIDTH_PX` wide, on paper: without what only a page's script can place."""
    import vl_convert

    pdf: bytes = vl_convert.vegalite_to_pdf(on_paper(chart.spec))
    return pdf


def on_paper(spec: Spec) -> Spec:
    """A chart's specification with a size of its own, and its names where nothing moves them apart: as a legend."""
    found = copy.deepcopy(spec)
    usermeta: dict[str, Any] = found.pop("usermeta", {})
    found["width"] = WIDTH_PX
    if "row_px" in usermeta:
        names = {datum["name"] for datum in found["data"]["values"]}
        found["height"] = min(usermeta["row_px"], 24) * max(1, len(names))
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
    return {"$schema": "https://vega.github.io/schema/vega-lite/v5.json", **found, "config": CONFIG}


def _with_legend(colour: Spec, titles: dict[str, str], shown: set[str]) -> Spec:
    """The colours of the rows that are shown in colour, by their titles."""
    pairs = [(row, of) for row, of in zip(colour["scale"]["domain"], colour["scale"]["range"], strict=True)]
    kept = [(row, of) for row, of in pairs if row in titles and row in shown]
    scale = {"domain": [titles[row] for row, _ in kept], "range": [of for _, of in kept]}
    legend = {"title": None, "orient": "bottom", "columns": 3, "labelLimit": 150, "symbolOpacity": 1}
    return {**colour, "field": "name", "scale": scale, "legend": legend}


def figures_tex(charts: Sequence[Chart], rows: Sequence[TableRow], ledger: Ledger) -> str:
    """A float a chart, with the label `fig:KEY`; each datum of a figure is of the runs of its row."""
    lines = [PROVIDE, *map(ledger.row_comment, rows)]
    for chart in charts:
        shown = ledger.of(f"{chart.key}.pdf", f"figure: {chart.title}", [row for row in rows if _shows(chart, row)])
        lines += [
            f"% {shown}",
            r"\begin{figure}[tbp]",
            r"\centering",
            rf"\includegraphics[width=\linewidth]{{figures/{chart.key}.pdf}}",
            rf"\caption{{{latex(f'{chart.title}. {chart.note.removesuffix(MOVED)}')}}}",
            rf"\label{{fig:{chart.key}}}",
            r"\end{figure}",
        ]
    return "\n".join(lines) + "\n"


def _shows(chart: Chart, row: TableRow) -> bool:
    return any(datum.get("row") == row.name for datum in chart.spec["data"]["values"])
