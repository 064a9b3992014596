"""Rows whose author does not say how they were tuned: was there a sweep, and did every row get the same of it?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from levelfield.runs import RunFolder
from levelfield.spec import RunSpec
from levelfield.tables.audit.checks.training_length import budget_in_words
from levelfield.tables.audit.findings import AuditRow, Finding, Panel, differing
from levelfield.tables.lists_in_words import counted, listed
from levelfield.tables.sweeps import SWEEP, validation_top1

POINT: Final = "-lr"
"""What follows a row's name in that of a point of its grid (`studies.running.sweep.grid_rows`)."""


def search(panel: Panel) -> Iterable[Finding]:
    """How unknown settings were found, from the sweep's own run folders: points, their length, what came of them."""
    unknown = [row for row in panel.measured if row.runs.row.facts.get("setting_unknown")]
    if not unknown:
        return
    points = {row.name: _points(row, panel.folder) for row in unknown}
    searched = {name: found for name, found in points.items() if len(found) > 1}
    names = [row.name for row in unknown if row.name not in searched]
    if names:
        text = f"The author's setting is unknown and was not searched for: {listed(names)} use the recipe's own."
        yield Finding("search", "unfair" if searched else "differs", text, tuple(names))
    if not searched:
        return
    budgets = {name: _budget(found) for name, found in searched.items()}
    yield from differing("search", "unfair", "The budget of the search for unknown settings differs", budgets)
    unused = [row.name for row in unknown if row.name in searched and not _uses_best(row, searched[row.name])]
    if unused:
        text = f"A search was made, but its best learning rate and weight decay are not those of {listed(unused)}."
        yield Finding("search", "unfair", text, tuple(unused))
    if len(set(budgets.values())) == 1 and not names and not unused:
        each = f"{next(iter(budgets.values()))} for each of {listed(list(searched))}"
        text = f"unknown settings were searched for alike: {each}"
        yield Finding("search", "passed", text, tuple(searched))


Point = tuple[RunSpec, float]
"""A point's setting and the validation top-1 that it ended with."""


def _points(row: AuditRow, folder: Path | None) -> list[Point]:
    """The finished points of the sweep of a row (of the row whose runs it shares)."""
    if folder is None:
        return []
    homes = {row.runs.row.name} | {run.folder.path.parent.name for run in row.own}
    paths = sorted((folder / SWEEP).glob("*/*/run.json"))
    runs = [RunFolder(path.parent) for path in paths if path.parts[-3].rpartition(POINT)[0] in homes]
    return [(run.spec(), score) for run in runs if run.finished and (score := validation_top1(run)) is not None]


def _budget(points: list[Point]) -> str:
    lengths = Counter(budget_in_words(spec.budget) for spec, _ in points)
    return " and ".join(f"{counted(count, 'point')} of {length}" for length, count in sorted(lengths.items()))


def _uses_best(row: AuditRow, points: list[Point]) -> bool:
    best = max(points, key=lambda point: point[1])[1]
    own = row.spec.recipe.optimizer if row.spec is not None else None
    return own is not None and any(
        (spec.recipe.optimizer.lr, spec.recipe.optimizer.weight_decay) == (own.lr, own.weight_decay)
        for spec, score in points
        if score == best
    )
