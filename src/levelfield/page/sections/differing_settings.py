"""In what the rows were configured differently, and what they share."""

from __future__ import annotations

from levelfield.page import markup
from levelfield.page.markup import code, folded, paragraph, tag, text
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
        lines = (
            tag("tr", [tag("th", tag("code", text(key)), scope="row"),
                       *(tag("td", text(values.get(row.name, NONE))) for row in rows)])
            for key, values in different.items()
        )  # fmt: skip
        shown = markup.table(["setting", *(row.title for row in rows)], lines, "Settings that differ")
    else:
        shown = paragraph("The rows differ in nothing but the model.")
    common = code("\n".join(f"{key}: {value}" for key, value in shared.items()))
    shown += folded(f"{len(shared)} settings that all rows share", common)
    return Section("configuration", "In what the rows differ", shown)
