"""Equal science gives equal numbers: the recorded losses of every shipped recipe, for this SCIENCE_VERSION."""

from __future__ import annotations

import json

import pytest
from golden import RECORD, STEPS, first_losses

from levelfield.spec import SCIENCE_VERSION, list_recipes

GOLDEN = json.loads(RECORD.read_text())


def test_every_shipped_recipe_is_recorded_for_this_version() -> None:
    assert GOLDEN["science_version"] == SCIENCE_VERSION
    assert sorted(GOLDEN["losses"]) == list_recipes()


@pytest.mark.parametrize("name", list_recipes())
def test_losses_are_the_recorded_ones(name: str) -> None:
    """The first steps closely, the rest loosely: processors round differently, and Adam and BatchNorm magnify it."""
    losses, golden = first_losses(name), GOLDEN["losses"][name]
    assert len(golden) == STEPS
    assert losses[:5] == pytest.approx(golden[:5], rel=2e-3)
    assert losses == pytest.approx(golden, rel=3e-2)
