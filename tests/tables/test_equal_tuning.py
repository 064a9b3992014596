"""The audit of a search that a study declares for all rows: every way in which it may be unfair, planted."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from levelfield.runs import RunFolder
from levelfield.tables import Row, StudyRows, build_table
from levelfield.tables.audit.findings import Finding
from levelfield.tables.sweeps import SWEEPS
from synthetic_runs import spec_of, write_run

LR = "recipe.optimizer.lr"
RATES = (0.001, 0.01, 0.003)
SCORES = (70.0, 75.0, 80.0)
DECLARED: dict[str, Any] = {"trials": 3, "sampler": "halton", "space": {LR: {"log": [0.0005, 0.05]}}, "rungs": []}
ROWS = ("a", "b", "c")


def trial(
    folder: Path, row: str, number: int, lr: float, score: float, test: float = 50.0, epochs: int = 3,
    ended: bool = True, **changes: Any,
) -> None:  # fmt: skip
    """A trial's run folder, with its validation after each epoch; `ended`: False for one that was stopped."""
    changes = {"recipe__optimizer": {"lr": lr}, "budget": {"epochs": 3}} | changes
    spec = spec_of("resnet_mini", changes.pop("seed", 1000), **changes)
    place = folder / "sweep" / f"{row}-trial{number}" / f"seed{spec.seed}-0000000{number}"
    write_run(place, spec, images=20, top1=test, epochs_done=epochs)
    lines = [{"kind": "epoch", "epoch": epoch, "val_top1": score - epochs + epoch} for epoch in range(1, epochs + 1)]
    (place / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    if not ended:
        (place / "result.json").unlink()


def searched(folder: Path, *rows: str) -> None:
    """Three trials of each row alike, the last of them the best, in the middle of what was tried."""
    for row in rows:
        for number, (lr, score) in enumerate(zip(RATES, SCORES, strict=True)):
            trial(folder, row, number, lr, score)


def compared(folder: Path, lr: Mapping[str, float] = {}, **declared: Any) -> list[Row]:
    """Rows of two seeds each, at the best rate that was found unless `lr` has another."""
    rows = []
    for row in ROWS:
        runs = []
        for seed in (0, 1):
            spec = spec_of("resnet_mini", seed, recipe__optimizer={"lr": lr.get(row, 0.003)})
            runs.append(write_run(folder / row / f"seed{seed}", spec, images=20))
        rows.append(Row(row, runs=tuple(runs), facts={"tuning": DECLARED | declared}))
    return rows


def found(folder: Path, rows: list[Row]) -> list[Finding]:
    table = build_table(StudyRows("tuned", tuple(rows), varies=("model.name", LR), path=folder))
    return [finding for finding in table.audit.findings if finding.check == "tuning"]


def test_equal_searches_whose_best_is_in_use_pass(tmp_path: Path) -> None:
    searched(tmp_path, *ROWS)
    (only,) = found(tmp_path, compared(tmp_path))
    assert (only.severity, only.rows) == ("passed", ROWS)
    assert "3 trials of 3 epochs for each of a, b and c" in only.text


Plant = Callable[[Path], list[Row]]


def untuned(folder: Path) -> list[Row]:
    shutil.rmtree(folder / "sweep")
    searched(folder, "a", "b")
    return compared(folder)


def more_trials(folder: Path) -> list[Row]:
    trial(folder, "b", 3, 0.02, 60.0)
    return compared(folder)


def longer_trials(folder: Path) -> list[Row]:
    for number, (lr, score) in enumerate(zip(RATES, SCORES, strict=True)):
        shutil.rmtree(folder / "sweep" / f"b-trial{number}")
        trial(folder, "b", number, lr, score, epochs=6, budget={"epochs": 6})
    return compared(folder)


def wider_space(folder: Path) -> list[Row]:
    shutil.rmtree(folder / "sweep" / "c-trial0")
    trial(folder, "c", 0, 0.0001, 70.0)
    return compared(folder)


def another_draw(folder: Path) -> list[Row]:
    """The same ends, other points between them."""
    shutil.rmtree(folder / "sweep" / "c-trial2")
    trial(folder, "c", 2, 0.004, 80.0)
    return compared(folder, {"c": 0.004})


def held_out_nothing(folder: Path) -> list[Row]:
    shutil.rmtree(folder / "sweep" / "b-trial1")
    trial(folder, "b", 1, 0.01, 75.0, data__validation=0.0)
    return compared(folder)


def held_out_more(folder: Path) -> list[Row]:
    for number, (lr, score) in enumerate(zip(RATES, SCORES, strict=True)):
        shutil.rmtree(folder / "sweep" / f"b-trial{number}")
        trial(folder, "b", number, lr, score, data__validation=0.3)
    return compared(folder)


def chosen_on_test(folder: Path) -> list[Row]:
    shutil.rmtree(folder / "sweep" / "b-trial0")
    trial(folder, "b", 0, 0.001, 70.0, test=60.0)
    return compared(folder, {"b": 0.001})


def not_the_best(folder: Path) -> list[Row]:
    return compared(folder, {"a": 0.07})


def seed_of_the_comparison(folder: Path) -> list[Row]:
    for number, (lr, score) in enumerate(zip(RATES, SCORES, strict=True)):
        shutil.rmtree(folder / "sweep" / f"a-trial{number}")
        trial(folder, "a", number, lr, score, seed=1)
    return compared(folder)


def spared_from_pruning(folder: Path) -> list[Row]:
    """Trial 1 of each row shows less than trial 0 after the first epoch: it is to be stopped there."""
    for row in ROWS:
        for number, score in enumerate((75.0, 71.0, 80.0)):
            shutil.rmtree(folder / "sweep" / f"{row}-trial{number}")
            pruned = number == 1 and row != "b"
            trial(folder, row, number, RATES[number], score - 2 * pruned, epochs=1 if pruned else 3, ended=not pruned)
    return compared(folder, rungs=[1], reduction=2)


def stopped_without_reason(folder: Path) -> list[Row]:
    shutil.rmtree(folder / "sweep" / "b-trial1")
    trial(folder, "b", 1, 0.01, 75.0, epochs=1, ended=False)
    return compared(folder)


@pytest.mark.parametrize(
    ("plant", "said", "rows"),
    [
        (untuned, "Untuned beside tuned rows: c use the recipe's own setting", ("c",)),
        (more_trials, "unequal budgets. b: 4 trials of 3 epochs; the other 2: 3 trials of 3 epochs", ("b",)),
        (longer_trials, "unequal budgets. b: 3 trials of 6 epochs", ("b",)),
        (wider_space, "unequal spaces. c: learning rate 0.0001 to 0.01; the other 2: learning rate 0.001 to", ("c",)),
        (another_draw, "unequal spaces. c: learning rate 0.001 to 0.01 (draw 2); the other 2", ("c",)),
        (held_out_nothing, "Trials of b held out no training images: they can have been judged by test only", ("b",)),
        (held_out_more, "unequal shares of the training images. b: 30 %; the other 2: 10 %", ("b",)),
        (chosen_on_test, "Tuned on the test set: b have the setting that is best on test", ("b",)),
        (not_the_best, "Trials were made, but their best setting is not that of a", ("a",)),
        (seed_of_the_comparison, "The settings of a were chosen on a seed that they are compared by: 1", ("a",)),
        (spared_from_pruning, "Trials of b were let go on against the rule", ("b",)),
        (stopped_without_reason, "Trials of b have not ended, and no rule stopped them: trial 1 after epoch 1", ("b",)),
    ],
)
def test_what_is_planted_is_found(plant: Plant, said: str, rows: tuple[str, ...], tmp_path: Path) -> None:
    searched(tmp_path, *ROWS)
    (unfair,) = [finding for finding in found(tmp_path, plant(tmp_path)) if finding.severity == "unfair"]
    assert said in unfair.text and unfair.rows == rows
    assert not [finding for finding in found(tmp_path, plant(tmp_path)) if finding.severity == "passed"]


def test_the_best_on_the_edge_is_mentioned(tmp_path: Path) -> None:
    searched(tmp_path, "a", "b")
    for number, (lr, score) in enumerate(zip((0.001, 0.003, 0.01), SCORES, strict=True)):
        trial(tmp_path, "c", number, lr, score)
    for row in "ab":
        shutil.rmtree(tmp_path / "sweep" / f"{row}-trial2")
        trial(tmp_path, row, 2, 0.003, 80.0)
    edge = [f for f in found(tmp_path, compared(tmp_path, {"c": 0.01})) if "edge of what was tried" in f.text]
    assert [(f.severity, f.rows) for f in edge] == [("differs", ("c",))]
    assert "c: highest learning rate" in edge[0].text


def test_trials_that_failed_are_mentioned(tmp_path: Path) -> None:
    searched(tmp_path, *ROWS)
    result = next((tmp_path / "sweep" / "b-trial0").glob("*/result.json"))
    result.write_text(json.dumps(json.loads(result.read_text()) | {"status": "failed: out of memory"}))
    mentioned = [one for one in found(tmp_path, compared(tmp_path)) if one.severity == "differs"]
    assert [(one.rows, "b: 1 of 3" in one.text) for one in mentioned] == [(("b",), True)]


def test_trials_of_another_setting_than_the_rows_are_mentioned(tmp_path: Path) -> None:
    for row in ROWS:
        for number, (lr, score) in enumerate(zip(RATES, SCORES, strict=True)):
            trial(tmp_path, row, number, lr, score, recipe__batch_size=32, data__train_limit=500)
    passed, other = sorted(found(tmp_path, compared(tmp_path)), key=lambda one: one.severity, reverse=True)
    assert (passed.severity, other.severity, other.rows) == ("passed", "differs", ROWS)
    assert "other settings than the rows have: data.train_limit and recipe.batch_size" in other.text


def test_factors_of_each_rows_own_rate_are_one_space(tmp_path: Path) -> None:
    for row, own in (("a", 1.0), ("b", 1.0), ("c", 20.0)):
        for number, (lr, score) in enumerate(zip(RATES, SCORES, strict=True)):
            trial(tmp_path, row, number, lr * own, score)
    rows = compared(tmp_path, {"c": 0.06}, space={LR: {"times": [0.1, 10]}})
    assert [finding.severity for finding in found(tmp_path, rows)] == ["passed"]
    absolute = compared(tmp_path, {"c": 0.06})
    assert "unequal spaces. c: learning rate 0.02 to 0.2" in found(tmp_path, absolute)[0].text


def recorded(folder: Path, last: range, before: range) -> None:
    """A record in which the trials `before` of every row were another search's."""

    def points(row: str, numbers: range) -> list[dict[str, Any]]:
        of_row = (path for number in numbers for path in (folder / "sweep").glob(f"{row}-trial{number}/*"))
        return [{"setting": {}, "val_top1": 1.0, "run": "/".join(path.parts[-2:])} for path in of_row]

    kept = [{"rows": [row], "setting": "", "points": points(row, last), "earlier": points(row, before)} for row in ROWS]
    (folder / SWEEPS).write_text(json.dumps(kept))


def test_a_second_search_is_judged_by_itself_and_paid_for_with_the_first(tmp_path: Path) -> None:
    """The first one found better, of longer trials: what it found is no longer what rows are to have."""
    for row in ROWS:
        for number, (lr, score) in enumerate(zip(RATES, SCORES, strict=True)):
            trial(tmp_path, row, number, lr, score)
            trial(tmp_path, row, 10 + number, 2 * lr, 90.0 + number, epochs=6, budget={"epochs": 6})
    recorded(tmp_path, range(3), range(10, 13))
    (only,) = found(tmp_path, compared(tmp_path))
    assert only.severity == "passed" and "3 trials of 3 epochs and 3 trials of 6 epochs for each of a, b" in only.text
    shutil.rmtree(tmp_path / "sweep" / "b-trial11")
    recorded(tmp_path, range(3), range(10, 13))
    (unequal,) = found(tmp_path, compared(tmp_path))
    assert unequal.severity == "unfair" and "b: 3 trials of 3 epochs and 2 trials of 6 epochs" in unequal.text


def test_a_further_search_that_has_not_ended_is_mentioned_and_nothing_of_it_counts(tmp_path: Path) -> None:
    searched(tmp_path, *ROWS)
    recorded(tmp_path, range(3), range(0))
    trial(tmp_path, "b", 3, 0.02, 99.0)
    trial(tmp_path, "b", 4, 0.03, 60.0, epochs=1, ended=False)
    passed, begun = sorted(found(tmp_path, compared(tmp_path)), key=lambda one: one.severity, reverse=True)
    assert (passed.severity, begun.severity, begun.rows) == ("passed", "differs", ("b",))
    assert begun.text == "A further search was begun and has not ended, so that nothing of it is used: b (2 trials)."


def test_trials_whose_runs_are_not_kept_are_not_checked(tmp_path: Path) -> None:
    rows = compared(tmp_path)
    (none,) = found(tmp_path, rows)
    assert none.severity == "differs" and "a search for settings that was not made" in none.text
    kept = [{"rows": [row], "setting": "", "points": []} for row in ROWS]
    (tmp_path / SWEEPS).write_text(json.dumps(kept))
    (gone,) = found(tmp_path, rows)
    assert gone.severity == "unchecked" and "the runs of their trials are not here" in gone.text
    assert RunFolder(tmp_path / "a" / "seed0").finished
