"""A study declares what it varies by keys of a run; every key of a run can be named, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from levelfield.spec import RunSpec, covers
from levelfield.spec.values import models_in
from levelfield.spec.varied_keys import strange


def keys(model: type[BaseModel], above: str = "") -> list[str]:
    found = []
    for name, field in model.model_fields.items():
        found.append(above + name)
        place = f"{above}{name}.0." if "tuple" in str(field.annotation) else f"{above}{name}."
        found += [key for inner in models_in(field.annotation) for key in keys(inner, place)]
    return found


def test_every_key_of_a_run_can_be_declared() -> None:
    every = keys(RunSpec)
    assert {"recipe.optimizer.betas", "recipe.phases.0.at_epoch", "recipe.schedule.milestones"} <= set(every)
    assert [(key, why) for key in every if (why := strange(key)) is not None] == []
    assert [(key, why) for key in every if (why := strange(f"pretraining.{key}")) is not None] == []


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("recipe.optimiser", "did you mean 'recipe.optimizer'?"),
        ("recipe.batch_size.2", "goes below a single value"),
        ("nothing.of_this", "is no key of a run"),
        ("pretraining.recipe.lr", "is no key of a run"),
        ("environment.threads", "is no key of a run"),
    ],
)
def test_what_is_no_key_is_refused(key: str, says: str) -> None:
    assert says in str(strange(key))


def test_a_key_of_options_may_be_anything() -> None:
    for key in ("model.options.depth", "recipe.optimizer.options.ns_steps", "recipe.optimizer.lr_factors.head"):
        assert strange(key) is None


def test_a_declared_key_covers_what_lies_below_it_and_no_more() -> None:
    declared: tuple[Any, ...] = ("recipe.optimizer", "model.name")
    assert covers(declared, "recipe.optimizer") and covers(declared, "recipe.optimizer.lr")
    assert not covers(declared, "recipe.optimizer_of_mine") and not covers(declared, "recipe")
