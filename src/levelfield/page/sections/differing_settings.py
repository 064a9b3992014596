"""In what the rows were configured differently, and what they share."""

from __future__ import annotations

from levelfield.page import markup
from levelfield.page.markup import code, folded, line, paragraph
from levelfield.page.section import Section
from levelfield.tables.differing_settings import differences
from levelfield.tables.number_format import NONE
from levelfield.tables.table import StudyTable


def differing_settings(table: StudyTable) -> Section | None:
    different, shared = differences(table)
    rows = [row for row in table.rows if row.runs.spec is not None]
    if not rows:
        return None
    if different:
        if len(rows) > len(different):  # whichever way round is narrower
            lines = [line(row.title, *(values.get(row.name, NONE) for values in different.values())) for row in rows]
            shown = markup.table(["row", *different], lines, "Settings that differ")
        else:
            lines = [line(key, *(values.get(row.name, NONE) for row in rows)) for key, values in different.items()]
            shown = markup.table(["setting", *(row.title for row in rows)], lines, "Settings that differ")
    else:
        shown = paragraph("The rows differ in nothing but the model.")
    common = code("\n".join(f"{key}: {value}" for key, value in shared.items()))
    shown += folded(f"{len(shared)} settings that all rows share", common)
    return Section("configuration", "In what the rows differ", shown)
