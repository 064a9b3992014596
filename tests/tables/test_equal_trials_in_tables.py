"""What trials say of rows beside one another: which are held against each other, and which are not."""

from __future__ import annotations

import pytest

from levelfield.tables.best_of_trials import comparable, verdicts_in_words
from levelfield.tables.sweep import LR, Sweep, Trial


def sweep(row: str, trials: int, better: float = 0.0) -> Sweep:
    points = tuple(Trial({LR: 0.001 * (number + 1)}, 50.0 + 3 * number + better) for number in range(trials))
    return Sweep((row,), points, "3 epochs each", "halton", {LR: {"log": [0.0003, 0.03]}})


@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_row_with_other_trials_leaves_the_others_comparable(place: int) -> None:
    found = [sweep("a", 5), sweep("b", 5, 10.0)]
    found.insert(place, sweep("grown", 10))
    assert [one.rows[0] for one in comparable(found)] == ["a", "b"]
    said = verdicts_in_words(found)
    assert said[0].startswith("b beats a if both may try 1")
    assert "Not compared at equal trials, as theirs were other ones, pruned or failed: grown." in said


def test_rows_of_which_no_two_tried_the_same_are_not_compared() -> None:
    assert verdicts_in_words([sweep("a", 5), sweep("b", 10)]) == []
