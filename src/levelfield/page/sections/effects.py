"""What each part of a factorial study brings, and which need each other."""

from __future__ import annotations

from levelfield.page import markup
from levelfield.page.markup import line, paragraph
from levelfield.page.section import Section
from levelfield.tables.effects import BASIS, COLUMNS, effects_of
from levelfield.tables.table import StudyTable


def effects(table: StudyTable) -> Section | None:
    """Main effects and interactions; None for a study that declares no factors."""
    found = effects_of(table)
    if not found:
        return None
    content = paragraph(BASIS, class_="note")
    for one in found:
        content += paragraph(one.panel) if len(found) > 1 else ""
        if one.why:
            content += paragraph(f"Not computed: {one.why}.")
        else:
            lines = [line(first, *cells) for first, *cells in one.lines()]
            content += markup.table(COLUMNS, lines, f"Effects of the parts {one.panel}".strip())
    return Section("effects", "What each part brings", content)
