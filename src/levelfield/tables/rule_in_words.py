"""What decides in a table, in words: by which test, at which level, within which margin rows are called equivalent."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from levelfield.statistics import ALPHA, Comparison, Difference
from levelfield.tables.lists_in_words import listed
from levelfield.tables.table import StudyTable

METHODS: Final[Mapping[str, str]] = {
    "model-assisted": "the model-assisted test (each row's variance from the scores of its seeds, from how often they "
    "disagree on an image, and from how real rows vary)",
    "Welch's t": "Welch's t (each row's own variance)",
    "paired t": "the paired t (rows that share a start, seed by seed)",
}
"""`Difference.method` for a reader."""


def methods_in_words(pairs: Collection[Difference]) -> str:
    """By which tests `pairs` were decided; "" where there was no ground for any."""
    methods = dict.fromkeys(pair.method for pair in pairs if pair.standard_error is not None)
    return listed([METHODS.get(method, method) for method in methods], len(methods)) if methods else ""


def rule_in_words(table: StudyTable) -> list[str]:
    """What its verdicts rest on, in sentences; none for a table in which nothing is compared."""
    panels = [comparison for comparison in table.panels.values() if comparison.pairs]
    if not panels:
        return []
    title = {row.name: row.title for row in table.rows}
    baselines = [title[comparison.baseline] for comparison in panels if comparison.baseline]
    of = f" ({', '.join(baselines)})" if baselines else ""
    rule = _strict(panels) if table.study.verdict == "strict" else "The usual rule, not --verdict strict."
    return [
        f"To baseline{of}: difference of the means over seeds. {_decided(panels)}",
        f"{rule} {_verdicts(table.study.margin)}",
    ]


def _decided(panels: Collection[Comparison]) -> str:
    pairs = [pair for comparison in panels for pair in comparison.pairs]
    methods = methods_in_words(pairs)
    if not methods:
        return "Nothing was decided: too few seeds."
    assumed = list(dict.fromkeys(pair.assumption for pair in pairs if pair.standard_error is not None))
    spent = max(comparison.spent for comparison in panels)
    often = (
        "at most once in 20"
        if abs(spent - ALPHA) < 1e-9
        else f"in at most {100 * spent:.3g} %, over all looks at it so far"
    )
    return (
        f"Decided by {methods}, each comparison at the level that Holm's procedure leaves it, so that a table of equal "
        f"rows claims any difference {often}. Assumed: {'. And: '.join(assumed)}."
    )


def _verdicts(margin: float) -> str:
    return (
        f"Equivalent within {margin:g}: decided to lie less than {margin:g} points apart (two one-sided tests). "
        f"Undecided: neither that nor a difference was decided, and so many more seeds of both rows would tell "
        f"{margin:g} points with 80 % power. Rank: the places a row may take; ties are ranges."
    )


def _strict(panels: Collection[Comparison]) -> str:
    """The strict rule, and of how many comparisons it can say nothing whatever their runs show."""
    said = (
        "Strict rule: a difference is claimed only where the BCa bootstrap interval of it excludes zero and an "
        "exact permutation test rejects, too, both at the level of that decision (arXiv 2511.19794)."
    )
    tests = [pair.strict for comparison in panels for pair in comparison.pairs if pair.strict is not None]
    mute = [test for test in tests if test.smallest > test.level]
    if not mute:
        return said
    fewest, most = min(test.fewest for test in mute), max(test.fewest for test in mute)
    seeds = f"{fewest}" if fewest == most else f"{fewest} to {most}"
    return (
        f"{said} In {len(mute)} of {len(tests)} comparisons the permutation test can never reject with so few seeds: "
        f"it takes {seeds} of both rows."
    )
