"""What is known of the data: whether it is the official content, and what belongs beside every result on it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from levelfield.data.sources import catalog
from levelfield.tables.audit.findings import Finding, Panel
from levelfield.tables.lists_in_words import listed


def known_of_data(panel: Panel) -> Iterable[Finding]:
    """What is known of the data sets: official or not, and the notes that belong beside every result on them."""
    unofficial = tuple(row.name for row in panel.measured if False in row.results("data_official"))
    official = tuple(row.name for row in panel.measured if True in row.results("data_official"))
    if unofficial:
        sets = listed(list(dict.fromkeys(spec.data.name for row, spec in panel.specs.items() if row in unofficial)))
        text = f"{sets}: not the official content of a known data set; scores do not compare with other people's."
        yield Finding("data", "differs", text, unofficial)
    elif official:
        yield Finding("data", "passed", "the data has the official content, by checksum", official)
    notes: dict[str, dict[str, None]] = defaultdict(dict)
    own: dict[str, None] = {}
    for row, run in panel.own:
        name, described = run.spec.data.name, run.folder.description()
        for note in (*catalog.notes(name), *described.get("data", {}).get("notes", ())):
            if not note.startswith("other data"):  # said above
                notes[f"{name}: {note}"][row.name] = None
        if str(described.get("reproducible")).startswith("not"):
            own[row.name] = None
    for note, rows in notes.items():
        yield Finding("data", "differs", note if note.endswith(".") else f"{note}.", tuple(rows))
    if own:
        names = tuple(own)
        text = f"Own data or an own model that no name stands for: {listed(names)} cannot be trained again by others."
        yield Finding("data", "differs", text, names)
