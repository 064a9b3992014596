"""What is known by now and was not when the rows were trained: mends that move their numbers, faults of networks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from levelfield.known_models import known_model
from levelfield.spec.science_revisions import revisions
from levelfield.tables.audit.findings import AuditRow, Finding, Panel, differing
from levelfield.tables.lists_in_words import counted, listed
from levelfield.tables.runs_of_row import Trained


def mends(panel: Panel) -> Iterable[Finding]:
    """Runs made before a mend that bears on them, or by another version of what training computes."""
    foreign = tuple(dict.fromkeys(row.name for row, run in panel.own if not _of_this_version(run)))
    if foreign:
        text = f"The identity in run.json is not that of its setting: {listed(foreign)} ran another version of training"
        yield Finding("mends", "unfair", f"{text}.", foreign)
    lacking: dict[str, list[str]] = defaultdict(list)
    for row, run in panel.own:
        for mend in _missing(run) if _of_this_version(run) else ():
            lacking[mend].append(row.name)
    bearing = {row.name: _state(row) for row in panel.measured if row.spec is not None and revisions(row.spec)}
    yield from differing("mends", "unfair", "Which mends of the program the runs were made under differs", bearing)
    if lacking and len(set(bearing.values())) < 2:
        rows = tuple(dict.fromkeys(name for names in lacking.values() for name in names))
        text = f"Made before {counted(len(lacking), 'mend')} that would move the numbers of {listed(rows)}: "
        yield Finding("mends", "differs", f"{text}{listed(sorted(lacking), 8)}.", rows)
    if panel.own and not foreign and not lacking:
        yield Finding("mends", "passed", f"no mend since would move the numbers of {counted(len(panel.own), 'run')}")


def _of_this_version(run: Trained) -> bool:
    described = run.folder.description()
    return bool(described["identity"] == run.spec.identity(described.get("revisions", ())))


def _missing(run: Trained) -> list[str]:
    """The mends that bear on a run and were not made yet when it ran."""
    had = run.folder.description().get("revisions", ())
    return [mend for mend in revisions(run.spec) if mend not in had]


def _state(row: AuditRow) -> str:
    """In words whether a row's runs were made under all the mends that bear on them."""
    missing = sorted({mend for run in row.own for mend in _missing(run)})
    some = any(not _missing(run) for run in row.own)
    return f"{'some ' if some else ''}before {listed(missing, 8)}" if missing else "under all that bear on them"


def networks(panel: Panel) -> Iterable[Finding]:
    """What the registry says is wrong with a network as it was published."""
    rows_of: dict[str, list[str]] = defaultdict(list)
    for name, spec in panel.specs.items():
        info = known_model(spec.model.name)
        if info is not None and info.note and spec.model.image_size == info.image_size:
            rows_of[info.note].append(name)
    for note, rows in rows_of.items():
        yield Finding("networks", "differs", f"{listed(rows)}: {note}.", tuple(rows))
