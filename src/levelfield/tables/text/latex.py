"""The table as a tabular of LaTeX."""

from __future__ import annotations

from levelfield.tables.table import StudyTable
from levelfield.tables.text.columns import cells
from levelfield.tables.text.footnotes import audit_in_words, footnotes
from levelfield.tables.text.latex_words import latex


def to_latex(table: StudyTable) -> str:
    """A tabular for booktabs."""
    header, lines = cells(table)
    body = [" & ".join(latex(cell) for cell in line) + r" \\" for line in lines]
    return "\n".join(
        [
            rf"\begin{{tabular}}{{l{'r' * (len(header) - 1)}}}",
            r"\toprule",
            " & ".join(latex(cell) for cell in header) + r" \\",
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            *(f"% {line}" for line in [f"Fairness audit: {audit_in_words(table)}", *footnotes(table)]),
        ]
    ) + "\n"  # fmt: skip
