"""The statistics of a table in plain words: what is better, what cannot be told, and how many seeds would tell."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from levelfield.statistics import VERDICTS, Comparison, Difference, McNemar, Verdict, verdict
from levelfield.tables.lists_in_words import listed
from levelfield.tables.number_format import difference_interval, p_value, percent, signed
from levelfield.tables.rule_in_words import methods_in_words
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


def verdict_words(pair: Difference) -> str:
    """The verdict in a few words: "equivalent within 0.5", "undecided (about 4 more seeds)"."""
    word = verdict(pair)
    if word == "equivalent":
        return f"equivalent within {pair.margin:g}"
    if word != "undecided":
        return word
    needed = dict(pair.seeds_for).get(pair.margin, 0)
    if needed is None:
        return "undecided (over 1,000 seeds)"
    more = needed - min(pair.runs)
    return f"undecided (about {more} more seed{'s' * (more > 1)})" if more > 0 else "undecided"


def _against_baseline(comparison: Comparison, title: Mapping[str, str]) -> str:
    pairs = {name: pair for name in comparison.ranks if (pair := comparison.to_baseline(name)) is not None}
    by_verdict: dict[Verdict, list[str]] = {word: [] for word in VERDICTS}
    for name, pair in pairs.items():
        by_verdict[verdict(pair)].append(title[name])
    said = {
        "better": "better than {}",
        "worse": "worse than {}",
        "equivalent": f"equivalent to {{}} within {comparison.margin:g} points",
        "undecided": "neither told from {} nor shown to be equivalent",
        "too few seeds": "not compared with {}: too few seeds",
    }
    parts: list[str] = []
    baseline = title[comparison.baseline or ""]
    for word, names in by_verdict.items():
        if names:
            parts.append(f"{listed(names, 8)} {_is(names)} {said[word].format('it' if parts else baseline)}")
    return (
        "; ".join(parts)
        + f". {_methods(pairs.values())} In a table of rows that are all equally good, the chance of any false claim "
        "of a difference is at most 5 %."
    )


def _methods(pairs: Collection[Difference]) -> str:
    """On what the decisions rest."""
    methods = methods_in_words(pairs)
    if not methods:
        return "Nothing was decided."
    return f"Decided by {methods}, at the level that Holm's procedure leaves to each comparison."


def _is(names: list[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _power(comparison: Comparison) -> list[str]:
    """How many seeds would tell half a point and a point, for the comparison with the baseline that is middling."""
    to_baseline = [pair for name in comparison.ranks if (pair := comparison.to_baseline(name)) is not None]
    pairs = sorted((pair for pair in to_baseline if pair.seeds_for), key=lambda pair: pair.standard_error or 0.0)
    if not pairs:
        return []
    pair = pairs[len(pairs) // 2]
    said = [
        f"{points:g} {'point' if points == 1 else 'points'} apart you need {seeds or 'more than 1,000'} seeds a row"
        for points, seeds in pair.seeds_for
    ]
    assert pair.level is not None
    return [
        f"To tell {', to tell '.join(said)} (the middle one of {len(pairs)} comparisons with the baseline; 80 % power "
        f"at the level of that decision, {100 * pair.level:.2g} %, averaged over what is left open of the spread over "
        "seeds)."
    ]


def pair_in_words(pair: Difference, mcnemar: McNemar | None) -> str:
    """One comparison with the baseline: decision, what stands beside it, and what that cannot say."""
    if pair.reason:
        return f"Not decided: {pair.reason}."
    text = f"{signed(pair.estimate)} points {difference_interval(pair)}, adjusted p {p_value(pair.p_adjusted)}: "
    text += f"{verdict_words(pair)}."
    text += _elsewhere(pair) + _own(pair)
    if pair.sign_flip_p is not None and pair.sign_flip_min is not None:
        text += f" Sign-flip test p {p_value(pair.sign_flip_p)}"
        if pair.sign_flip_min > 0.05:
            text += f" ({min(pair.runs)} seeds cannot reach less than {pair.sign_flip_min:g}, so it can never decide)"
        text += "."
    if pair.beats is not None:
        text += f" A run of it beats a run of the baseline in {pair.beats:.0%} of pairs."
    if mcnemar is not None:
        text += (
            f" First seeds alone: {mcnemar.only_a} images only this one has right, {mcnemar.only_b} only the baseline "
            f"(McNemar p {p_value(mcnemar.p)}; of two fixed models, not of their recipes)."
        )
    return text


def _elsewhere(pair: Difference) -> str:
    if pair.elsewhere is None or pair.elsewhere.low is None:
        return ""
    decided = "a difference there, too" if pair.elsewhere.different else "not decided there"
    return f" On other images of the same kind {difference_interval(pair.elsewhere)}: {decided}."


def _own(pair: Difference) -> str:
    """With the two rows' own variances alone, where something else decided."""
    own = pair.own
    if own is None or own.low is None or pair.method != "model-assisted":
        return ""
    return f" With the rows' own variances alone {difference_interval(own)}, adjusted p {p_value(own.p_adjusted)}."
