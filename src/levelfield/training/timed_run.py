"""A run timed from its first step to its tested weights: the same steps as `train_prepared` carries out, no run folder.

For records (time to a stated accuracy): the steps are those of any run, in the same order, from the same seed, to the
same weights; what a run folder adds (checkpoints, logs, learning curves) is left out, as is any validation.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Final

import torch

from levelfield.cost.timing import synchronize
from levelfield.data import ImageData
from levelfield.errors import UserError
from levelfield.training.batch_inputs import Batch, TrainingInputs, run_loader
from levelfield.training.batchnorm_smallest_batch import check_smallest_batch
from levelfield.training.device import configure_torch, current_device
from levelfield.training.micro_batches import check_parts
from levelfield.training.not_finite import check_loss
from levelfield.training.prepare_run import Prepared
from levelfield.training.processes import World
from levelfield.training.steps_and_phases import make_plan
from levelfield.training.training_loop import step_of, train_steps
from levelfield.training.training_state import TrainState
from levelfield.training.validation_and_test import RunEvaluator

WARM_UP_STEPS: Final = 5
"""On a CPU; elsewhere a whole epoch, whose batches are augmented in groups of several sizes."""


@dataclass(frozen=True)
class TimedRun:
    """What a run reached, and the seconds of its parts, the device idle at both ends of each.

    `build_s`: network, optimiser and average made, images brought to the device. `train_s`: every step from the first
    to the last, its input included. `test_s`: the weights that count on all test images, each seen once, as it is.
    """

    top1: float
    loss: float
    steps: int
    build_s: float
    train_s: float
    test_s: float


class _Parts:
    """A run put together: its state, its inputs, and how it is tested."""

    def __init__(self, prepared: Prepared, data: ImageData) -> None:
        spec, device = prepared.spec, prepared.device
        recipe, execution, size = spec.recipe, spec.execution, spec.model.image_size
        assert size is not None
        world = World()
        plan = make_plan(recipe, spec.budget, len(data.train))
        check_parts(len(data.train), recipe.batch_size, execution.micro_batch, world.size)
        loader = run_loader(spec, data.train, recipe.batch_size, device, world, shuffle=True)
        self.state = TrainState(prepared.build_model(), recipe, plan, execution, device, world)
        check_smallest_batch(self.state, len(data.train), size)
        self.inputs = TrainingInputs(loader, recipe, data, size, spec.seed, execution.channels_last)
        self.evaluator = RunEvaluator(replace(prepared, data=data), self.state)
        self.data, self.device = data, device


def check_timed(prepared: Prepared) -> None:
    """Raise UserError for a run that picks an epoch by validation: its validation would be part of the time."""
    if prepared.spec.recipe.selection == "best_validation":
        raise UserError(
            "recipe.selection best_validation picks an epoch after the fact: a record counts the last one\n"
            "add --set recipe.selection=last"
        )


def warm_up(prepared: Prepared) -> float:
    """Train and test with random labels and batches of the run's own shapes, throw all of it away; the seconds it took.

    What compiles, tunes itself or fills an allocator has done so before a run is timed. Nothing is learnt: the labels
    are drawn, the weights are made anew.
    """
    begin = time.perf_counter()
    with current_device(prepared.device):
        configure_torch(prepared.spec.execution, prepared.device, prepared.spec.recipe.tf32)
        train, test = prepared.data.train, prepared.data.test
        drawn = torch.randint(len(prepared.data.classes), (len(train),), generator=torch.Generator().manual_seed(0))
        few = prepared.device.type == "cpu"
        if few:  # a full batch, and the short last one
            size = prepared.spec.execution.eval_batch_size
            test = test.subset(torch.arange(min(len(test), size + len(test) % size)))
        parts = _Parts(prepared, replace(prepared.data, train=replace(train, labels=drawn), test=test))
        state, per_epoch = parts.state, parts.state.plan.steps_per_epoch
        take_step = step_of(state)
        state.train_mode()
        for batch in _shapes(parts.inputs, min(WARM_UP_STEPS, per_epoch) if few else per_epoch, per_epoch):
            state.enter_step()
            take_step(state, batch)
        parts.evaluator.evaluate(state.weights_to_evaluate(), test)
        synchronize(prepared.device)
    return time.perf_counter() - begin


def _shapes(inputs: TrainingInputs, count: int, per_epoch: int) -> chain[Batch]:
    """The first `count` batches of an epoch and, where it is not among them, its last, which may be short."""
    last = inputs.epoch(0, per_epoch - 1) if count < per_epoch else iter(())
    return chain(islice(inputs.epoch(0, 0), count), last)


def timed_run(
    prepared: Prepared, stop: Callable[[], bool] = lambda: False, see: Callable[[int, int], None] = lambda *_: None
) -> TimedRun:
    """Train to the end and test, timed; `stop` is asked after every step, and a yes is a KeyboardInterrupt. `see` is
    told after every epoch how many steps of how many are done.

    Raises UserError for a loss that is no number.
    """
    check_timed(prepared)
    with current_device(prepared.device):
        configure_torch(prepared.spec.execution, prepared.device, prepared.spec.recipe.tf32)
        begin = time.perf_counter()
        parts = _Parts(prepared, prepared.data)
        state = parts.state
        synchronize(prepared.device)
        built = time.perf_counter()
        if not train_steps(
            state, parts.inputs, after_step=lambda _: stop(), after_epoch=lambda now, _: see(now.step, now.plan.steps)
        ):
            raise KeyboardInterrupt
        synchronize(prepared.device)
        trained = time.perf_counter()
        scores = parts.evaluator.evaluate(state.weights_to_evaluate(), prepared.data.test).scores
        tested = time.perf_counter()
        check_loss(scores.loss, state, "the loss on the test images")
    return TimedRun(scores.top1, scores.loss, state.step, built - begin, trained - built, tested - trained)
