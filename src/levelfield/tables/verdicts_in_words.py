"""The statistics of a table in plain words: what is better, what cannot be told, and how many seeds would tell."""

from __future__ import annotations

from collections.abc import Mapping

from levelfield.statistics import Comparison, Difference, McNemar, seeds_needed, verdict
from levelfield.tables.lists_in_words import listed
from levelfield.tables.number_format import difference_interval, p_value, percent, signed
from levelfield.tables.table import StudyTable, TableRow


def in_words(table: StudyTable) -> list[str]:
    """Paragraphs on the whole table, one or two a panel."""
    title = {row.name: row.title for row in table.rows}
    paragraphs = []
    for panel, comparison in table.panels.items():
        rows = [row for row in table.measured if row.panel == panel]
        if rows:
            where = f"On {panel}: " if len(table.panels) > 1 and panel else ""
            paragraphs.append(where + _leaders(rows))
            if comparison.pairs:
                paragraphs.append(where + _against_baseline(comparison, title))
                paragraphs += [where + power for power in _power(comparison)]
    return paragraphs


def _leaders(rows: list[TableRow]) -> str:
    best = rows[0]
    assert best.top1 is not None
    text = f"{best.title} has the highest mean top-1, {percent(best.top1.value)} %"
    text += f" over {best.n} seeds" if best.n > 1 else " in one run"
    tied = [row.title for row in rows[1:] if row.rank is not None and row.rank.best == 1]
    if not tied:
        return text + (", and every other row is decidedly behind it." if len(rows) > 1 else ".")
    them = "it" if len(tied) == 1 else "any of them"
    return text + f". {listed(tied, 8)} cannot be told from the first place: do not call {them} worse."


def _against_baseline(comparison: Comparison, title: Mapping[str, str]) -> str:
    by_verdict: dict[str, list[str]] = {"better": [], "worse": [], "not distinguishable": []}
    for name in comparison.ranks:
        if (pair := comparison.to_baseline(name)) is not None:
            by_verdict[verdict(pair)].append(title[name])
    baseline = title[comparison.baseline or ""]
    parts = [
        f"{listed(by_verdict[v], 8)} {_is(by_verdict[v])} {v} than {baseline}"
        for v in ("better", "worse")
        if by_verdict[v]
    ]
    if tied := by_verdict["not distinguishable"]:
        parts.append(f"{listed(tied, 8)} {_is(tied)} not distinguishable from it" if parts else
                     f"{listed(tied, 8)} {_is(tied)} not distinguishable from {baseline}")  # fmt: skip
    return (
        "; ".join(parts)
        + ". The decision is a paired-t interval at the level that Holm's procedure leaves to it: in a "
        "table of rows that are all equally good, the chance of any false claim is at most 5 %."
    )


def _is(names: list[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _power(comparison: Comparison) -> list[str]:
    """How many seeds would tell half a point and a point, for the comparison with the baseline that is middling."""
    to_baseline = [pair for name in comparison.ranks if (pair := comparison.to_baseline(name)) is not None]
    pairs = sorted((pair for pair in to_baseline if pair.sd and pair.level), key=lambda pair: pair.sd or 0.0)
    if not pairs:
        return []
    pair = pairs[len(pairs) // 2]
    assert pair.sd is not None and pair.level is not None
    said = []
    for points in (0.5, 1.0):
        seeds = seeds_needed(pair.sd, pair.n - 1, points, pair.level).seeds
        said.append(
            f"{points:g} {'point' if points == 1 else 'points'} apart you need {seeds or 'more than 1,000'} seeds"
        )
    return [
        f"Differences between runs of equal seed vary by {pair.sd:.2f} points (the middle one of {len(pairs)} "
        f"comparisons with the baseline, n = {pair.n}). To tell {said[0]}, to tell {said[1]} (80 % power at the level "
        f"of that decision, {100 * pair.level:.2g} %, averaged over what {pair.n} seeds leave open of the spread)."
    ]


def pair_in_words(pair: Difference, mcnemar: McNemar | None) -> str:
    """One comparison with the baseline: decision, what stands beside it, and what that cannot say."""
    if pair.reason:
        return f"Not decided: {pair.reason}."
    text = f"{signed(pair.estimate)} points {difference_interval(pair)}, adjusted p {p_value(pair.p_adjusted)}: "
    text += f"{verdict(pair)}."
    if pair.sign_flip_p is not None and pair.sign_flip_min is not None:
        text += f" Sign-flip test p {p_value(pair.sign_flip_p)}"
        if pair.sign_flip_min > 0.05:
            text += f" ({pair.n} seeds cannot reach less than {pair.sign_flip_min:g}, so it can never decide)"
        text += "."
    if pair.beats is not None:
        text += f" A run of it beats a run of the baseline in {pair.beats:.0%} of pairs."
    if mcnemar is not None:
        text += (
            f" First seeds alone: {mcnemar.only_a} images only this one has right, {mcnemar.only_b} only the baseline "
            f"(McNemar p {p_value(mcnemar.p)}; of two fixed models, not of their recipes)."
        )
    return text
