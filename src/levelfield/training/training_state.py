"""What changes while a run trains (network, optimiser, average, counters), and as which values it is saved."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from levelfield.cost.energy import energy_meter
from levelfield.models import checkpoint_gradients
from levelfield.models.training_form import training_form
from levelfield.module_mode import TrainingMode
from levelfield.precision import DTYPES
from levelfield.spec import Execution, Recipe
from levelfield.training.averaging import WeightAverage
from levelfield.training.optimizer_steps import Updates
from levelfield.training.optimizers import make_optimizer
from levelfield.training.processes import World
from levelfield.training.pruning import Pruning
from levelfield.training.steps_and_phases import RunPlan
from levelfield.training.synchronise_batchnorm import synchronise_batchnorm
from levelfield.training.teacher import Teacher
from levelfield.training.training_time import TrainingClock


class Meter:
    """Sums over training samples, kept on the device until they are read: loss, correct, seen."""

    def __init__(self, device: torch.device) -> None:
        self.sums = torch.zeros(3, dtype=torch.float64 if device.type != "mps" else torch.float32, device=device)

    def add(self, loss_sum: Tensor, correct: Tensor, seen: int) -> None:
        self.sums[0] += loss_sum
        self.sums[1] += correct
        self.sums[2] += seen

    def take(self, other: Meter) -> None:
        """Add what `other` holds and empty it."""
        self.sums += other.sums
        other.reset()

    def read(self, world: World) -> tuple[float, float, int]:
        """(mean loss, top-1 in percent, samples) over all ranks. Waits for the device."""
        loss, correct, seen = world.sum(self.sums.clone()).tolist()
        return loss / max(1.0, seen), 100.0 * correct / max(1.0, seen), int(seen)

    def reset(self) -> None:
        self.sums.zero_()


class TrainState:
    """Model, optimiser, average and counters of one run on one rank.

    `step` counts batches since the start of the run; `updates` the optimiser steps since the start of the phase (a
    step that the fp16 scaler skipped is none); `clock` tells what they take. `net` is what is called: the model,
    compiled or wrapped where asked for; `plain` is the same without compilation. `generation` counts the changes after
    which a captured step is that of another state: of the optimiser, or of what is trained. `teacher`: of a distilled
    run; it never changes, and is no part of what is saved.
    """

    def __init__(
        self,
        model: nn.Module,
        recipe: Recipe,
        plan: RunPlan,
        execution: Execution,
        device: torch.device,
        world: World,
        teacher: Teacher | None = None,
    ) -> None:
        self.recipe, self.plan, self.execution, self.device, self.world = recipe, plan, execution, device, world
        layout = torch.channels_last if execution.channels_last else torch.contiguous_format
        if world.size > 1 and recipe.batchnorm == "global":
            model = synchronise_batchnorm(model, device)
        training_form(model)
        if execution.gradient_checkpointing:
            checkpoint_gradients(model)
        self.model = model.to(device=device, memory_format=layout)  # type: ignore[call-overload]
        self.mode = TrainingMode(self.model, recipe.freeze, plan.steps_per_epoch)
        assert (teacher is None) == (recipe.distil is None)
        self.teacher = None if teacher is None else teacher.to(device=device, memory_format=layout)  # type: ignore[call-overload]
        self.pruning = None if recipe.prune is None else Pruning(self.model, recipe.prune)
        self.average = WeightAverage(self.model, recipe.averaging) if recipe.averaging.name == "ema" else None
        self.scaler = self._new_scaler()
        self.dtype = DTYPES.get(recipe.precision, torch.float32)
        self.step = self.generation = 0
        self.clock = TrainingClock(device, energy_meter(device) if world.size == 1 else None)
        self.interval, self.epoch_meter = Meter(device), Meter(device)
        self.best: dict[str, Any] | None = None
        self.mode.enter(self.step)
        self._compiled_for = max(1, (execution.micro_batch or recipe.batch_size) // world.size)
        self._begin_phase(0)
        self.plain, self.net = self._wrap()

    def net_for(self, images: int) -> nn.Module:
        """What computes a batch of `images`: a compiled network serves full batches only. The short last batch of an
        epoch would be compiled anew, or make all that follows run code for any size, which is slower."""
        return self.net if images == self._compiled_for else self.plain

    @property
    def lr(self) -> float:
        """The learning rate of the next optimiser step, before any group's own factor. May wait for the device."""
        return float(self.updates.rate)

    def enter_step(self) -> None:
        """Hand over to the phase that rules this step, thaw what is due, and set the groups' learning rates."""
        phase = self.plan.phase_at(self.step)
        if phase != self.phase:
            self._begin_phase(phase)
        if self.mode.due(self.step):
            self.train_mode()
        if not self.execution.step_graph:  # a captured step sets its rates itself
            self.updates.set_rates()

    def train_mode(self) -> None:
        """The mode of the step at hand: training, but for what is frozen."""
        if self.mode.enter(self.step):  # the reducer of several processes knows the trained parameters only
            self.plain, self.net = self._wrap()
            self.generation += 1
            self.clock.warm_up()

    def weights_to_evaluate(self) -> nn.Module:
        """The model whose result counts, as the recipe fixed it beforehand."""
        averaged = self.average is not None and self.recipe.averaging.evaluate == "averaged"
        return self.average.module if averaged and self.average is not None else self.model

    def state_dict(self) -> dict[str, Any]:
        """All that a restart needs and that is not a function of (seed, step). Every rank has to call it together."""
        return {
            "step": self.step,
            "updates": self.updates.count,
            "phase": self.phase,
            "model": self.model.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "interval": self.world.sum(self.interval.sums.clone()),
            "epoch_meter": self.world.sum(self.epoch_meter.sums.clone()),
            "best": self.best,
            "clock": self.clock.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.step = int(state["step"])
        self.model.load_state_dict(state["model"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self._begin_phase(int(state["phase"]), int(state["updates"]))
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        if self.world.main:  # they were summed over ranks when they were saved
            self.interval.sums.copy_(state["interval"])
            self.epoch_meter.sums.copy_(state["epoch_meter"])
        self.best = state["best"]
        self.clock.load_state_dict(state["clock"])
        self.train_mode()

    def _begin_phase(self, number: int, updates: int = 0) -> None:
        """A fresh optimiser for a phase, of whose steps `updates` have happened."""
        self.phase, phase = number, self.plan.phases[number]
        self.optimizer = make_optimizer(phase.optimizer, self.model, leave_out=self.mode.never_trained)
        scaled = self.recipe.precision == "fp16"
        captured, per_epoch = self.execution.step_graph, self.plan.steps_per_epoch
        self.updates = Updates(self.optimizer, phase, per_epoch, self.device, scaled, updates, captured)
        self.generation += 1

    def renew_scaler(self) -> None:
        """A scaler of the same scale that has begun no step."""
        scale, self.scaler = self.scaler.state_dict(), self._new_scaler()
        self.scaler.load_state_dict(scale)

    def _new_scaler(self) -> torch.amp.GradScaler:
        return torch.amp.GradScaler(self.device.type, enabled=self.recipe.precision == "fp16")

    def _wrap(self) -> tuple[nn.Module, nn.Module]:
        """`plain` and `net`."""
        plain: nn.Module = self.model
        if self.world.size > 1:
            devices = [self.device.index] if self.device.type == "cuda" else None
            plain = DistributedDataParallel(plain, device_ids=devices)
        if not (self.execution.compile or self.execution.cuda_graphs):
            return plain, plain
        mode = "reduce-overhead" if self.execution.cuda_graphs else None
        return plain, torch.compile(plain, mode=mode)  # type: ignore[return-value]
