"""The commands and configurations that make the table again."""

from __future__ import annotations

from levelfield.page.markup import code, folded, paragraph
from levelfield.page.section import Section
from levelfield.tables.reproduce import setups
from levelfield.tables.table import StudyTable

REPRODUCED = (
    "Data is looked for where --data-dir or LEVELFIELD_DATA says, and refused where its content is another. A run "
    "comes out with the same bytes on the same kind of processor, with the same versions (under Environment)."
)


def reproduce(table: StudyTable) -> Section | None:
    """The commands that make the table, or the runs of one row, again, with the files that they take."""
    parts = []
    if table.study.command:
        parts += [paragraph("The whole table:"), code(table.study.command)]
    found = setups(table)
    for row in table.rows:
        shown = []
        for setup in found.get(row.name, ()):
            shown += [code("\n".join(setup.commands))] if setup.commands else []
            shown += [paragraph(note, class_="note") for note in setup.notes]
            shown += [paragraph(f"{setup.file}:", class_="note"), code(setup.configuration)]
        if shown:
            parts.append(folded(row.title, "".join(shown), data_of=row.name))
    if found:
        parts.append(paragraph(REPRODUCED, class_="note"))
    return Section("reproduce", "Reproduce", "".join(parts)) if parts else None
