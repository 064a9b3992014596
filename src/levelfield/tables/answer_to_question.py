"""The answer to a study's question in sentences, made from the decisions of its table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from levelfield.statistics import VERDICTS, Comparison, Difference, Verdict, verdict
from levelfield.tables.lists_in_words import counted, listed
from levelfield.tables.number_format import percent, signed
from levelfield.tables.scaling import scaling_of
from levelfield.tables.table import StudyTable, TableRow
from levelfield.tables.text.scaling import on_words, range_words, verdict_words

SINGLY: Final = 3
"""Rows of one verdict up to which each has a sentence of its own, with its gap and its costs."""
NAMED: Final = 4
"""Names in a sentence on several rows; the others are counted."""
DECIDED: Final = ("better", "worse", "equivalent")
STEPS_SAID: Final[dict[Verdict, tuple[str, str]]] = {
    "better": ("makes it better", "make it better"),
    "worse": ("makes it worse", "make it worse"),
    "equivalent": ("changes it by less than {margin:g} points", "change it by less than {margin:g} points each"),
    "undecided": ("is undecided", "are undecided"),
    "too few seeds": ("has too few seeds to be decided", "have too few seeds to be decided"),
}
"""What a step, or several, do to the row before them."""


@dataclass(frozen=True)
class Statement:
    """A sentence of the answer, and the decision that it states; None where it states none.

    `panel`: the test set that it is of, where a table has several.
    """

    verdict: Verdict | None
    text: str
    panel: str = ""


def answer(table: StudyTable) -> str:
    """The answer as one paragraph; "" where nothing was compared."""
    said, before = [], ""
    for statement in statements(table):
        new = statement.panel and statement.panel != before
        said.append(f"On {statement.panel}: {statement.text}" if new else statement.text)
        before = statement.panel
    return " ".join(said)


def statements(table: StudyTable) -> list[Statement]:
    """The answer sentence by sentence: of each test set who leads, what the steps of the study do, how rows stand to
    the baseline; then which question all of it answers. Intervals are left to the table."""
    found = []
    for panel, comparison in table.panels.items():
        rows = [row for row in table.measured if row.panel == panel]
        if comparison.pairs:
            of_panel = (
                _leader(rows, comparison), *_at_equal_cost(table, panel), *_steps(table, panel),
                *_to_baseline(rows, comparison),
            )  # fmt: skip
            found += [replace(each, panel=panel if len(table.panels) > 1 else "") for each in of_panel]
    return [*found, Statement(None, scope(table))] if found else []


def scope(table: StudyTable) -> str:
    """Which question the decisions answer: of this test set; and what is known of other images. Where there are none,
    that what the means show may be the seeds'."""
    pairs = [pair for comparison in table.panels.values() for pair in comparison.pairs]
    sets = "these test sets" if len(table.panels) > 1 else "this test set"
    if all(verdict(pair) not in DECIDED for pair in pairs):
        return f"No two rows are decided on {sets}: other seeds of the same training may order them otherwise."
    text = f"What is decided is about {sets}, and holds for other seeds of the same training"
    decided = [pair for pair in pairs if pair.different]
    known = [pair.elsewhere for pair in decided if pair.elsewhere is not None and pair.elsewhere.low is not None]
    if not known:
        return text + "; it does not say how the rows compare on other images."
    there = sum(one.different for one in known)
    if len(decided) == 1:
        also = "would be decided on other images of the same kind, too" if there else "would not be on other images"
        return f"{text}; the one difference that is decided here {also}."
    also = "none" if not there else "all" if there == len(decided) else f"{there}"
    text += f"; of the {len(decided)} differences that are decided here {also} would be decided on other images of the "
    text += "same kind, too"
    untold = len(decided) - len(known)
    return text + (f"; of {untold} that is not known." if untold else ".")


def _leader(rows: Sequence[TableRow], comparison: Comparison) -> Statement:
    """Who has the highest mean, and which of the others it is decidedly ahead of: by the pairs, as ranks do not tell
    behind whom a row is."""
    best, *others = rows
    text = f"{best.title} has the highest mean top-1, {percent(best.top1.value if best.top1 else None)} %"
    said = {row.title: _decided(comparison.between(best.name, row.name)) for row in others}
    tied = [title for title, word in said.items() if word is None]
    if behind := [title for title, word in said.items() if word == "worse"]:
        who = f"{listed(behind, NAMED)} {'is' if len(behind) == 1 else 'are'}"
        return Statement(None, f"{text}, but {who} decidedly ahead of it, by the runs that the two are compared by.")
    if not tied:
        return Statement(None, f"{text}, and is decidedly ahead of every other row.")
    if len(tied) == len(others):
        return Statement(None, f"{text}, but is not decidedly ahead of any other row.")
    return Statement(None, f"{text}, but is not decidedly ahead of {listed(tied, NAMED)}.")


def _decided(pair: Difference | None) -> Verdict | None:
    """Either "better" or "worse" where that was decided."""
    return verdict(pair) if pair is not None and pair.different else None


