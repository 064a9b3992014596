"""How a study tunes its rows: one space for all, so many trials each, drawn alike, and by what rule trials are pruned.

AlgoPerf's rule (Dahl et al., arXiv 2306.07179): k quasi-random trials for every row, of one declared space. The trials
are points of the unit cube, the same for all rows; a space says what each coordinate means for a key of a row's recipe.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import Field, FiniteFloat, NonNegativeInt, PositiveFloat, PositiveInt, field_validator, model_validator

from levelfield.errors import UserError
from levelfield.spec import RunSpec, Value
from levelfield.spec.overrides import set_path
from levelfield.spec.varied_keys import strange

Sampler = Literal["halton", "sobol", "tpe"]
Setting = dict[str, Any]
"""Dotted path of a run's key -> value."""
TRIALS: Final = 5
LR: Final = "recipe.optimizer.lr"
NOT_TUNED: Final = ("recipe.name", "recipe.description", "recipe.validation", "recipe.selection")
"""Keys of a recipe that are no knobs: prose, and what trials are judged by."""
DIGITS: Final = 4
"""Significant digits of a drawn value, so that it can be written down."""


class Axis(Value):
    """What a key may be: exactly one of `log`, `linear`, `times`, `choice`."""

    log: tuple[PositiveFloat, PositiveFloat] | None = None
    """From the first to the second, evenly by their logarithms."""
    linear: tuple[FiniteFloat, FiniteFloat] | None = None
    """From the first to the second, evenly."""
    times: tuple[PositiveFloat, PositiveFloat] | None = None
    """The row's own value times a factor from the first to the second, evenly by their logarithms."""
    choice: tuple[Any, ...] | None = None
    """One of these values."""

    @model_validator(mode="after")
    def _one_kind(self) -> Axis:
        given = [kind for kind in ("log", "linear", "times", "choice") if getattr(self, kind) is not None]
        if len(given) != 1:
            raise ValueError("give exactly one of log, linear, times, choice: {log: [0.0003, 0.03]}")
        if given[0] == "choice":
            if len(self.choice or ()) < 2:
                raise ValueError("choice needs two values or more")
            return self
        low, high = self.bounds
        if low >= high:
            raise ValueError(f"{given[0]}: the first value must be below the second")
        return self

    @property
    def bounds(self) -> tuple[float, float]:
        """The ends of an axis of numbers."""
        found = self.log or self.linear or self.times
        assert found is not None
        return found

    def value(self, unit: float, own: Any) -> Any:
        """What coordinate `unit` in [0, 1) stands for, for a row whose own value is `own`."""
        if self.choice is not None:
            return self.choice[min(int(unit * len(self.choice)), len(self.choice) - 1)]
        low, high = self.bounds
        if self.linear is not None:
            return _rounded(low + unit * (high - low))
        factor = math.exp(math.log(low) + unit * (math.log(high) - math.log(low)))
        return _rounded(factor * (float(own) if self.times is not None else 1.0))


class Tuning(Value):
    """A search that every row of a study gets alike, judged on held-out training images only."""

    trials: PositiveInt = TRIALS
    """Trials of every row."""
    space: Annotated[dict[str, Axis], Field(min_length=1)]
    """Keys of the recipe, and what each may be: log, linear, times or choice."""
    sampler: Sampler = "halton"
    """How trials are drawn: a scrambled Halton or Sobol sequence, alike for all rows; or tpe (needs Optuna), which
    after a first half drawn alike learns from what the row's trials showed."""
    seed: NonNegativeInt = 0
    """Seed of the draw."""
    share: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    """Part of the row's length that a trial has, rounded up."""
    validation: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.1
    """Share of the training images that trials hold out, to be judged by."""
    rungs: tuple[PositiveInt, ...] = ()
    """Epochs after which a trial goes on only if it is among the best so far (successive halving). None: all go on."""
    reduction: Annotated[int, Field(ge=2)] = 3
    """At a rung, one trial in so many goes on."""

    @field_validator("rungs")
    @classmethod
    def _ascending(cls, rungs: tuple[int, ...]) -> tuple[int, ...]:
        if list(rungs) != sorted(set(rungs)):
            raise ValueError("rungs must ascend: [1, 3, 9]")
        return rungs

    @field_validator("validation")
    @classmethod
    def _held_out(cls, share: float) -> float:
        if share == 0:
            raise ValueError("trials are judged on held-out images, never on test; give a share above 0, as in 0.1")
        return share

    @field_validator("space")
    @classmethod
    def _keys_of_a_recipe(cls, space: dict[str, Axis]) -> dict[str, Axis]:
        for key in space:
            if not key.startswith("recipe.") or key in NOT_TUNED:
                raise ValueError(f"{key!r} cannot be tuned; name keys of the recipe, as recipe.optimizer.lr")
            if (why := strange(key)) is not None:
                raise ValueError(why)
        return space

    @property
    def alike(self) -> int:
        """How many trials are drawn alike for all rows; those after them follow from what the row's own have shown."""
        return (self.trials + 1) // 2 if self.sampler == "tpe" else self.trials

    def units(self) -> list[tuple[float, ...]]:
        """The trials that are drawn alike, as points of the unit cube."""
        from levelfield.statistics.quasi_random import quasi_random  # with scipy, which reading a study does without

        return quasi_random("sobol" if self.sampler == "sobol" else "halton", self.alike, len(self.space), self.seed)

    def setting(self, units: tuple[float, ...], spec: RunSpec) -> Setting:
        """What a point of the cube stands for, for a row whose run is `spec`. Raises UserError where a factor is to
        change what is no number above zero."""
        values = spec.model_dump(mode="json")
        setting = {}
        for unit, (key, axis) in zip(units, self.space.items(), strict=True):
            own = _at(values, key)
            if axis.times is not None and (not isinstance(own, (int, float)) or own <= 0):
                raise UserError(
                    f"tuning: {key} of {spec.model.name} is {own!r}, of which no factor makes another value\n"
                    "give the axis as log or linear in place of times"
                )
            setting[key] = axis.value(unit, own)
        return setting


NONE_DECLARED: Final = Tuning(space={LR: Axis(times=(0.1, 10.0))}, share=0.25)
"""The search of a study that declares none: the learning rate alone, at a quarter of the study's length."""


def with_setting(spec: RunSpec, setting: Mapping[str, Any], where: str) -> RunSpec:
    """`spec` with other values of the keys in `setting`. Raises UserError for those that cannot be."""
    values = spec.model_dump(mode="json")
    for key, value in setting.items():
        set_path(values, key, value)
    return RunSpec.parse(values, where)


def _at(values: Any, path: str) -> Any:
    """The value at a dotted path; None where there is none."""
    for key in path.split("."):
        if isinstance(values, list):
            values = values[int(key)] if key.isdigit() and int(key) < len(values) else None
        else:
            values = values.get(key) if isinstance(values, Mapping) else None
    return values


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
