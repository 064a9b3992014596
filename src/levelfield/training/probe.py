"""How long a run will take, from a few timed steps on throwaway weights."""

from __future__ import annotations

import time

import torch

from levelfield.data import make_loader
from levelfield.training.device import configure_torch
from levelfield.training.inputs import TrainingInputs
from levelfield.training.loop import train_step
from levelfield.training.plan import make_plan
from levelfield.training.processes import World
from levelfield.training.resolve import Prepared
from levelfield.training.state import TrainState


def seconds_per_step(prepared: Prepared, budget_s: float = 2.0) -> float:
    """Median seconds of a training step, input included; at least three steps, then until `budget_s` is spent."""
    spec, data, device = prepared.spec, prepared.data, prepared.device
    configure_torch(spec.execution, device, spec.recipe.tf32)
    plan = make_plan(spec.recipe, spec.budget, len(data.train))
    loader = make_loader(data.train, batch_size=spec.recipe.batch_size, seed=spec.seed, shuffle=True, device=device)
    assert spec.model.image_size is not None
    inputs = TrainingInputs(loader, spec.recipe, data, spec.model.image_size, spec.seed, spec.execution.channels_last)
    execution = spec.execution.model_copy(update={"compile": False, "cuda_graphs": False})
    state = TrainState(prepared.build_model(), spec.recipe, plan, execution, device, World())
    state.train_mode()
    times: list[float] = []
    begin = clock = time.perf_counter()
    for batch in inputs.epoch(0, 0):
        state.enter_step()
        train_step(state, batch, spec.execution.micro_batch)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        now = time.perf_counter()
        times.append(now - clock)
        clock = now
        if len(times) >= 4 and now - begin > budget_s:
            break
    timed = sorted(times[1:] or times)
    return timed[len(timed) // 2]


def estimate_seconds(prepared: Prepared, steps_done: int = 0) -> float:
    """Expected seconds from `steps_done` to the end of the run, evaluation left out."""
    plan = make_plan(prepared.spec.recipe, prepared.spec.budget, len(prepared.data.train))
    return seconds_per_step(prepared) * max(0, plan.steps - steps_done)
