"""Rows whose author does not say how they were tuned: was there a sweep, and did every row get the same of it?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from levelfield.tables.audit.checks.training_length import budget_in_words
from levelfield.tables.audit.findings import AuditRow, Finding, Panel, differing
from levelfield.tables.audit.swept_runs import SweptRun, best_of, ended, searched
from levelfield.tables.lists_in_words import counted, listed


def search(panel: Panel) -> Iterable[Finding]:
    """How unknown settings were found, from the sweep's own run folders: points, their length, what came of them."""
    facts = {row.name: row.runs.row.facts for row in panel.measured}
    unknown = [
        row for row in panel.measured if facts[row.name].get("setting_unknown") and "tuning" not in facts[row.name]
    ]
    if not unknown:
        return
    made = {row.name: searched(row, panel.folder) for row in unknown}
    points = {name: ended(found.last) for name, found in made.items()}
    tried = {name: found for name, found in points.items() if len(found) > 1}
    names = [row.name for row in unknown if row.name not in tried]
    if names:
        text = f"The author's setting is unknown and was not searched for: {listed(names)} use the recipe's own."
        yield Finding("search", "unfair" if tried else "differs", text, tuple(names))
    if not tried:
        return
    budgets = {name: _budget(ended(made[name].paid)) for name in tried}
    yield from differing("search", "unfair", "The budget of the search for unknown settings differs", budgets)
    unused = [row.name for row in unknown if row.name in tried and not _uses_best(row, tried[row.name])]
    if unused:
        text = f"A search was made, but its best learning rate and weight decay are not those of {listed(unused)}."
        yield Finding("search", "unfair", text, tuple(unused))
    if len(set(budgets.values())) == 1 and not names and not unused:
        each = f"{next(iter(budgets.values()))} for each of {listed(list(tried))}"
        text = f"unknown settings were searched for alike: {each}"
        yield Finding("search", "passed", text, tuple(tried))


def _budget(points: list[SweptRun]) -> str:
    lengths = Counter(budget_in_words(point.spec.budget) for point in points)
    return " and ".join(f"{counted(count, 'point')} of {length}" for length, count in sorted(lengths.items()))


def _uses_best(row: AuditRow, points: list[SweptRun]) -> bool:
    own = row.spec.recipe.optimizer if row.spec is not None else None
    return own is not None and any(
        (best.spec.recipe.optimizer.lr, best.spec.recipe.optimizer.weight_decay) == (own.lr, own.weight_decay)
        for best in best_of(points)
    )
