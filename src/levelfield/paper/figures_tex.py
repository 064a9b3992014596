"""The charts of the page as PDF figures, and the LaTeX that holds them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from levelfield.page.charts.chart import Chart, colour_scale
from levelfield.page.charts.forest import forest
from levelfield.page.charts.learning_curves import learning_curves
from levelfield.page.charts.ranking import ranking
from levelfield.page.charts.standalone import standalone
from levelfield.page.charts.trade_offs import trade_offs
from levelfield.paper.ledger import PROVIDE, Ledger
from levelfield.tables.table import StudyTable, TableRow
from levelfield.tables.text.latex_words import latex_with_breaks as latex

WIDTH_PX: Final = 500
MOVED: Final = " Names that would collide are left out."
"""Said of the page, whose script does it."""


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
    """The chart as a PDF, on paper: without what only a page's script can place."""
    import vl_convert

    pdf: bytes = vl_convert.vegalite_to_pdf(standalone([chart], WIDTH_PX))
    return pdf


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
