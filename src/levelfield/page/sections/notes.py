"""What is to be known of the rows: notes at the end of the page, and the marks in the table that lead there."""

from __future__ import annotations

from levelfield.page.markup import bullets, tag, text
from levelfield.page.section import Section
from levelfield.tables.lists_in_words import listed
from levelfield.tables.table import StudyTable
from levelfield.tables.text.footnotes import row_notes


def marks(table: StudyTable) -> dict[str, str]:
    """By row the marks of its notes: links to the notes, whose words the script also shows beside them."""
    found: dict[str, list[str]] = {row.name: [] for row in table.rows}
    for number, (rows, _) in enumerate(row_notes(table), 1):
        for row in rows:
            target = f"note-{number}"
            found[row.name].append(
                tag("a", str(number), href=f"#{target}", class_="mark", aria_label=f"Note {number}",
                    aria_describedby=target)
            )  # fmt: skip
    return {name: tag("sup", " ".join(links)) if links else "" for name, links in found.items()}


def notes(table: StudyTable) -> Section | None:
    """The notes by number, and what is to be known of the study."""
    items = [
        tag("li", tag("strong", text(listed([row.title for row in rows], 30))) + ": " + text(note), id=f"note-{number}")
        for number, (rows, note) in enumerate(row_notes(table), 1)
    ]
    shown = tag("ol", items, class_="notes") if items else ""
    shown += bullets(table.study.notes) if table.study.notes else ""
    return Section("notes", "Notes", shown) if shown else None
