"""The answer's sentences are the table's decisions: each row in one of them, with its gap, its costs and its limits."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from levelfield.statistics import Comparison, Difference, Interval, Rank, verdict
from levelfield.statistics.comparison import pairs_of, ranks
from levelfield.tables import Row, StudyTable, build_table
from levelfield.tables.answer_to_question import answer, statements
from synthetic_runs import spec_of, write_run

MACS = {"base": 100e6, "a": 90e6, "b": 100e6, "c": 290e6, "d": 130e6, "e": 100e6}


def difference(name: str, estimate: float, **changes: object) -> Difference:
    pair = Difference(name, "base", estimate, (3, 3), False, "Welch", "normal", 0.5, standard_error=0.2, p_adjusted=0.2)
    return replace(pair, **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> StudyTable:
    root = tmp_path_factory.mktemp("rows")
    rows = [
        Row(name, runs=(write_run(root / name, spec_of(name), cost=(1e6, macs, 1, 1), images=60),))
        for name, macs in MACS.items()
    ]
    return build_table(rows, "base")


def decided(measured: StudyTable, *pairs: Difference) -> StudyTable:
    """`measured` with these decisions, and no other row than theirs."""
    names = ["base", *(pair.a for pair in pairs)]
    ranks = dict.fromkeys(names, Rank(1, len(names)))
    comparison = Comparison("base", pairs, ranks, 0.5)
    rows = tuple(
        replace(row, to_baseline=comparison.to_baseline(row.name), rank=ranks[row.name])
        for row in measured.rows
        if row.name in names
    )
    return replace(measured, rows=rows, panels={rows[0].panel: comparison})


def texts(table: StudyTable, word: str | None) -> list[str]:
    return [statement.text for statement in statements(table) if statement.verdict == word]


def test_each_decision_has_a_sentence_with_gap_and_costs(measured: StudyTable) -> None:
    table = decided(
        measured,
        difference("a", 0.1, equivalent=True),
        difference("b", 1.25, different=True),
        difference("c", -0.4, different=True, equivalent=True),
        difference("d", 0.3, seeds_for=((0.5, 7), (1.0, 4))),
        difference("e", 0.0, standard_error=None, runs=(1, 3), reason="one run"),
    )
    assert texts(table, "equivalent") == ["a is equivalent to base within 0.5 points at 10 % fewer MACs."]
    assert texts(table, "better") == ["b is better than base by 1.25 points."]
    (worse,) = texts(table, "worse")
    assert worse == "c is worse than base by 0.40 points, though by less than 0.5 at 2.9 times the MACs."
    (undecided,) = texts(table, "undecided")
    assert undecided == (
        "Whether d differs from base is undecided; a gap of 0.5 points would take about 4 more seeds a row to show."
    )
    assert texts(table, "too few seeds") == ["Too few seeds to compare e with base."]
    assert "[" not in answer(table)  # intervals are the table's


def test_many_rows_of_one_verdict_share_a_sentence(measured: StudyTable) -> None:
    names = "abcde"
    table = decided(measured, *(difference(name, -1.0 - i / 10, different=True) for i, name in enumerate(names)))
    (worse,) = texts(table, "worse")
    assert worse.endswith("are worse than base, by 1.00 to 1.40 points.") and "1 more" in worse
    table = decided(measured, *(difference(name, 0.1) for name in names))
    assert texts(table, "undecided") == ["Whether any other row differs from base is undecided."]


def test_it_says_which_question_it_answers(measured: StudyTable) -> None:
    there, here = Interval(0.2, 1.0, 0.01, True), Interval(-0.2, 1.4, 0.2, False)
    table = decided(
        measured,
        difference("a", 0.9, different=True, elsewhere=there),
        difference("b", 0.8, different=True, elsewhere=here),
    )
    said = statements(table)[-1].text
    assert said.startswith("What is decided is about this test set")
    assert "of the 2 differences that are decided here 1 would be decided on other images" in said
    one = statements(decided(measured, difference("a", 0.9, different=True, elsewhere=there)))[-1].text
    assert one.endswith(
        "; the one difference that is decided here would be decided on other images of the same kind, too."
    )
    one = statements(decided(measured, difference("a", 0.9, different=True, elsewhere=here)))[-1].text
    assert one.endswith("; the one difference that is decided here would not be on other images.")
    nothing = statements(decided(measured, difference("a", 0.1)))[-1].text
    assert nothing.startswith("No two rows are decided on this test set: other seeds")
    same = statements(decided(measured, difference("a", 0.1, equivalent=True)))[-1].text
    assert same.endswith("it does not say how the rows compare on other images.")


def test_of_several_test_sets_each_has_its_sentences(tmp_path: Path) -> None:
    rows = [
        Row(f"{data}-{model}", runs=(write_run(tmp_path / data / model, spec_of(model, data=data), images=60),))
        for data in ("cifar10", "digits")
        for model in ("a", "b")
    ]
    table = build_table(rows)
    assert {statement.panel for statement in statements(table)} == {"cifar10", "digits", ""}
    assert answer(table).count("On cifar10: ") == answer(table).count("On digits: ") == 1
    assert answer(build_table(rows[:1])) == ""


STEPS = (("one", "base", "a"), ("two", "a", "b"), ("three", "c", "b"), ("four", "d", "e"))


class Facts:
    """What the pairs of a comparison say, asked without the code that writes sentences."""

    def __init__(self, table: StudyTable) -> None:
        (comparison,) = table.panels.values()
        self.pairs = comparison.pairs
        self.names = [row.name for row in table.measured]
        self.to_base = {name: pair for name in self.names if (pair := comparison.to_baseline(name)) is not None}

    def leads(self, name: str) -> bool:
        return self.names[0] == name

    def ahead(self, a: str, b: str) -> bool:
        return any(
            pair.different and ((pair.estimate or 0) > 0) is (pair.a == a)
            for pair in self.pairs
            if {pair.a, pair.b} == {a, b}
        )

    def are(self, listed: str, names: list[str]) -> bool:
        """Whether `listed` is of `names`: all, or some and how many more."""
        found = re.findall(r"\b(?:base|[a-f])\b(?! more)", listed)
        more = re.search(r" and (\d+) more$", listed)
        return set(found) <= set(names) and len(found) + int(more[1] if more else 0) == len(names)

    def steps(self, listed: str, word: str) -> bool:
        """Whether `listed` is of all steps of this verdict, each with its difference."""
        said = {}
        for name, before, after in STEPS:
            for pair in self.pairs:
                if {pair.a, pair.b} == {before, after}:
                    sign = 1 if pair.a == after else -1
                    of_pair = verdict(pair)
                    if sign < 0 and of_pair in ("better", "worse"):
                        of_pair = "worse" if of_pair == "better" else "better"
                    if of_pair == word:
                        said[name] = f"{sign * (pair.estimate or 0):+.2f}".replace("-", "−")
        return dict(re.findall(r"“(\w+)” \((.\d+\.\d+)\)", listed)) == said

    def verdicts(self, names: list[str], word: str) -> bool:
        return all(verdict(self.to_base[name]) == word for name in names)

    def together(self, listed: str, word: str) -> bool:
        return self.are(listed, [name for name, pair in self.to_base.items() if verdict(pair) == word])

    def elsewhere(self, decided: str, there: str, untold: str | None) -> bool:
        here = [pair for pair in self.pairs if pair.different]
        too = sum(pair.elsewhere is not None and pair.elsewhere.different for pair in here)
        words = {"none": 0, "all": len(here)}
        return (
            len(here) == (1 if decided == "one" else int(decided))
            and too == (words[there] if there in words else int(there))
            and sum(pair.elsewhere is None for pair in here) == int(untold or 0)
        )


SENTENCES: dict[str, Callable[[Facts, re.Match[str]], bool]] = {
    r"(\w+) has the highest mean top-1, [\d.]+ %, and is decidedly ahead of every other row\.": lambda facts, said: (
        facts.leads(said[1]) and all(facts.ahead(said[1], other) for other in facts.names if other != said[1])
    ),
    r"(\w+) has the highest mean top-1, [\d.]+ %, but is not decidedly ahead of any other row\.": lambda facts, said: (
        facts.leads(said[1]) and not any(facts.ahead(said[1], other) for other in facts.names)
    ),
    r"(\w+) has the highest mean top-1, [\d.]+ %, but is not decidedly ahead of (.*)\.": lambda facts, said: (
        facts.leads(said[1])
        and facts.are(said[2], [o for o in facts.names if o != said[1] and not facts.ahead(said[1], o)])
    ),
    r"(\w+) has the highest mean top-1, [\d.]+ %, but (.*) (?:is|are) decidedly ahead of it, by .*\.": (
        lambda facts, said: (
            facts.leads(said[1]) and facts.are(said[2], [o for o in facts.names if facts.ahead(o, said[1])])
        )
    ),
    r"(\w+) is equivalent to base within 0\.5 points.*\.": lambda facts, said: facts.verdicts([said[1]], "equivalent"),
    r"(\w+) is (better|worse) than base by ([\d.]+) points(, though by less than 0\.5)?.*\.": lambda facts, said: (
        facts.verdicts([said[1]], said[2])
        and f"{abs(facts.to_base[said[1]].estimate or 0):.2f}" == said[3]
        and bool(said[4]) == facts.to_base[said[1]].equivalent
    ),
    r"(.*) are equivalent to base within 0\.5 points\.": lambda facts, said: facts.together(said[1], "equivalent"),
    r"(.*) are (better|worse) than base, by [\d.]+ to [\d.]+ points\.": lambda facts, said: (
        facts.together(said[1], said[2])
    ),
    r"Whether any other row differs from base is undecided.*\.": lambda facts, said: (
        facts.verdicts([name for name in facts.names if name != "base"], "undecided")
    ),
    r"Whether (.*) differs? from base is undecided(?:; .*)?\.": lambda facts, said: (
        facts.together(said[1], "undecided")
    ),
    r"Steps? (.*) (makes? it better)\.": lambda facts, said: facts.steps(said[1], "better"),
    r"Steps? (.*) (makes? it worse)\.": lambda facts, said: facts.steps(said[1], "worse"),
    r"Steps? (.*) changes? it by less than 0\.5 points(?: each)?\.": (
        lambda facts, said: facts.steps(said[1], "equivalent")
    ),
    r"Steps? (.*) (?:is|are) undecided\.": lambda facts, said: facts.steps(said[1], "undecided"),
    r"Steps? (.*) ha(?:s|ve) too few seeds to be decided\.": lambda facts, said: facts.steps(said[1], "too few seeds"),
    r"Too few seeds to compare (.*) with base\.": lambda facts, said: facts.together(said[1], "too few seeds"),
    r"No two rows are decided on this test set: other seeds of the same training may order them otherwise\.": (
        lambda facts, said: not any(pair.different or pair.equivalent for pair in facts.pairs)
    ),
    r"What is decided is about this test set, and holds for other seeds of the same training; it does not say how "
    r"the rows compare on other images\.": (
        lambda facts, said: (
            any(pair.different or pair.equivalent for pair in facts.pairs)
            and not any(pair.different and pair.elsewhere for pair in facts.pairs)
        )
    ),
    r"What is decided is about .*; the one difference that is decided here would (not be|be decided) on other "
    r"images.*\.": (
        lambda facts, said: facts.elsewhere("one", "none" if said[1] == "not be" else "all", None)
    ),
    r"What is decided is about .*; of the (\d+) differences that are decided here (none|all|\d+) would be .*, too"
    r"(?:; of (\d+) that is not known)?\.": lambda facts, said: facts.elsewhere(said[1], said[2], said[3]),
}  # fmt: skip
"""Every sentence that an answer may hold, and when it is true of the decisions."""


def at_random(measured: StudyTable, rng: np.random.Generator) -> StudyTable:
    """`measured` with decisions on all pairs that are drawn, consistent with nothing but themselves."""
    names = [row.name for row in measured.rows if row.name == "base" or rng.random() < 0.8]
    pairs = []
    likely = rng.dirichlet([0.4] * 5)
    for a, b in pairs_of(names, "base"):
        kind = rng.choice(["different", "both", "equivalent", "open", "few"], p=likely)
        different, equivalent = kind in ("different", "both"), kind in ("both", "equivalent")
        there = Interval(-1.0, 1.0, 0.1, bool(rng.random() < 0.5)) if rng.random() < 0.7 else None
        few = {"standard_error": None, "runs": (1, 1)} if kind == "few" else {}
        pair = replace(difference(a, float(rng.normal())), b=b, different=different, equivalent=equivalent)
        pairs.append(replace(pair, elsewhere=there, **few))  # type: ignore[arg-type]
    comparison = Comparison("base", tuple(pairs), ranks(names, pairs), 0.5)
    rows = tuple(
        replace(row, to_baseline=comparison.to_baseline(row.name), rank=comparison.ranks[row.name])
        for row in measured.rows
        if row.name in names
    )
    study = replace(measured.study, steps=STEPS)
    return replace(measured, study=study, rows=rows, panels={rows[0].panel: comparison})


def test_no_sentence_says_what_no_pair_does(measured: StudyTable) -> None:
    """Of random decisions each sentence is one of those known here, and true; and each kind of sentence was met."""
    rng, met = np.random.default_rng(0), set()
    for _ in range(600):
        table = at_random(measured, rng)
        if len(table.rows) < 2:
            continue
        facts = Facts(table)
        for statement in statements(table):
            kind, said = next(
                ((kind, said) for kind in SENTENCES if (said := re.fullmatch(kind, statement.text))), (None, None)
            )
            assert kind is not None and said is not None, statement.text
            assert SENTENCES[kind](facts, said), (statement.text, facts.pairs)
            met.add(kind)
    assert met == SENTENCES.keys()


def test_a_row_that_is_behind_another_need_not_be_behind_the_first(measured: StudyTable) -> None:
    """b is decidedly behind a, and a behind base; between base and b nothing is decided. All have rank 2 or more but
    base, which is not "ahead of every other row" for that."""
    pairs = (
        difference("a", -1.0, different=True), difference("b", -1.1),
        replace(difference("b", -0.1, different=True), b="a"),
    )  # fmt: skip
    table = decided(measured, *pairs[:2])
    table = replace(table, panels={panel: replace(one, pairs=pairs) for panel, one in table.panels.items()})
    assert table.measured[0].name == "base"
    assert statements(table)[0].text.endswith(" %, but is not decidedly ahead of b.")
