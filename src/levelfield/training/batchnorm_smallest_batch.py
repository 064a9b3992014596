"""A part of a batch that leaves BatchNorm one value a channel: found, and refused, before the run meets it."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from levelfield.errors import UserError
from levelfield.module_mode import evaluation_mode
from levelfield.training.micro_batches import part_bounds
from levelfield.training.steps_and_phases import RunPlan
from levelfield.training.training_state import TrainState


def fewest_images(plan: RunPlan, train_size: int, batch_size: int, micro_batch: int | None, shares: int = 1) -> int:
    """The fewest images of which a norm takes statistics at any step of `plan`.

    `shares`: into how many a part of a batch is divided before norms see it: the number of processes where each takes
    its own statistics, 1 where they take them together.
    """
    last = train_size - (plan.steps_per_epoch - 1) * batch_size
    met = [batch_size] * (plan.steps_per_epoch > 1) + [last] * (plan.steps >= plan.steps_per_epoch)
    parts = (end - begin for size in met for begin, end in pairwise(part_bounds(size, micro_batch)))
    return min(parts) // shares


def single_value_norms(model: nn.Module, image_size: int) -> list[str]:
    """Names of the BatchNorms in training that see one value a channel of one image of `image_size` px.

    One forward pass on zeros, in evaluation mode. Training mode cannot normalise such a value: torch refuses it.
    """
    found: list[str] = []

    def note(name: str, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        if inputs[0].numel() == inputs[0].shape[1]:
            found.append(name)

    norms = {name: part for name, part in model.named_modules() if isinstance(part, _BatchNorm) and part.training}
    handles = [norm.register_forward_pre_hook(partial(note, name)) for name, norm in norms.items()]
    try:
        with evaluation_mode(model), torch.no_grad():
            model(torch.zeros(1, 3, image_size, image_size, device=next(model.parameters()).device))
    finally:
        for handle in handles:
            handle.remove()
    return found


def check_smallest_batch(state: TrainState, train_size: int, image_size: int) -> None:
    """Raise UserError where some step leaves a BatchNorm of the network one value a channel: a single image, 1x1 maps.

    The network is looked at only where a step has norms over a single image.
    """
    recipe, world, micro_batch = state.recipe, state.world, state.execution.micro_batch
    shares = world.size if recipe.batchnorm == "local" else 1
    if fewest_images(state.plan, train_size, recipe.batch_size, micro_batch, shares) > 1:
        return
    names = single_value_norms(state.model, image_size)
    if not names:
        return
    remedies = [f"change recipe.batch_size (now {recipe.batch_size})"]
    if micro_batch is not None:
        remedies.append(f"change execution.micro_batch (now {micro_batch})")
    if train_size % recipe.batch_size == 1:
        remedies.append(f"leave an image out (data.train_limit={train_size - 1})")
    if shares > 1:
        remedies.append("set recipe.batchnorm=global")
    raise UserError(
        f"of {train_size} training images some step gives BatchNorm a single one, and {names[0]} sees a map of 1x1: "
        f"one value a channel cannot be normalised\n{', or '.join(remedies)}"
    )
