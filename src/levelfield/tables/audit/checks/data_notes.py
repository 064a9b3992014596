"""What is known of the data: whether it is the official content, and what belongs beside every result on it."""

from __future__ import annotations

from collections.abc import Iterable

from levelfield.data.sources import catalog
from levelfield.runs import RunFolder
from levelfield.tables.audit.findings import Finding, Panel
from levelfield.tables.lists_in_words import listed


def known_of_data(panel: Panel) -> Iterable[Finding]:
    """What is known of the data sets: official or not, and the notes that belong beside every result on them."""
    unofficial = tuple(row.name for row in panel.measured if False in row.results("data_official"))
    official = tuple(row.name for row in panel.measured if True in row.results("data_official"))
    if unofficial:
        names = list(dict.fromkeys(row.spec.data.name for row in panel.measured if row.spec and row.name in unofficial))
        text = (
            f"{listed(names)}: not the official content of a known data set; scores do not compare with other people's."
        )
        yield Finding("data", "differs", text, unofficial)
    elif official:
        yield Finding("data", "passed", "the data has the official content, by checksum", official)
    notes: dict[str, list[str]] = {}
    for row in panel.measured:
        for run in row.own:
            described = run.folder.description().get("data", {}) if run.folder is not None else {}
            name = run.spec.data.name if run.spec is not None else row.panel
            for note in (*catalog.notes(name), *described.get("notes", ())):
                if note.startswith("other data"):
                    continue  # said above
                if row.name not in (rows := notes.setdefault(f"{name}: {note}", [])):
                    rows.append(row.name)
    for note, rows in notes.items():
        yield Finding("data", "differs", note if note.endswith(".") else f"{note}.", tuple(rows))
    own = tuple(row.name for row in panel.measured if not all(_reproducible(run.folder) for run in row.own))
    if own:
        text = f"Own data or an own model that no name stands for: {listed(own)} cannot be trained again by others."
        yield Finding("data", "differs", text, own)


def _reproducible(folder: RunFolder | None) -> bool:
    return folder is None or not str(folder.description().get("reproducible")).startswith("not")
