"""The answer in words says of each step what the table's own comparison says."""

from __future__ import annotations

from pathlib import Path

import pytest

from levelfield.report.numbers import signed
from levelfield.studies.answer import answer, with_answer
from levelfield.studies.output import report_study
from levelfield.studies.study import Step, Study


def test_the_answer_quotes_the_tables_own_differences(copied: tuple[Study, Path]) -> None:
    study, out = copied
    table = report_study(study, "full", out)
    steps = [Step(name="attention for convolution", before="resnet_nano", after="vit_mini")]
    pair = next(iter(table.panels.values())).between("vit_mini", "resnet_nano")
    assert pair is not None and pair.estimate is not None
    means = {row.name: row.top1.value for row in table.rows if row.top1}
    assert pair.estimate == pytest.approx(means["vit_mini"] - means["resnet_nano"])
    text = answer(table, steps)
    assert f"attention for convolution ({signed(pair.estimate)}, " in text
    assert ("beyond doubt" in text) == pair.different
    assert with_answer(table, steps).study.answer == text


def test_no_answer_before_both_rows_are_measured(tmp_path: Path, copied: tuple[Study, Path]) -> None:
    study, _ = copied
    table = report_study(study, "full", tmp_path / "nothing")
    steps = [Step(name="step", before="resnet_nano", after="vit_mini")]
    assert answer(table, steps) == ""
    assert with_answer(table, steps) is table


def test_the_roadmaps_question_is_asked_step_by_step() -> None:
    study = Study.load("convnext-roadmap-fgvc")
    pairs = {(step.before, step.after) for step in study.steps}
    assert {(f"cub-roadmap_{k}", f"cub-roadmap_{k + 1}") for k in range(1, 5)} <= pairs
