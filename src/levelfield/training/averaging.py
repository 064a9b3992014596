"""Exponential moving average of a model's weights (Polyak and Juditsky; the EMA of arXiv 1703.01780).

The average covers parameters and floating buffers (BatchNorm's statistics are interpolated), and copies integer
buffers. Its decay is min(decay, (1 + u) / (10 + u)) at update u, so that it fits a short run.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from levelfield.spec import Averaging


class WeightAverage:
    """The averaged twin of a model: `module` is evaluated, `state_dict()` is saved."""

    def __init__(self, model: nn.Module, spec: Averaging) -> None:
        self.spec = spec
        self.updates = 0
        self.module = copy.deepcopy(model).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move the average towards `model`, which has the same names."""
        self.updates += 1
        decay = min(self.spec.decay, (1 + self.updates) / (10 + self.updates))
        source = model.state_dict()
        floats: list[Tensor] = []
        targets: list[Tensor] = []
        for name, value in self.module.state_dict().items():
            if value.is_floating_point():
                targets.append(value)
                floats.append(source[name])
            else:
                value.copy_(source[name])
        torch._foreach_lerp_(targets, floats, 1.0 - decay)

    def state_dict(self) -> dict[str, object]:
        return {"updates": self.updates, "module": self.module.state_dict()}

    def load_state_dict(self, state: dict[str, object]) -> None:
        self.updates = int(state["updates"])  # type: ignore[call-overload]
        self.module.load_state_dict(state["module"])  # type: ignore[arg-type]
