"""A recipe: everything about training that is not the model, the data, the length or the seed.

Optimiser and schedule of the recipe are its first phase; `phases` lists hand-overs. All learning rates are those of the
full global batch. Its keys under `schedule` are in `schedule.py`, those under `augment` and `mix` in `augment.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from levelfield.spec.augment import Augment, Mix
from levelfield.spec.budget import Budget
from levelfield.spec.recipe_files import read_recipe
from levelfield.spec.schedule import Constant, Cosine, Schedule
from levelfield.spec.values import Probability, Value


class Optimizer(Value):
    """An optimiser by name (torch.optim's and timm's, lower case) with its settings; None leaves its own default.

    `options` holds what only one optimiser knows (checked against its signature). `layer_decay` multiplies the learning
    rate by itself once per stage from the head down. `lr_factors` maps a name pattern (fnmatch) to a multiplier of lr.
    """

    name: str = "adamw"
    lr: PositiveFloat = 1e-3
    weight_decay: NonNegativeFloat = 0.0
    momentum: Probability | None = None
    nesterov: bool | None = None
    betas: tuple[Probability, Probability] | None = None
    eps: PositiveFloat | None = None
    layer_decay: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    lr_factors: dict[str, NonNegativeFloat] = {}
    decay_all: bool = False
    options: dict[str, Any] = {}


class Phase(Value):
    """A hand-over: at the start of epoch `at_epoch` (from 0) a new optimiser and a schedule that starts there."""

    at_epoch: PositiveInt
    optimizer: Optimizer
    schedule: Schedule = Constant()


class Regularisation(Value):
    """Label smoothing, stochastic depth, dropout and clipping.

    `smoothing_with_mix: false` drops the smoothing from mixed batches (the published OutGrid run's code does).
    `drop_path` and `dropout` None leave the model's own published setting. `clip_norm` None: no clipping.
    """

    label_smoothing: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    smoothing_with_mix: bool = True
    drop_path: Annotated[float, Field(ge=0.0, lt=1.0)] | None = None
    drop_path_mode: Literal["sample", "batch"] = "sample"
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] | None = None
    clip_norm: PositiveFloat | None = None


class Averaging(Value):
    """Exponential moving average of the weights, BatchNorm buffers included, updated every `every_steps`.

    The decay used at update u is min(decay, (1 + u) / (10 + u)) so that it fits short runs. `evaluate` fixes beforehand
    which weights are the result; both are evaluated.
    """

    name: Literal["none", "ema"] = "none"
    decay: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.999
    every_steps: PositiveInt = 1
    evaluate: Literal["raw", "averaged"] = "averaged"


class Freeze(Value):
    """Parameters whose names match one of `patterns` (fnmatch) stay fixed for the first `epochs` (None: throughout)."""

    patterns: tuple[str, ...] = ()
    epochs: NonNegativeInt | None = None


class Recipe(Value):
    """How to train. `budget` and `validation` are defaults that a run may override."""

    name: str = "unnamed"
    description: str = ""
    optimizer: Optimizer = Optimizer()
    schedule: Schedule = Cosine()
    phases: tuple[Phase, ...] = ()
    batch_size: PositiveInt = 128
    augment: Augment = Augment()
    mix: Mix = Mix()
    regularisation: Regularisation = Regularisation()
    freeze: Freeze = Freeze()
    precision: Literal["auto", "fp32", "bf16", "fp16", "bf16_if_native"] = "auto"
    tf32: bool = False
    batchnorm: Literal["global", "local"] = "global"
    averaging: Averaging = Averaging()
    selection: Literal["last", "best_validation"] = "last"
    validation: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.1

    @classmethod
    def load(cls, name: str) -> Recipe:
        """The shipped recipe `name` (`name+variant` too), or one's own from a .yaml file. Raises UserError."""
        return load_recipe(name).recipe

    @model_validator(mode="after")
    def _consistent(self) -> Recipe:
        starts = [phase.at_epoch for phase in self.phases]
        if starts != sorted(set(starts)):
            raise ValueError(f"phases start at epochs {starts}; let each start after the one before")
        if self.selection == "best_validation" and self.validation == 0:
            raise ValueError(
                "selection best_validation needs validation > 0; set recipe.validation=0.1 or selection=last"
            )
        return self


@dataclass(frozen=True)
class RecipeFile:
    """A recipe as its file states it: the recipe and its stated length (None where it states none)."""

    recipe: Recipe
    budget: Budget | None


def load_recipe(name: str) -> RecipeFile:
    """Read a recipe by name, with variants (`name+variant+variant`), or from a .yaml file.

    Raises UserError for an unknown name or variant, an unreadable file, an unknown key or a bad value.
    """
    values = read_recipe(name)
    budget = values.pop("budget", None)
    length = None if budget is None else Budget.parse(budget, f"recipe {name}: budget")
    return RecipeFile(Recipe.parse(values, f"recipe {name}"), length)
