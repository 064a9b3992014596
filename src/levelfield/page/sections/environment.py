"""Where and with what versions the runs were made."""

from __future__ import annotations

from levelfield.page.markup import code, folded
from levelfield.page.section import Section
from levelfield.tables.differing_settings import environments
from levelfield.tables.table import StudyTable


def environment(table: StudyTable) -> Section | None:
    """Machine and versions, each value that occurs."""
    found = environments(table)
    if not found:
        return None
    lines = "\n".join(f"{key}: {' | '.join(values)}" for key, values in found.items())
    return Section("environment", "Environment", folded("Machine and versions of the runs", code(lines)))
