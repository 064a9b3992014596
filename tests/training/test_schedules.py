"""Schedules and timetables against torch's own schedulers and against hand-counted cases."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from levelfield.errors import UserError
from levelfield.spec import Budget, Recipe
from levelfield.training.steps_and_phases import RunPlan, make_plan

PER_EPOCH, EPOCHS = 5, 12


def plan(budget: dict[str, Any] | None = None, images: int = 50, **recipe: Any) -> RunPlan:
    values = {"batch_size": 10, "optimizer": {"name": "sgd", "lr": 0.1}, **recipe}
    return make_plan(Recipe.parse(values, "recipe"), Budget.parse(budget or {"epochs": EPOCHS}, "budget"), images)


def torchs(make: Any) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    scheduler, per_epoch = make(optimizer)
    rates = []
    for step in range(PER_EPOCH * EPOCHS):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if not per_epoch or (step + 1) % PER_EPOCH == 0:
            scheduler.step()
    return rates


TORCHS = torch.optim.lr_scheduler
STEPS = PER_EPOCH * EPOCHS


@pytest.mark.parametrize(
    ("schedule", "make"),
    [
        ({"name": "step", "every_epochs": 3}, lambda o: (TORCHS.StepLR(o, 3), True)),
        ({"name": "multistep", "milestones": [2, 7]}, lambda o: (TORCHS.MultiStepLR(o, [2, 7]), True)),
        ({"name": "cosine", "final_lr": 0.01}, lambda o: (TORCHS.CosineAnnealingLR(o, STEPS, 0.01), False)),
        ({"name": "linear"}, lambda o: (TORCHS.LinearLR(o, 1.0, 1e-12, STEPS), False)),
        ({"name": "constant"}, lambda o: (TORCHS.ConstantLR(o, 1.0), False)),
        ({"name": "onecycle"}, lambda o: (TORCHS.OneCycleLR(o, 0.1, total_steps=STEPS), False)),
        (
            {"name": "onecycle", "pct_start": 0.5, "anneal": "linear"},
            lambda o: (TORCHS.OneCycleLR(o, 0.1, total_steps=STEPS, pct_start=0.5, anneal_strategy="linear"), False),
        ),
        (
            {"name": "cosine_annealing", "t_max_epochs": 4},
            lambda o: (TORCHS.CosineAnnealingLR(o, 4 * PER_EPOCH), False),
        ),
    ],
    ids=lambda value: value["name"] if isinstance(value, dict) else "",
)
def test_schedules_equal_torchs(schedule: dict[str, Any], make: Any) -> None:
    assert plan(schedule=schedule).learning_rates() == pytest.approx(torchs(make), rel=1e-6, abs=1e-10)


def test_warm_up_inside_and_on_top() -> None:
    inside = plan(schedule={"name": "constant", "warmup": {"epochs": 2}})
    on_top = plan(schedule={"name": "constant", "warmup": {"epochs": 2, "on_top": True}})
    assert inside.steps == STEPS and on_top.steps == STEPS + 2 * PER_EPOCH
    for timetable in (inside, on_top):
        assert timetable.learning_rates()[:11] == pytest.approx([0.01 * step for step in range(1, 11)] + [0.1])


def drops(timetable: RunPlan) -> list[float]:
    """The epochs at which the learning rate falls to half or less."""
    rates = timetable.learning_rates()
    return [step / PER_EPOCH for step in range(1, len(rates)) if rates[step] < 0.6 * rates[step - 1]]


DROPPING = [
    ({"name": "multistep", "milestones": [3, 6, 8]}, [3, 6, 8]),
    ({"name": "step", "every_epochs": 4}, [4, 8]),
]


@pytest.mark.parametrize(("schedule", "stated"), DROPPING, ids=["multistep", "step"])
def test_drops_fall_at_the_stated_epochs_of_their_phase_whatever_the_warm_up(
    schedule: dict[str, Any], stated: list[int]
) -> None:
    def with_warmup(**warmup: Any) -> dict[str, Any]:
        return {**schedule, "warmup": {"epochs": 2, "start_factor": 0.5, **warmup}}

    assert drops(plan(schedule=with_warmup())) == stated
    assert drops(plan(schedule=with_warmup(on_top=True))) == [2 + epoch for epoch in stated]
    later = {"at_epoch": 3, "optimizer": {"name": "sgd", "lr": 0.1}, "schedule": with_warmup()}
    assert drops(plan(schedule={"name": "constant"}, phases=[later])) == [3, *(3 + epoch for epoch in stated)]


def test_a_drop_within_the_warm_up_lowers_what_it_leads_to() -> None:
    rates = plan(schedule={"name": "multistep", "milestones": [1], "warmup": {"epochs": 2}}).learning_rates()
    assert rates[4] == pytest.approx(0.05) and rates[5] == pytest.approx(0.006)
    assert rates[9:] == pytest.approx([0.01] * (STEPS - 9))


def test_a_later_phase_gets_its_warm_up_on_top_and_what_follows_comes_later() -> None:
    def phase(at_epoch: int, **warmup: Any) -> dict[str, Any]:
        return {
            "at_epoch": at_epoch,
            "optimizer": {"name": "sgd", "lr": 0.2},
            "schedule": {"name": "constant", "warmup": warmup},
        }

    timetable = plan(phases=[phase(4, epochs=2, on_top=True), phase(8, ratio=0.25, on_top=True)])
    assert [(p.start, p.end, p.warmup) for p in timetable.phases] == [(0, 20, 0), (20, 50, 10), (50, 75, 5)]
    assert timetable.steps == STEPS + 10 + 5
    rates = timetable.learning_rates()
    assert rates[20:31] == pytest.approx([0.02 * step for step in range(1, 11)] + [0.2])


def test_published_outgrid_counts() -> None:
    """45,000 images in batches of 64: 704 steps an epoch, 70,400 in all, 3,520 of them warm-up (published.yaml)."""
    timetable = make_plan(Recipe.load("outgrid-100ep"), Budget(epochs=100), 45_000)
    assert (timetable.steps_per_epoch, timetable.steps, timetable.phases[0].warmup) == (704, 70_400, 3_520)
    assert timetable.learning_rates()[-1] == pytest.approx(1e-6, abs=2e-10)


def test_sgdmix_hands_over_at_epoch_28_and_starts_its_own_steps() -> None:
    timetable = make_plan(Recipe.load("rexnet-sgdmix"), Budget(epochs=100), 50_000)
    first, second = timetable.phases
    assert (first.end, second.start, second.end) == (28 * 391, 28 * 391, 100 * 391)
    assert second.optimizer.name == "sgdp" and second.optimizer.weight_decay == 1e-5
    rates = timetable.learning_rates()
    at = {epoch: rates[epoch * 391] for epoch in (0, 27, 28, 57, 58, 88)}
    assert at == pytest.approx({0: 0.1, 27: 0.1, 28: 0.1, 57: 0.1, 58: 0.01, 88: 0.001})


@pytest.mark.parametrize(
    ("budget", "steps"),
    [({"epochs": 0.5}, 2), ({"steps": 7}, 7), ({"samples": 61}, 7), ({"epochs": 0.01}, 1)],
)
def test_budgets_count_in_steps(budget: dict[str, Any], steps: int) -> None:
    assert plan(budget).steps == steps


def test_the_short_last_batch_is_a_step() -> None:
    assert plan(images=51).steps_per_epoch == 6


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"schedule": {"name": "cosine", "warmup": {"epochs": 12}}}, "warm-up of 60 steps does not fit"),
        ({"phases": [{"at_epoch": 12, "optimizer": {"name": "sgd"}}]}, "after the end of a run of 12 epochs"),
    ],
)
def test_impossible_recipes_name_value_and_remedy(recipe: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        plan(**recipe)
