"""How many steps and epochs a run has, and which phase rules at which step. Pure arithmetic."""

from __future__ import annotations

import math
from dataclasses import dataclass

from levelfield.errors import UserError
from levelfield.spec import Budget, Optimizer, Recipe, Schedule
from levelfield.training.schedules import check_warmup, learning_rate, lies_on_top, warmup_steps


@dataclass(frozen=True)
class PhasePlan:
    """One phase: steps [start, end) of the run under one optimiser and schedule, `warmup` of them at first."""

    optimizer: Optimizer
    schedule: Schedule
    start: int
    end: int
    warmup: int

    def learning_rate(self, update: int, steps_per_epoch: int) -> float:
        """The learning rate of the phase's optimiser step `update` (from 0)."""
        return learning_rate(
            self.schedule, self.optimizer.lr, update, self.end - self.start, steps_per_epoch, self.warmup
        )


@dataclass(frozen=True)
class RunPlan:
    """`steps` in all, of `steps_per_epoch`, in `phases` that follow one another without a gap."""

    steps_per_epoch: int
    steps: int
    phases: tuple[PhasePlan, ...]

    @property
    def epochs(self) -> int:
        """Epochs begun, the last possibly cut short by a budget in steps."""
        return math.ceil(self.steps / self.steps_per_epoch)

    def phase_at(self, step: int) -> int:
        """Index of the phase that rules at `step`."""
        return max(i for i, phase in enumerate(self.phases) if phase.start <= step)

    def learning_rates(self) -> list[float]:
        """The learning rate of every step, as planned (no skipped steps)."""
        rates = []
        for phase in self.phases:
            rates += [phase.learning_rate(at, self.steps_per_epoch) for at in range(phase.end - phase.start)]
        return rates


def budget_steps(budget: Budget, steps_per_epoch: int, batch_size: int) -> int:
    """Optimiser steps that a budget allows, at least one. Samples are counted in full batches, rounded up."""
    if budget.steps is not None:
        return budget.steps
    if budget.samples is not None:
        return math.ceil(budget.samples / batch_size)
    assert budget.epochs is not None
    return max(1, round(budget.epochs * steps_per_epoch))


def make_plan(recipe: Recipe, budget: Budget, train_size: int) -> RunPlan:
    """The steps of `recipe` over `train_size` images. The last, short batch of an epoch is a step.

    A warm-up on top lengthens its own phase, and what comes after it begins so much later.

    Raises UserError for a phase that starts after the end and for a warm-up longer than its phase.
    """
    per_epoch = math.ceil(train_size / recipe.batch_size)
    stated = budget_steps(budget, per_epoch, recipe.batch_size)
    specs = [(recipe.optimizer, recipe.schedule)] + [(phase.optimizer, phase.schedule) for phase in recipe.phases]
    starts = [0] + [phase.at_epoch * per_epoch for phase in recipe.phases]
    added = 0  # steps of warm-up on top, of this phase and those before it
    phases = []
    for number, ((optimizer, schedule), start, end) in enumerate(
        zip(specs, starts, [*starts[1:], stated], strict=True)
    ):
        where = "recipe.schedule" if number == 0 else f"recipe.phases.{number - 1}.schedule"
        if start >= stated:
            raise UserError(
                f"recipe.phases.{number - 1} starts at epoch {start // per_epoch}, after the end of a run of "
                f"{stated / per_epoch:g} epochs\nlengthen the budget or start the phase earlier"
            )
        length = min(end, stated) - start
        warmup = warmup_steps(schedule, per_epoch, length)
        more = warmup if lies_on_top(schedule) else 0
        check_warmup(schedule, warmup, length + more, where)
        phases.append(PhasePlan(optimizer, schedule, start + added, start + added + length + more, warmup))
        added += more
    return RunPlan(per_epoch, stated + added, tuple(phases))
