"""Whether runs are runs of their own: copies have the same predictions or the same weights."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from levelfield.tables.audit.findings import AuditRow, Finding, Panel
from levelfield.tables.lists_in_words import counted, listed
from levelfield.tables.runs_of_row import Measured

SAMPLES: Final = 16
"""Places at which two files of weights are compared before they are read whole."""
BLOCK: Final = 4096


def independent(panel: Panel) -> Iterable[Finding]:
    """Runs that should differ (in seed or setting) must not have equal predictions or equal weights."""
    runs = [(row, run, tested) for row in panel.measured for run, tested in row.tested]
    copies: list[tuple[AuditRow, Measured, AuditRow, Measured, str]] = []
    first: dict[str, tuple[AuditRow, Measured]] = {}
    for row, run, tested in runs:
        if tested is None:
            continue
        before = first.setdefault(tested.content, (row, run))
        if before[1] is not run and not _the_same_run(before[1], run):
            copies.append((*before, row, run, "predictions"))
    for row in panel.measured:
        weighed = [(run, path) for run in row.own if (path := _weights(run)) is not None]
        for i, (one, here) in enumerate(weighed):
            for two, there in weighed[:i]:
                known = any({id(a), id(b)} == {id(one), id(two)} for _, a, _, b, _ in copies)
                if not known and not _the_same_run(one, two) and equal_files(here, there):
                    copies.append((row, two, row, one, "weights"))
    twins: dict[str, list[str]] = {}
    for before_row, before_run, row, run, what in copies:
        if before_row is not row and before_run.seed == run.seed:
            twins.setdefault(before_row.name, [])
            twins[before_row.name] += [row.name] if row.name not in twins[before_row.name] else []
            continue
        text = (
            f"{_named(before_row, before_run)} and {_named(row, run)} have equal {what}: a copy is no run of its own,"
        )
        yield Finding("independent", "unfair", f"{text} and shows no spread.", (row.name,))
    for name, others in twins.items():
        text = f"{listed([name, *others])} have equal predictions, seed by seed: copies, or what differs between them "
        yield Finding("independent", "differs", f"{text}changes nothing.", tuple(others))
    looked = sum(tested is not None for _, _, tested in runs)
    if looked > 1 and not copies:
        text = f"{counted(looked, 'run')} are runs of their own: no two have the same predictions"
        yield Finding("independent", "passed", text)


def _the_same_run(one: Measured, two: Measured) -> bool:
    """Whether two runs may be equal: rows that share a run, or the same training carried out twice."""
    if one.folder is None or two.folder is None:
        return one.file is not None and one.file == two.file
    return one.folder.path == two.folder.path or one.folder.identity == two.folder.identity


def _named(row: AuditRow, run: Measured) -> str:
    return f"{row.name} seed {run.seed}"


def _weights(run: Measured) -> Path | None:
    path = run.folder.weights if run.folder is not None else None
    return path if path is not None and path.is_file() else None


def equal_files(one: Path, two: Path) -> bool:
    """Whether two files hold the same bytes; files of other content are told apart by a few blocks of each."""
    size = one.stat().st_size
    if size != two.stat().st_size:
        return False
    with one.open("rb") as a, two.open("rb") as b:
        for number in range(SAMPLES):
            place = number * max(0, size - BLOCK) // (SAMPLES - 1)
            a.seek(place)
            b.seek(place)
            if a.read(BLOCK) != b.read(BLOCK):
                return False
        a.seek(0)
        b.seek(0)
        return hashlib.file_digest(a, "sha256").digest() == hashlib.file_digest(b, "sha256").digest()
