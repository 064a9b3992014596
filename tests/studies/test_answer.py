"""The answer in words says of each step what the table's own comparison says."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from levelfield.studies.declared.study import Step
from levelfield.studies.results.write_outputs import report_study
from levelfield.study import Study
from levelfield.tables import read_study
from levelfield.tables.answer_to_question import answer
from levelfield.tables.make_table import build_table
from levelfield.tables.number_format import signed

STEP = Step(name="attention for convolution", before="resnet_nano", after="vit_mini")


def test_the_answer_quotes_the_tables_own_differences(copied: tuple[Study, Path]) -> None:
    study, out = copied
    table = report_study(study.model_copy(update={"steps": (STEP,)}), out)
    pair = next(iter(table.panels.values())).between("vit_mini", "resnet_nano")
    assert pair is not None and pair.estimate is not None
    means = {row.name: row.top1.value for row in table.rows if row.top1}
    assert pair.estimate == pytest.approx(means["vit_mini"] - means["resnet_nano"])
    text = answer(table)
    assert f"“attention for convolution” ({signed(pair.estimate)}) " in text
    assert ("makes it" in text) == pair.different
    assert table.study.answer == text == build_table(read_study(out)).study.answer


def test_the_answer_is_of_the_runs_that_are_there_now(copied: tuple[Study, Path]) -> None:
    study, out = copied
    report_study(study.model_copy(update={"steps": (STEP,)}), out)
    for run in (out / "vit_mini").glob("seed1-*"):
        shutil.rmtree(run)
    table = build_table(read_study(out))
    pair = next(iter(table.panels.values())).between("vit_mini", "resnet_nano")
    assert pair is not None and sorted(pair.runs) == [1, 2]
    assert f"({signed(pair.estimate)})" in table.study.answer


def test_no_answer_before_both_rows_are_measured(tmp_path: Path, copied: tuple[Study, Path]) -> None:
    study, _ = copied
    table = report_study(study.model_copy(update={"steps": (STEP,)}), tmp_path / "nothing")
    assert answer(table) == table.study.answer == ""


def test_the_roadmaps_question_is_asked_step_by_step() -> None:
    study = Study.load("convnext-roadmap-fgvc")
    pairs = {(step.before, step.after) for step in study.steps}
    assert {(f"cub-roadmap_{k}", f"cub-roadmap_{k + 1}") for k in range(1, 5)} <= pairs
