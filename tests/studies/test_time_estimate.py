"""How long a study will take: every row timed as it will run, what cannot be run left out, runs at once counted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from levelfield.errors import UserError
from levelfield.progress import Progress
from levelfield.studies.results.run_folders import find_all
from levelfield.studies.running.time_estimate import OVERHEAD_S, Estimate, estimate
from levelfield.study import Study
from levelfield.training import step_timing
from levelfield.training.prepare_run import Prepared

Write = Callable[..., Path]
ROWS = [
    {"model": "resnet_nano", "name": "second", "after": "first", "set": {"budget.steps": 7}},
    {"model": "resnet_nano", "name": "first", "set": {"budget.steps": 5}},
    {"model": "vit_mini", "name": "other", "set": {"budget.steps": 20}},
]


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int | None, int | None]]:
    """Let a step take a second; steps and threads of what was timed."""
    seen: list[tuple[int | None, int | None]] = []

    def seconds(prepared: Prepared) -> float:
        spec = prepared.spec
        assert spec.model.start_from is None and spec.budget.steps is not None
        seen.append((spec.budget.steps, spec.execution.threads))
        return float(spec.budget.steps)

    monkeypatch.setattr(step_timing, "estimate_seconds", seconds)
    monkeypatch.setattr("levelfield.studies.running.processes.usable_cores", lambda: 6)
    return seen


def estimated(path: Path, out: Path, parallel: int = 1) -> Estimate:
    return estimate(find_all(out, Study.load(path).plan()), Progress(shown=False), parallel)


def test_every_row_is_timed_with_its_share_of_the_cores(
    study_file: Write, tmp_path: Path, timed: list[tuple[int, int | None]]
) -> None:
    path = study_file(models=None, baseline=None, rows=ROWS, seeds=2)
    one = estimated(path, tmp_path / "out")
    assert one.per_run_s == {"second": 7 + OVERHEAD_S, "first": 5 + OVERHEAD_S, "other": 20 + OVERHEAD_S}
    assert one.left_s == 2 * sum(one.per_run_s.values())
    assert sorted(timed) == [(5, None), (7, None), (20, None)]
    timed.clear()
    two = estimated(path, tmp_path / "out", parallel=2)
    assert two.left_s == one.left_s / 2
    assert sorted(timed) == [(5, 3), (7, 3), (20, 3)]


def test_runs_at_once_take_no_less_than_the_longest(
    study_file: Write, tmp_path: Path, timed: list[tuple[int, int | None]]
) -> None:
    path = study_file(models=None, baseline=None, rows=ROWS, seeds=1)
    assert estimated(path, tmp_path / "out", parallel=10).left_s == 20 + OVERHEAD_S


def test_what_cannot_be_run_takes_no_time_and_says_why(
    study_file: Write, tmp_path: Path, timed: list[tuple[int, int | None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = step_timing.estimate_seconds

    def refused(prepared: Prepared) -> float:
        if prepared.spec.budget.steps == 5:
            raise UserError("no such data")
        return whole(prepared)

    monkeypatch.setattr(step_timing, "estimate_seconds", refused)
    found = estimated(study_file(models=None, baseline=None, rows=ROWS, seeds=2), tmp_path / "out")
    assert found.impossible["first"] == "no such data"
    assert found.impossible["second"] == "it starts from the weights of first, which cannot be run"
    assert found.left_s == 2 * (20 + OVERHEAD_S)
