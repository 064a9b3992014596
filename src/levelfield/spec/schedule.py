"""The learning rate over a run, as a recipe's `schedule` states it: one class a kind, told apart by its key `name`.

All lengths are in epochs or steps of the run, all learning rates are those of the full global batch.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from levelfield.spec.values import Probability, Value


class Warmup(Value):
    """A linear warm-up, its length as exactly one of `steps`, `epochs` or `ratio` of the run; none given: no warm-up.

    `on_top` adds it to the stated length of its phase instead of taking it from there: all epochs that the recipe
    states (milestones, later hand-overs) then come later by so much.
    """

    steps: NonNegativeInt | None = None
    """Length of the warm-up. [steps]"""
    epochs: NonNegativeFloat | None = None
    """Length of the warm-up. [epochs]"""
    ratio: Probability | None = None
    """Length of the warm-up, as a share of the run."""
    start_factor: NonNegativeFloat = 0.0
    """Share of lr at the first step."""
    on_top: bool = False
    """Add the warm-up to the phase's length instead of taking it from there."""

    @model_validator(mode="after")
    def _one_length(self) -> Warmup:
        if sum(length is not None for length in (self.steps, self.epochs, self.ratio)) > 1:
            raise ValueError("warm-up has several lengths; give one of steps, epochs, ratio")
        return self


class _ToFinalRate(Value):
    """From lr to `final_lr`, from the warm-up's end to the phase's."""

    name: str
    """The kind of schedule."""
    final_lr: NonNegativeFloat = 0.0
    """Learning rate at the phase's end."""
    warmup: Warmup = Warmup()
    """A linear warm-up."""


class Cosine(_ToFinalRate):
    """Half a cosine (Loshchilov and Hutter, arXiv 1608.03983)."""

    name: Literal["cosine"] = "cosine"
    """The kind of schedule."""


class Linear(_ToFinalRate):
    """A straight line."""

    name: Literal["linear"] = "linear"
    """The kind of schedule."""


class OneCycle(Value):
    """torch's OneCycleLR: lr / div_factor up to lr at `pct_start`, then down to lr / div_factor / final_div_factor."""

    name: Literal["onecycle"] = "onecycle"
    """The kind of schedule."""
    pct_start: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.3
    """Share of the phase in which the rate rises."""
    div_factor: PositiveFloat = 25.0
    """lr over the rate at the start."""
    final_div_factor: PositiveFloat = 1e4
    """The rate at the start over that at the end."""
    anneal: Literal["cos", "linear"] = "cos"
    """The form of both slopes."""


class Step(Value):
    """lr times `gamma` after every `every_epochs` epochs of the phase, counted from its start, warm-up included."""

    name: Literal["step"] = "step"
    """The kind of schedule."""
    every_epochs: PositiveInt = 30
    """How often the rate drops. [epochs]"""
    gamma: PositiveFloat = 0.1
    """What it is multiplied with."""
    warmup: Warmup = Warmup()
    """A linear warm-up."""


class MultiStep(Value):
    """lr times `gamma` at each of `milestones` (epochs of the phase, counted from its start, warm-up included)."""

    name: Literal["multistep"] = "multistep"
    """The kind of schedule."""
    milestones: tuple[PositiveInt, ...] = (30, 60, 90)
    """Where the rate drops, from the phase's start, warm-up included. [epochs]"""
    gamma: PositiveFloat = 0.1
    """What it is multiplied with."""
    warmup: Warmup = Warmup()
    """A linear warm-up."""


class Constant(Value):
    """lr throughout."""

    name: Literal["constant"] = "constant"
    """The kind of schedule."""
    warmup: Warmup = Warmup()
    """A linear warm-up."""


class CosineAnnealing(Value):
    """torch's CosineAnnealingLR from the warm-up's end on: a cosine of half period `t_max_epochs`, then up again."""

    name: Literal["cosine_annealing"] = "cosine_annealing"
    """The kind of schedule."""
    t_max_epochs: PositiveFloat = 30.0
    """Half a period of the cosine. [epochs]"""
    final_lr: NonNegativeFloat = 0.0
    """Learning rate at its lowest."""
    warmup: Warmup = Warmup()
    """A linear warm-up."""


Schedule = Annotated[
    Cosine | OneCycle | Step | MultiStep | Linear | Constant | CosineAnnealing, Field(discriminator="name")
]
