"""The answer's sentences are the table's decisions: each row in one of them, with its gap, its costs and its limits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from levelfield.statistics import Comparison, Difference, Interval, Rank
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
    assert said.startswith("All this is about this test set")
    assert "of the 2 differences that are decided here 1 would be decided on other images" in said
    nothing = statements(decided(measured, difference("a", 0.1)))[-1].text
    assert nothing.endswith("it does not say how the rows compare on other images.")


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
