"""The study of the roadmap's thirteen steps: its rows are the paper's networks, and each alone taken back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from levelfield.models.families.convnext_roadmap import STATIONS, STORY, Switches, after_step
from levelfield.studies.declared.planned_runs import PlannedRow, planned_rows
from levelfield.studies.declared.study import StudySpec


def switches(row: PlannedRow) -> Switches:
    options = {
        key: tuple(value) if key == "depths" else value
        for key, value in row.spec.model.options.items()
        if not key.endswith("_factor")
    }
    return replace(STATIONS[row.spec.model.name][0], **options)


@pytest.mark.parametrize("name", ["roadmap-steps", "roadmap-steps-small"])
def test_every_row_is_the_network_of_its_step(name: str) -> None:
    study = StudySpec.load(name)
    rows = {row.name: switches(row) for row in planned_rows(study, "full")}
    chain, back = study.steps[:13], study.steps[13:]
    assert [step.name for step in chain] == [name for name, _, _ in STORY[1:]]
    assert rows[chain[0].before] == Switches()
    for before, step in zip([chain[0].before, *(step.after for step in chain)], chain, strict=False):
        assert step.before == before and rows[step.after] == after_step(step.name)
    last = after_step("layer scale")
    for step, (taken, change, _) in zip(back, STORY[1:], strict=True):
        (key,) = change
        assert step.name == f"without {taken}" and rows[step.before] == last
        assert rows[step.after] == replace(last, **{key: getattr(Switches(), key)})
    assert len(rows) == 27
