"""The folder of a paper: LaTeX, figures, numbers.json and the Makefile that compiles it."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Final

from levelfield.errors import UserError
from levelfield.paper.checklist_tex import checklist_tex
from levelfield.paper.compute_tex import compute_tex
from levelfield.paper.figures_tex import charts_of, figures_tex, pdf_of
from levelfield.paper.ledger import Ledger
from levelfield.paper.methods_tex import methods_tex
from levelfield.paper.table_tex import table_tex
from levelfield.runs import write_bytes, write_text
from levelfield.tables.table import StudyTable
from levelfield.tables.text.latex_words import latex_with_breaks as latex

PARTS: Final = ("methods", "table", "figures", "compute", "checklist")
MAKEFILE: Final = """\
paper.pdf: paper.tex {parts} $(wildcard figures/*.pdf)
\tpdflatex -interaction=nonstopmode -halt-on-error paper.tex
\tpdflatex -interaction=nonstopmode -halt-on-error paper.tex
"""
PAPER: Final = r"""\documentclass{article}
\usepackage[T1]{fontenc}
\usepackage[utf8]{inputenc}
\usepackage{textcomp,amssymb,booktabs,graphicx,xcolor}
\IfFileExists{lmodern.sty}{\usepackage{lmodern}}{}
\usepackage[margin=1in]{geometry}
\emergencystretch=4em
\title{TITLE}
\author{}
\date{}
\begin{document}
\maketitle
\section{Methods}
\input{methods}
\section{Results}
\input{table}
\input{figures}
\section{Resources}
\input{compute}
\input{checklist}
\end{document}
"""


def write_paper(table: StudyTable, out: Path, force: bool = False) -> list[Path]:
    """Write the paper of `table` into `out`, and return its files.

    Raises UserError for a table without a finished run, and where `out` holds one of the files and `force` is not set:
    somebody may have written in it.
    """
    if not table.measured:
        raise UserError(f"{table.study.name or 'this folder'} has no finished run: there is no number to write of")
    ledger = Ledger(table)
    charts = charts_of(table)
    texts = {
        "methods.tex": methods_tex(table, ledger),
        "table.tex": table_tex(table, ledger),
        "figures.tex": figures_tex(charts, table.measured, ledger),
        "compute.tex": compute_tex(table, ledger),
        "checklist.tex": checklist_tex(table, ledger),
        "paper.tex": PAPER.replace("TITLE", latex(table.study.name or "Comparison")),
        "Makefile": MAKEFILE.format(parts=" ".join(f"{part}.tex" for part in PARTS)),
    }
    texts = {name: _signed(name, text) for name, text in texts.items()}
    texts["numbers.json"] = json.dumps(ledger.as_json(), indent=1, ensure_ascii=False) + "\n"
    there = [name for name in texts if (out / name).exists()]
    if there and not force:
        raise UserError(
            f"{out} holds {there[0]} already, in which you may have written\n"
            "name another folder with --out, or write over it with --force"
        )
    (out / "figures").mkdir(parents=True, exist_ok=True)
    for chart in charts:
        write_bytes(out / "figures" / f"{chart.key}.pdf", pdf_of(chart))
    for name, text in texts.items():
        write_text(out / name, text)
    return [*(out / name for name in texts), *(out / "figures" / f"{chart.key}.pdf" for chart in charts)]


def _signed(name: str, text: str) -> str:
    mark = "#" if name == "Makefile" else "%"
    return (
        f"{mark} written by levelfield {version('levelfield')}; numbers.json says where each number comes from\n{text}"
    )
