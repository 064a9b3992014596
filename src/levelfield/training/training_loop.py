"""The training step and the loop over it: all that changes numbers between a batch and the weights is on this page."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils import clip_grad_norm_

from levelfield import randomness
from levelfield.spec import Distil
from levelfield.training.batch_inputs import Batch, TrainingInputs
from levelfield.training.micro_batches import own_parts
from levelfield.training.step_graph import GraphedStep
from levelfield.training.training_state import TrainState


def train_steps(
    state: TrainState,
    inputs: TrainingInputs,
    *,
    after_step: Callable[[TrainState], bool],
    after_epoch: Callable[[TrainState, int], None],
) -> bool:
    """Train from `state.step` to the end of the plan; True when it is reached, False when `after_step` asks to stop.

    `after_epoch` (validation) comes before `after_step` (logs, checkpoints), so that a checkpoint at the end of an
    epoch holds the epoch's validation too. Whatever of them waits for the device pauses `state.clock` first.
    """
    plan, take_step = state.plan, step_of(state)
    while state.step < plan.steps:
        epoch, first = divmod(state.step, plan.steps_per_epoch)
        state.train_mode()
        state.clock.start()
        for batch in inputs.epoch(epoch, first):
            state.enter_step()
            randomness.seed_model(inputs.seed, state.step, state.world.rank)
            take_step(state, batch)
            state.step += 1
            state.clock.step(batch.size)
            if state.step % plan.steps_per_epoch == 0 or state.step == plan.steps:
                state.clock.pause()
                after_epoch(state, epoch)
            if after_step(state):
                return False
            if state.step == plan.steps:
                break
            state.clock.start()
    return True


def step_of(state: TrainState) -> Callable[[TrainState, Batch], None]:
    """How the run of `state` takes its steps: `train_step`, or captured as one graph."""
    return GraphedStep(train_step) if state.execution.step_graph else train_step


def train_step(state: TrainState, batch: Batch) -> None:
    """One optimiser step on one global batch: forward, backward (in parts if asked), clip, update, prune, average.

    Nothing here waits for the device (but torch's scaler under fp16, for optimisers that cannot skip by themselves).
    """
    regularisation, world = state.recipe.regularisation, state.world
    state.optimizer.zero_grad(set_to_none=True)
    first = state.step % state.plan.steps_per_epoch * state.recipe.batch_size
    parts = own_parts(batch.size, state.execution.micro_batch, first, world.rank, world.size)
    for number, rows in enumerate(parts, start=1):
        last = number == len(parts)
        net = state.net_for(len(batch.x[rows]))
        with nullcontext() if last or world.size == 1 else net.no_sync():  # type: ignore[operator]
            with torch.autocast(state.device.type, state.dtype, enabled=state.dtype != torch.float32):
                logits = net(batch.x[rows])
                taught = None if state.teacher is None else state.teacher(batch.x[rows])
            loss_sum = cross_entropy_sum(logits, batch.targets[rows])
            if taught is not None and state.recipe.distil is not None:
                loss_sum = distilled_sum(loss_sum, logits, taught, state.recipe.distil)
            # The mean over the global batch; DistributedDataParallel divides by the number of ranks.
            state.scaler.scale(loss_sum * (world.size / batch.size)).backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            correct = (logits.argmax(1) == batch.labels[rows]).sum()
            state.interval.add(loss_sum.detach(), correct, len(logits))

    if state.pruning is not None:
        state.pruning.mask_gradients()
    if regularisation.clip_norm is not None:
        state.scaler.unscale_(state.optimizer)
        clip_grad_norm_(state.model.parameters(), regularisation.clip_norm)
    state.scaler.step(state.optimizer)
    state.scaler.update()
    if state.pruning is not None:
        state.pruning.apply()
    state.updates.settle()  # a step skipped for its overflow does not count
    if state.average is not None:
        state.average.update(state.model, state.updates.due(state.average.spec.every_steps))


def cross_entropy_sum(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy in float32, summed over the batch; `targets` are labels (b,) or distributions (b, classes)."""
    return F.cross_entropy(logits.float(), targets, reduction="sum")


def distilled_sum(own_sum: Tensor, logits: Tensor, taught: Tensor, distil: Distil) -> Tensor:
    """`own_sum`, a cross-entropy with the targets, and what the teacher asks for, by weight; in float32, summed.

    `logits` and the teacher's, `taught`: (b, classes). `soft` is Hinton's form (arXiv 1503.02531; DeiT's equation 2),
    whose temperature^2 keeps its gradients as large as they are at temperature 1; `hard` is DeiT's equation 3.
    """
    if distil.form == "hard":
        taught_sum = F.cross_entropy(logits.float(), taught.argmax(1), reduction="sum")
    else:
        one, two = (F.log_softmax(each.float() / distil.temperature, 1) for each in (logits, taught))
        taught_sum = distil.temperature**2 * F.kl_div(one, two, reduction="sum", log_target=True)
    return (1 - distil.weight) * own_sum + distil.weight * taught_sum
