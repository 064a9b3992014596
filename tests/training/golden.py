"""The first losses of every shipped recipe on a tiny network: recorded, so that numbers do not move by accident.

`python tests/training/golden.py` records them anew, after SCIENCE_VERSION was raised on purpose.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch

from levelfield import randomness
from levelfield.data import make_loader
from levelfield.spec import SCIENCE_VERSION, Budget, RunSpec, list_recipes, load_recipe
from levelfield.training import prepare
from levelfield.training.batch_inputs import TrainingInputs
from levelfield.training.processes import World
from levelfield.training.steps_and_phases import make_plan
from levelfield.training.training_loop import train_step
from levelfield.training.training_state import TrainState

RECORD = Path(__file__).with_name("golden.json")
STEPS = 20


def first_losses(name: str) -> list[float]:
    """The mean training loss of each of the first 20 steps of recipe `name`: resnet_nano on digits, fp32, batch <= 64.

    A recipe of several phases runs five steps to the epoch and hands over at epoch 2, so that both phases are seen.
    """
    recipe = load_recipe(name).recipe
    phases = tuple(phase.model_copy(update={"at_epoch": 2}) for phase in recipe.phases)
    changes = {"precision": "fp32", "batch_size": min(64, recipe.batch_size), "phases": phases, "validation": 0.0}
    spec = RunSpec.parse(
        {
            "model": {"name": "resnet_nano"},
            "data": {"name": "digits", "image_size": 16, "resize_px": 20, "train_limit": 5 * changes["batch_size"]},
            "recipe": recipe.model_copy(update=changes).model_dump(mode="json"),
            "budget": {"epochs": 100},
            "execution": {"device": "cpu", "threads": 1},
        },
        name,
    )
    torch.set_num_threads(1)
    prepared = prepare(spec)
    plan = make_plan(prepared.spec.recipe, Budget(epochs=100), len(prepared.data.train))
    state = TrainState(prepared.build_model(), prepared.spec.recipe, plan, spec.execution, prepared.device, World())
    loader = make_loader(prepared.data.train, batch_size=prepared.spec.recipe.batch_size, seed=0, shuffle=True)
    inputs = TrainingInputs(loader, prepared.spec.recipe, prepared.data, 16, 0, channels_last=True)
    losses: list[float] = []
    while len(losses) < STEPS:
        state.train_mode()
        for batch in inputs.epoch(state.step // plan.steps_per_epoch, 0):
            state.enter_step()
            randomness.seed_model(0, state.step)
            train_step(state, batch)
            state.step += 1
            losses.append(state.interval.read(World())[0])
            state.interval.reset()
    return losses[:STEPS]


if __name__ == "__main__":
    recorded = {name: [round(loss, 6) for loss in first_losses(name)] for name in list_recipes()}
    RECORD.write_text(json.dumps({"science_version": SCIENCE_VERSION, "losses": recorded}, indent=1) + "\n")
