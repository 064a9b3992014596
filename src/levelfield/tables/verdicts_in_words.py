"""The statistics of a table in plain words: verdicts, on what they rest, and how many seeds would tell more."""

from __future__ import annotations

from levelfield.statistics import ALPHA, Comparison, Difference, Interval, McNemar, verdict
from levelfield.tables.lists_in_words import counted
from levelfield.tables.number_format import difference_interval, p_value, signed
from levelfield.tables.rule_in_words import rule_in_words
from levelfield.tables.table import StudyTable


def in_words(table: StudyTable) -> list[str]:
    """How the answer was decided, and how many seeds would tell more. The answer itself is `answer_to_question`'s."""
    paragraphs = rule_in_words(table)
    for panel, comparison in table.panels.items():
        where = f"On {panel}: " if len(table.panels) > 1 and panel else ""
        paragraphs += [where + said for said in _power(comparison)]
    return paragraphs


def verdict_words(pair: Difference) -> str:
    """The verdict in a few words: "equivalent within 0.5", "undecided (about 4 more seeds)"."""
    word = verdict(pair)
    if word == "equivalent":
        return f"equivalent within {pair.margin:g}"
    if word != "undecided":
        return word
    if vetoed := _vetoed(pair):
        return f"undecided (strict: {vetoed})"
    if dict(pair.seeds_for).get(pair.margin, 0) is None:
        return "undecided (over 1,000 seeds)"
    more = more_seeds(pair)
    return f"undecided (about {more} more seed{'s' * (more > 1)})" if more else "undecided"


def more_seeds(pair: Difference) -> int | None:
    """About how many more seeds of both rows an undecided pair needs; None where that is not known, or none."""
    needed = dict(pair.seeds_for).get(pair.margin)
    if verdict(pair) != "undecided" or needed is None or needed <= min(pair.runs):
        return None
    return needed - min(pair.runs)


def _vetoed(pair: Difference) -> str:
    """What of the strict rule stands against a difference that would be decided without it; "" where nothing does."""
    strict = pair.strict
    if strict is None or pair.different or pair.p_adjusted is None or pair.p_adjusted > ALPHA:
        return ""
    if strict.smallest > strict.level:
        return f"needs {strict.fewest} seeds"
    return f"p {strict.p:.2g} > {strict.level:.2g}" if strict.p > strict.level else "BCa holds zero"


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
    over = f" over {counted(pair.runs[0], 'common start')}" if pair.paired else ""
    text = f"{signed(pair.estimate)} points {difference_interval(pair)}{over}, "
    text += f"adjusted p {p_value(pair.p_adjusted)}: "
    text += f"{verdict_words(pair)}."
    text += _elsewhere(pair) + _own(pair)
    if pair.sign_flip_p is not None and pair.sign_flip_min is not None:
        text += f" Sign-flip test p {p_value(pair.sign_flip_p)}"
        if pair.sign_flip_min > 0.05:
            text += f" ({min(pair.runs)} seeds cannot reach less than {pair.sign_flip_min:g}, so it can never decide)"
        text += "."
    text += _strict(pair)
    if pair.beats is not None:
        text += f" A run of it beats a run of the baseline in {pair.beats:.0%} of pairs."
    if mcnemar is not None:
        text += (
            f" First seeds alone: {mcnemar.only_a} images only this one has right, {mcnemar.only_b} only the baseline "
            f"(McNemar p {p_value(mcnemar.p)}; of two fixed models, not of their recipes)."
        )
    return text


def _strict(pair: Difference) -> str:
    strict = pair.strict
    if strict is None:
        return ""
    between = difference_interval(Interval(strict.low, strict.high, None, False))
    text = f" Strict rule: BCa interval {between}, exact permutation test p {p_value(strict.p)}"
    if strict.smallest > strict.level:
        text += f", which {min(pair.runs)} seeds cannot bring below {strict.smallest:.3g}, so that it can never agree"
    return text + f" (level {strict.level:.2g})."


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
