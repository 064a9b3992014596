"""How long training takes, and what energy: one definition for every device, kept without waiting at every step."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

import torch

from levelfield.cost.energy import EnergyMeter
from levelfield.cost.timing import synchronize

WARM_UP_STEPS: Final = 3
"""Steps that count as compilation and warm-up: the first compiles (or tunes kernels and fills allocators), the second
records CUDA graphs, the third replays them for the first time."""


class TrainingClock:
    """Seconds of training steps, their input included; validation, logs and checkpoints left out.

    `compile_seconds`: of the first `WARM_UP_STEPS` steps after every start and after every change of what is compiled.
    `train_seconds`: of all other steps, which trained on `train_images` images. A GPU does its work after the host has
    asked for it, so an interval ends when the device has done all of it: at a log, a validation or a checkpoint, never
    at a step of its own account.

    `train_joules`: what `meter` counted in all these seconds, warm-up included; None where it was not always there.
    """

    def __init__(self, device: torch.device, meter: EnergyMeter | None = None) -> None:
        self.device, self.meter = device, meter
        self.train_joules = None if meter is None else 0.0
        self._joules = 0.0
        self.train_seconds = self.compile_seconds = 0.0
        self.train_images = 0
        self._warming = WARM_UP_STEPS
        self._since: float | None = None
        self._images = 0

    def start(self) -> None:
        """Count from here; nothing new where the clock runs already."""
        if self._since is None:
            synchronize(self.device)
            if self.meter is not None:
                self._joules = self.meter.joules()
            self._since = time.perf_counter()

    def step(self, images: int) -> None:
        """A step on a global batch of so many images was asked for."""
        self._images += images
        if self._warming:
            if self._warming == 1:
                self.pause()
                self.start()
            self._warming -= 1

    def pause(self) -> None:
        """Wait for the device and count what passed; nothing where the clock stands still."""
        if self._since is None:
            return
        synchronize(self.device)
        seconds = time.perf_counter() - self._since
        if self.meter is not None and self.train_joules is not None:
            self.train_joules += self.meter.joules() - self._joules
        if self._warming:
            self.compile_seconds += seconds
        elif self._images:
            self.train_seconds += seconds
            self.train_images += self._images
        self._since, self._images = None, 0

    def warm_up(self) -> None:
        """What follows is compiled anew: count the next steps as warm-up."""
        runs = self._since is not None
        self.pause()
        self._warming = WARM_UP_STEPS
        if runs:
            self.start()

    @property
    def images_per_s(self) -> float | None:
        """Images a second of the steady state; None before there is any."""
        return self.train_images / self.train_seconds if self.train_images else None

    @property
    def energy_of(self) -> str | None:
        """What `train_joules` is the energy of; None where that is not known."""
        return None if self.meter is None or self.train_joules is None else self.meter.of

    def state_dict(self) -> dict[str, Any]:
        """The sums. A run that goes on adds to them, its own warm-up apart."""
        sums = ("train_seconds", "compile_seconds", "train_images", "train_joules", "energy_of")
        return {key: getattr(self, key) for key in sums}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        same_meter = self.meter is not None and state.get("energy_of") == self.meter.of
        self.train_joules = float(state["train_joules"]) if same_meter else None
        self.train_seconds = float(state["train_seconds"])
        self.compile_seconds = float(state["compile_seconds"])
        self.train_images = int(state["train_images"])
