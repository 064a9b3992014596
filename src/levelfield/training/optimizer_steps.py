"""Optimiser steps that happened: their number, and the learning rate that follows from it.

With fp16 a step whose gradients overflow is skipped, and neither the schedule nor the average may advance on it.
Whether it was skipped is known on the device; to ask would make the host wait for the device in every step. So where
the optimiser skips by itself (torch's fused ones) number, rate and average are computed on the device too, and read
where something is logged. Other optimisers are skipped by the host, which torch's scaler lets wait once a step.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from levelfield.training.steps_and_phases import PhasePlan


def steps_on_device(optimizer: torch.optim.Optimizer) -> bool:
    """Whether all that `optimizer` computes with from step to step is on the device: torch's fused ones, our Muon."""
    return bool(getattr(optimizer, "on_device", False)) or bool(optimizer.defaults.get("fused"))


class Updates:
    """The optimiser steps of one phase. `scaled`: a loss scaler may skip some of them. `captured`: the steps
    are replayed from a graph, which can count on the device alone."""

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        phase: PhasePlan,
        steps_per_epoch: int,
        device: torch.device,
        scaled: bool,
        count: int,
        captured: bool = False,
    ) -> None:
        self.optimizer, self.phase, self.steps_per_epoch = optimizer, phase, steps_per_epoch
        skips = scaled and bool(getattr(optimizer, "_step_supports_amp_scaling", False))
        self.on_device = skips or (captured and not scaled and steps_on_device(optimizer))
        self._count: int | Tensor = torch.tensor(count, device=device) if self.on_device else count
        self._happened: bool | Tensor = False
        self._latest: bool | Tensor = False
        self._set: float | Tensor | None = None
        if self.on_device:
            rates = [phase.learning_rate(update, steps_per_epoch) for update in range(phase.end - phase.start + 1)]
            self._rates = torch.tensor(rates, device=device)
            self._never_skipped = None if skips else torch.tensor(True, device=device)
        optimizer.register_step_post_hook(self._note)

    def _note(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        """The optimiser was asked to step: by the host only where it should, on the device always."""
        if not self.on_device:
            self._happened = True
        elif self._never_skipped is not None:
            self._happened = self._never_skipped
        else:
            self._happened = optimizer.found_inf == 0  # type: ignore[attr-defined]

    @property
    def count(self) -> int:
        """How many steps happened. Waits for the device where they are counted there."""
        return int(self._count)

    @property
    def rate(self) -> float | Tensor:
        """The learning rate of the next step, before any group's own factor: a number, or float32 () on the device."""
        if isinstance(self._count, Tensor):
            last = len(self._rates) - 1
            return self._rates.index_select(0, self._count.clamp(max=last).view(1)).view(())
        return self.phase.learning_rate(self._count, self.steps_per_epoch)

    @property
    def latest_rate(self) -> float | Tensor:
        """The learning rate that the latest step had, as `rate`; the next one's where none was taken yet."""
        return self.rate if self._set is None else self._set

    def set_rates(self) -> None:
        """Give every group its learning rate for the next step."""
        self._set = rate = self.rate
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["lr_factor"]

    def settle(self) -> None:
        """After the scaler's step and update: count the step if it happened."""
        self._latest, self._happened = self._happened, False
        self._count += self._latest

    def due(self, every: int) -> bool | Tensor:
        """Whether the step that was settled happened and is one of each `every`: bool, or bool () on the device."""
        return self._latest & (self._count % every == 0)
