"""Learning-rate schedules as pure functions: factor(step) with the step counted from the start of the phase.

A schedule is evaluated for every optimiser step from its own step count, so nothing about it needs saving, and a step
that the fp16 scaler skipped is simply not counted.
"""

from __future__ import annotations

import math

from levelfield.errors import UserError
from levelfield.spec.schedule import (
    Constant,
    Cosine,
    CosineAnnealing,
    Linear,
    MultiStep,
    OneCycle,
    Schedule,
    Step,
    Warmup,
)


def warmup_steps(schedule: Schedule, steps_per_epoch: int, stated_steps: int) -> int:
    """Steps of the schedule's warm-up; `stated_steps` is the phase's stated length, which a ratio refers to."""
    warmup: Warmup = getattr(schedule, "warmup", Warmup())
    if warmup.steps is not None:
        return warmup.steps
    if warmup.epochs is not None:
        return round(warmup.epochs * steps_per_epoch)
    return round((warmup.ratio or 0.0) * stated_steps)


def lies_on_top(schedule: Schedule) -> bool:
    """Whether the warm-up is added to the stated length; the stated epochs are then counted from its end."""
    warmup: Warmup = getattr(schedule, "warmup", Warmup())
    return warmup.on_top


def learning_rate(
    schedule: Schedule, peak: float, step: int, steps: int, steps_per_epoch: int, warmup: int = 0
) -> float:
    """The learning rate of optimiser step `step` (from 0) in a phase of `steps` steps, `warmup` of them warm-up.

    `peak` is the optimiser's lr. After the warm-up a schedule with a shape of its own (a cosine, a line) runs over the
    remaining steps. Drops at stated epochs fall at those epochs of the phase, the warm-up included unless it lies on
    top; one that falls within the warm-up lowers what the warm-up leads to.
    """
    if isinstance(schedule, Step | MultiStep):
        counted = step - warmup if lies_on_top(schedule) else step
        peak *= schedule.gamma ** _drops(schedule, counted, steps_per_epoch)
    if step < warmup:
        start = schedule.warmup.start_factor if not isinstance(schedule, OneCycle) else 0.0
        return peak * (start + (1.0 - start) * (step + 1) / warmup)
    at, span = step - warmup, max(1, steps - warmup)
    match schedule:
        case Cosine():
            return schedule.final_lr + (peak - schedule.final_lr) * 0.5 * (1 + math.cos(math.pi * min(1.0, at / span)))
        case Linear():
            return peak + (schedule.final_lr - peak) * min(1.0, at / span)
        case Constant() | Step() | MultiStep():
            return peak
        case CosineAnnealing():
            turn = math.cos(math.pi * (at / steps_per_epoch) / schedule.t_max_epochs)
            return schedule.final_lr + (peak - schedule.final_lr) * 0.5 * (1 + turn)
        case OneCycle():
            return _one_cycle(schedule, peak, at, span)


def _drops(schedule: Step | MultiStep, step: int, steps_per_epoch: int) -> int:
    """How often the learning rate has been lowered by `step`, counted from where the stated epochs begin."""
    if isinstance(schedule, Step):
        return max(0, step) // (schedule.every_epochs * steps_per_epoch)
    return sum(step >= mark * steps_per_epoch for mark in schedule.milestones)


def _one_cycle(schedule: OneCycle, peak: float, step: int, steps: int) -> float:
    """torch's OneCycleLR with two phases: the peak is reached at step pct_start * steps - 1, the end at steps - 1."""
    first = peak / schedule.div_factor
    top = schedule.pct_start * steps - 1
    if step <= top:
        return _anneal(schedule, first, peak, step / top if top > 0 else 1.0)
    share = (step - top) / max(1e-12, steps - 1 - top)
    return _anneal(schedule, peak, first / schedule.final_div_factor, min(1.0, share))


def _anneal(schedule: OneCycle, start: float, end: float, share: float) -> float:
    if schedule.anneal == "linear":
        return start + (end - start) * share
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * share))


def check_warmup(schedule: Schedule, warmup: int, steps: int, where: str) -> None:
    """Raise UserError where the warm-up leaves no step of the phase for training."""
    if warmup >= steps and warmup > 0:
        raise UserError(
            f"{where}: a warm-up of {warmup} steps does not fit a phase of {steps} steps\n"
            "shorten the warm-up, lengthen the budget, or set warmup.on_top=true"
        )
