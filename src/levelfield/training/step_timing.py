"""How long a run will take, from a few timed steps on throwaway weights."""

from __future__ import annotations

import contextlib
import io
import time
from typing import Final

from levelfield.cost.timing import synchronize
from levelfield.data import make_loader
from levelfield.training.batch_inputs import TrainingInputs
from levelfield.training.device import configure_torch, current_device
from levelfield.training.prepare_run import Prepared
from levelfield.training.processes import World
from levelfield.training.steps_and_phases import make_plan
from levelfield.training.training_loop import step_of
from levelfield.training.training_state import TrainState

WARM_UP: Final = 1
STEPS: Final = 3


def seconds_per_step(
    prepared: Prepared, budget_s: float = 2.0, *, warm_up: int = WARM_UP, steps: int = STEPS, as_executed: bool = False
) -> float:
    """Mean seconds of a training step, input included, after `warm_up` steps: over at least `steps`, then until
    `budget_s` is spent. Without compilation, which takes long, unless `as_executed`.
    """
    spec, data, device = prepared.spec, prepared.data, prepared.device
    with current_device(device):
        configure_torch(spec.execution, device, spec.recipe.tf32)
        plan = make_plan(spec.recipe, spec.budget, len(data.train))
        loader = make_loader(data.train, batch_size=spec.recipe.batch_size, seed=spec.seed, shuffle=True, device=device)
        size = spec.model.image_size
        assert size is not None
        inputs = TrainingInputs(loader, spec.recipe, data, size, spec.seed, spec.execution.channels_last)
        plain = {} if as_executed else {"compile": False, "cuda_graphs": False, "step_graph": False}
        execution = spec.execution.changed(plain)
        with contextlib.redirect_stderr(io.StringIO()):  # the run itself tells of the weights that it starts from
            model = prepared.build_model()
            teacher = prepared.load_teacher()
        state = TrainState(model, spec.recipe, plan, execution, device, World(), teacher)
        take_step = step_of(state)
        state.train_mode()
        warm_up = min(warm_up, len(loader) - 1)
        begin = start = time.perf_counter()
        done = 0
        for done, batch in enumerate(inputs.epoch(0, 0), start=1):
            state.enter_step()
            take_step(state, batch)
            if done == warm_up:
                synchronize(device)
                start = time.perf_counter()
            if done >= warm_up + steps and time.perf_counter() - begin > budget_s:
                break
        synchronize(device)
        return (time.perf_counter() - start) / (done - warm_up)


def estimate_seconds(prepared: Prepared) -> float:
    """Expected seconds of the run's training, evaluation left out."""
    plan = make_plan(prepared.spec.recipe, prepared.spec.budget, len(prepared.data.train))
    return seconds_per_step(prepared) * plan.steps


def surely_within(prepared: Prepared, seconds: float) -> bool:
    """Whether the run's training is so short that its length need not be told from timed steps.

    Of no more steps than timing would take, or so few that one step, its first calls of everything included, gives a
    quarter of `seconds` for all.
    """
    plan = make_plan(prepared.spec.recipe, prepared.spec.budget, len(prepared.data.train))
    return (
        plan.steps <= WARM_UP + STEPS or plan.steps * seconds_per_step(prepared, 0.0, warm_up=0, steps=1) < seconds / 4
    )
