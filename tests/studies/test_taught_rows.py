"""Rows that another row's runs teach, seed by seed: trained after them, found again, merged, and made again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from levelfield.errors import UserError
from levelfield.progress import Progress
from levelfield.runs import RunFolder, find_runs
from levelfield.studies.declared.planned_runs import planned_rows
from levelfield.studies.results.gate_sides import side_of_folder, study_row
from levelfield.studies.results.merge import merge_folders
from levelfield.studies.results.run_folders import find_all
from levelfield.studies.results.write_outputs import report_study
from levelfield.studies.running import time_estimate
from levelfield.studies.running.time_estimate import OVERHEAD_S, estimate
from levelfield.studies.running.until_decided import with_first_stages
from levelfield.study import Study
from levelfield.tables.read_folder import read_study
from levelfield.tables.reproduce import setups
from levelfield.training import step_timing

Write = Callable[..., Path]
ROWS: list[dict[str, Any]] = [
    {"model": "vit_mini", "name": "student", "teacher": "big", "set": {"recipe.distil.temperature": 2.0}},
    {"model": "resnet_nano", "name": "big"},
    {"model": "vit_mini", "name": "alone"},
]


@pytest.fixture
def taught(study_file: Write, tmp_path: Path) -> tuple[Study, Path]:
    """A finished study of a student, its teacher and the student without one."""
    study = Study.load(study_file(models=None, baseline="alone", rows=ROWS, varies=["model.name", "recipe.distil"]))
    study.run(tmp_path / "out", page=False)
    return study, tmp_path / "out"


def test_each_seed_is_taught_by_the_run_of_its_seed(taught: tuple[Study, Path], tmp_path: Path) -> None:
    study, out = taught
    runs = find_runs(out / "student")
    assert len(runs) == 2
    for run in runs:
        spec = run.spec()
        assert spec.recipe.distil is not None and spec.recipe.distil.temperature == 2.0
        assert f"big/seed{spec.seed}-" in spec.recipe.distil.teacher
        assert spec.recipe.distil.teacher_identity == RunFolder(Path(spec.recipe.distil.teacher)).identity
    merge_folders([out], tmp_path / "kept", compact=True)
    merge_folders([out], tmp_path / "kept", compact=True)
    for folder in (out, tmp_path / "kept"):
        assert {one.state for one in find_all(folder, study.plan())} == {"finished"}
    assert not [file for file in (tmp_path / "kept").rglob("*.json") if str(tmp_path) in file.read_text()]
    assert side_of_folder(out / "student").runs  # one training, whatever the seed


def test_they_are_told_apart_in_the_table(taught: tuple[Study, Path]) -> None:
    study, out = taught
    table = report_study(study, out)
    text = "\n".join(f"{one.severity}: {one.text}" for one in table.audit.findings)
    assert "declared: Varied on purpose, as the study's question declares: model.name and recipe.distil" in text
    assert "The runs of student differ in more than the seed" not in text
    setup = setups(table)["student"][0]
    assert "Train the runs of big.json first: each teaches the run of its seed." in setup.notes[0]
    second = next(command for command in setup.commands if "--seed 1" in command)
    assert "--set recipe.distil.teacher=runs/big-seed1" in second and "recipe.distil.teacher_identity=" in second
    (out / "study.json").unlink()
    assert sorted(len(row.runs) for row in read_study(out).rows) == [2, 2, 2]


def test_an_edited_teacher_teaches_anew(study_file: Write, tmp_path: Path) -> None:
    def study(lr: float) -> Study:
        rows = [ROWS[0], {**ROWS[1], "set": {"recipe.optimizer.lr": lr}}]
        return Study.load(study_file(models=None, baseline=None, rows=rows, seeds=1))

    study(0.01).run(tmp_path / "out", page=False)
    states = [one.state for one in find_all(tmp_path / "out", study(0.02).plan())]
    assert states == ["missing", "missing"]
    study(0.02).run(tmp_path / "out", page=False)
    assert len(find_runs(tmp_path / "out" / "student")) == 2


def test_a_student_brings_its_teacher_along(study_file: Write) -> None:
    study = Study.load(study_file(models=None, baseline=None, rows=ROWS))
    assert [row.name for row in planned_rows(study, only=["student"])] == ["student", "big"]
    rows = planned_rows(study)
    assert with_first_stages(rows, {"student": (0, 3)}) == {"student": (0, 3), "big": (0, 3), "alone": ()}
    with pytest.raises(UserError, match="row student is taught by big, which a gate does not train"):
        study_row(f"{study.source}:student", "full", [], [], None)
    for rows_of, said in (
        ([{**ROWS[0], "teacher": "bigg"}, ROWS[1]], r"teacher\).*'bigg'.*did you mean 'big'"),
        ([ROWS[0], {**ROWS[1], "teacher": "student"}], "starts after itself; mend the rows' `after` and `teacher`"),
    ):
        with pytest.raises(UserError, match=said):
            planned_rows(Study.load(study_file(models=None, baseline=None, rows=rows_of)))


def test_the_time_of_a_student_counts_its_teacher(
    study_file: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step_timing, "estimate_seconds", lambda prepared: float(prepared.spec.budget.steps))
    rows = [ROWS[0], {**ROWS[1], "budget": {"steps": 30}}]
    study = Study.load(study_file(models=None, baseline=None, rows=rows, seeds=1))
    found = find_all(tmp_path / "out", study.plan())
    seconds = estimate(found, Progress(shown=False)).per_run_s
    assert seconds == {"big": 30 + OVERHEAD_S, "student": 6 + 6 / time_estimate.BACKWARD + OVERHEAD_S}
