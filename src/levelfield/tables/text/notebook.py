"""The table as HTML for a notebook's cell: no styles or scripts of its own, names escaped."""

from __future__ import annotations

from levelfield import notebook
from levelfield.tables.table import StudyTable
from levelfield.tables.text.columns import cells
from levelfield.tables.text.footnotes import audit_in_words, footnotes


def to_notebook(table: StudyTable) -> str:
    """The question, the audit's sentence and what it found unfair, the table, and its basis behind a line."""
    parts = [notebook.paragraph(table.study.question, strong=True)] if table.study.question else []
    if table.study.scale not in ("", "full"):
        parts.append(notebook.paragraph(f"Scale {table.study.scale}: reduced, not the whole study."))
    parts.append(notebook.paragraph(f"Fairness audit: {audit_in_words(table)}"))
    parts += [notebook.paragraph(f"! {finding.text}") for finding in table.audit.unfair]
    parts.append(notebook.table(*cells(table)))
    return "".join(parts) + notebook.folded("What these numbers rest on", footnotes(table))
