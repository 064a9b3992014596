"""Studies that ship at a size for two cores: their rows are as large as they say; the whole study names them."""

from __future__ import annotations

import pytest

from levelfield.cost import count_parameters
from levelfield.errors import UserError
from levelfield.models import create_model
from levelfield.studies.declared.planned_runs import planned_rows
from levelfield.studies.declared.study import StudySpec
from levelfield.studies.declared.study_file import list_studies

SMALL = [name for name in list_studies() if name.endswith("-small")]


@pytest.mark.parametrize("name", SMALL)
def test_a_small_study_is_named_where_its_size_is_asked_for(name: str) -> None:
    whole = StudySpec.load(name.removesuffix("-small"))
    with pytest.raises(UserError, match=f"has no scale 'small'(.|\n)*name {name}"):
        whole.scale("small")


def test_rows_of_the_outgrid_study_are_of_one_size() -> None:
    sizes = {}
    for row in planned_rows(StudySpec.load("outgrid-cifar100-small"), "full"):
        model = row.spec.model
        sizes[row.name] = count_parameters(create_model(model.name, 100, 32, **model.options)).total
    assert len(sizes) == 11
    whole = sizes["outgrid_nano"]
    for name, params in sizes.items():
        assert params == pytest.approx(600_000, rel=0.04), name
        if name.startswith("outgrid_no"):
            assert params == pytest.approx(whole, rel=0.015), name
