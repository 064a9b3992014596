"""The table as a pipe table of Markdown."""

from __future__ import annotations

from levelfield.tables.table import StudyTable
from levelfield.tables.text.columns import cells
from levelfield.tables.text.footnotes import audit_in_words, footnotes


def to_markdown(table: StudyTable) -> str:
    """A pipe table, with audit and basis as text."""
    out = [f"**Fairness audit.** {audit_in_words(table)}", ""]
    said = [f"- {finding.text}" for finding in (*table.audit.unfair, *table.audit.of("declared"))]
    out += [*said, ""] if said else []
    return "\n".join([*out, *pipe_table(table), "", *footnotes(table)]) + "\n"


def pipe_table(table: StudyTable) -> list[str]:
    """The rows alone, as lines."""
    header, lines = cells(table)
    rows = [header, ["---"] + ["---:"] * (len(header) - 1), *lines]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
