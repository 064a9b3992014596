"""The table as a tabular of LaTeX."""

from __future__ import annotations

from levelfield.tables.number_format import NONE
from levelfield.tables.table import StudyTable
from levelfield.tables.text.columns import cells
from levelfield.tables.text.footnotes import audit_in_words, footnotes


def to_latex(table: StudyTable) -> str:
    """A tabular for booktabs."""
    header, lines = cells(table)
    body = [" & ".join(_latex(cell) for cell in line) + r" \\" for line in lines]
    return "\n".join(
        [
            rf"\begin{{tabular}}{{l{'r' * (len(header) - 1)}}}",
            r"\toprule",
            " & ".join(_latex(cell) for cell in header) + r" \\",
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            *(f"% {line}" for line in [f"Fairness audit: {audit_in_words(table)}", *footnotes(table)]),
        ]
    ) + "\n"  # fmt: skip


def _latex(cell: str) -> str:
    for plain, escaped in (
        ("\\", r"\textbackslash{}"),
        ("&", r"\&"),
        ("%", r"\%"),
        ("_", r"\_"),
        ("#", r"\#"),
        ("$", r"\$"),
    ):
        cell = cell.replace(plain, escaped)
    return cell.replace("−", "$-$").replace(NONE, "--").replace("^", r"\^{}").replace("~", r"\~{}")