def _at_equal_cost(table: StudyTable, panel: str) -> Iterator[Statement]:
    """Of a study of networks at several sizes or lengths, each pair at equal cost; those that were not judged are left
    to the section."""
    for found in scaling_of(table):
        for on in found.on if found.panel == panel else ():
            for (a, b), one in on.pairs.items():
                if not one.why:
                    text = f"At equal {on_words(on)}, {a} or {b}, {range_words(one)}: {verdict_words(one, a, b)}."
                    yield Statement(None, text)


def _steps(table: StudyTable, panel: str) -> Iterator[Statement]:
    """What each step of the study does, steps of one verdict together."""
    line = {name: row for row in table.rows if row.top1 is not None for name in row.runs.row.names}
    comparison = table.panels[panel]
    said: dict[Verdict, list[str]] = {word: [] for word in VERDICTS}
    for name, before, after in table.study.steps:
        if before in line and after in line and line[before].panel == line[after].panel == panel:
            pair = comparison.between(line[after].name, line[before].name)
            if pair is not None:
                gap = "" if pair.estimate is None else f" ({signed(pair.estimate)})"
                said[verdict(pair)].append(f"“{name}”{gap}")
    for word, names in said.items():
        if names:
            what = STEPS_SAID[word][len(names) > 1].format(margin=comparison.margin)
            yield Statement(word, f"{'Step' if len(names) == 1 else 'Steps'} {listed(names, len(names))} {what}.")


def _to_baseline(rows: Sequence[TableRow], comparison: Comparison) -> Iterator[Statement]:
    """How the rows stand to the baseline, those of one verdict together, the best first."""
    base = next((row for row in rows if row.is_baseline), None)
    if base is None:
        return
    by_verdict: dict[Verdict, list[tuple[TableRow, Difference]]] = {word: [] for word in VERDICTS}
    for row in rows:
        if row.to_baseline is not None:
            by_verdict[verdict(row.to_baseline)].append((row, row.to_baseline))
    for word in ("better", "equivalent", "worse"):
        found = by_verdict[word]
        if len(found) <= SINGLY:
            yield from (Statement(word, _singly(row, pair, base)) for row, pair in found)
        else:
            yield Statement(word, _together(word, found, base))
    if found := by_verdict["undecided"]:
        yield Statement("undecided", _undecided(found, base, len(found) == len(rows) - 1))
    if found := by_verdict["too few seeds"]:
        names = listed([row.title for row, _ in found], NAMED)
        yield Statement("too few seeds", f"Too few seeds to compare {names} with {base.title}.")


def _singly(row: TableRow, pair: Difference, base: TableRow) -> str:
    """One row beside the baseline: "A is equivalent to B within 0.5 points at 10 % fewer MACs."."""
    if verdict(pair) == "equivalent":
        text = f"{row.title} is equivalent to {base.title} within {pair.margin:g} points"
    else:
        text = f"{row.title} is {verdict(pair)} than {base.title} by {percent(abs(pair.estimate or 0.0))} points"
        text += f", though by less than {pair.margin:g}" if pair.equivalent else ""
    return text + _cost(row, base) + "."


def _together(word: Verdict, found: Sequence[tuple[TableRow, Difference]], base: TableRow) -> str:
    names = listed([row.title for row, _ in found], NAMED)
    if word == "equivalent":
        return f"{names} are equivalent to {base.title} within {found[0][1].margin:g} points."
    gaps = [abs(pair.estimate or 0.0) for _, pair in found]
    return f"{names} are {word} than {base.title}, by {percent(min(gaps))} to {percent(max(gaps))} points."


def _undecided(found: Sequence[tuple[TableRow, Difference]], base: TableRow, every: bool) -> str:
    """Rows that are neither told from the baseline nor shown to be its equal, and how many seeds would tell."""
    names = listed([row.title for row, _ in found], NAMED)
    who = "any other row differs" if every and len(found) > 1 else f"{names} differ{'s' * (len(found) == 1)}"
    text = f"Whether {who} from {base.title} is undecided"
    needed = [(pair, dict(pair.seeds_for).get(pair.margin)) for _, pair in found]
    more = [seeds - min(pair.runs) for pair, seeds in needed if seeds is not None and seeds > min(pair.runs)]
    if len(more) < len(found):
        return text + "."
    least, most = min(more), max(more)
    span = counted(most, "more seed") if least == most else f"{least} to {most} more seeds"
    return text + f"; a gap of {found[0][1].margin:g} points would take about {span} a row to show."


def _cost(row: TableRow, base: TableRow) -> str:
    """ " at 10 % fewer MACs", where both are known and differ by a percent or more."""
    one, two = row.means.get("macs"), base.means.get("macs")
    if not one or not two or abs(one / two - 1) < 0.01:
        return ""
    if one >= 2 * two:
        return f" at {one / two:.1f} times the MACs"
    return f" at {abs(1 - one / two):.0%} {'fewer' if one < two else 'more'} MACs".replace("%", " %")
