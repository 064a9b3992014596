"""Whether runs are runs of their own: copies have the same predictions or the same weights."""

from __future__ import annotations

import filecmp
from collections import defaultdict
from collections.abc import Iterable

from levelfield.runs import WEIGHTS_DIGEST
from levelfield.tables.audit.findings import AuditRow, Finding, Panel
from levelfield.tables.lists_in_words import counted, listed
from levelfield.tables.runs_of_row import Measured, Trained


def independent(panel: Panel) -> Iterable[Finding]:
    """Runs that should differ (in seed or setting) must not have equal predictions or equal weights."""
    runs = [(row, run, tested) for row in panel.measured for run, tested in row.tested]
    copies: list[tuple[AuditRow, Measured, AuditRow, Measured, str]] = []
    first: dict[str, tuple[AuditRow, Measured]] = {}
    for row, run, tested in runs:
        if tested is None:
            continue
        other = first.setdefault(tested.content, (row, run))
        if other[1] is not run and not _the_same_run(other[1], run):
            copies.append((*other, row, run, "predictions"))
    for row in panel.measured:
        for i, one in enumerate(row.own):
            for two in row.own[:i]:
                known = any({id(a), id(b)} == {id(one), id(two)} for _, a, _, b, _ in copies)
                if not known and not _the_same_run(one, two) and _equal_weights(one, two):
                    copies.append((row, two, row, one, "weights"))
    twins: dict[str, dict[str, None]] = defaultdict(dict)
    for before, earlier, row, run, what in copies:
        if before is not row and earlier.seed == run.seed:
            twins[before.name][row.name] = None
            continue
        both = f"{before.name} seed {earlier.seed} and {row.name} seed {run.seed}"
        text = f"{both} have equal {what}: a copy is no run of its own, and shows no spread."
        yield Finding("independent", "unfair", text, (row.name,))
    for name, others in twins.items():
        text = f"{listed([name, *others])} have equal predictions, seed by seed: copies, or what differs between them "
        yield Finding("independent", "differs", f"{text}changes nothing.", tuple(others))
    looked = sum(tested is not None for _, _, tested in runs)
    if looked > 1 and not copies:
        text = f"{counted(looked, 'run')} are runs of their own: no two have the same predictions"
        yield Finding("independent", "passed", text)


def _equal_weights(one: Trained, two: Trained) -> bool:
    """By what both results state of their weights, which compact folders keep too; by the files where they do not."""
    stated = [run.result.get(WEIGHTS_DIGEST) for run in (one, two)]
    if None not in stated:
        return stated[0] == stated[1]
    here, there = one.folder.weights, two.folder.weights
    return here.is_file() and there.is_file() and filecmp.cmp(here, there, shallow=False)


def _the_same_run(one: Measured, two: Measured) -> bool:
    """Whether two runs may be equal: rows that share a run, or the same training carried out twice."""
    if one.folder is None or two.folder is None:
        return one.file is not None and one.file == two.file
    return one.folder.path == two.folder.path or one.folder.identity == two.folder.identity
