"""Exponential moving average of a model's weights (Polyak and Juditsky; the EMA of arXiv 1703.01780).

The average covers parameters and floating buffers (BatchNorm's statistics are interpolated), and copies integer
buffers. Its decay is min(decay, (1 + u) / (10 + u)) at update u, so that it fits a short run.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from levelfield.module_mode import averaged_twin
from levelfield.spec import Averaging


class WeightAverage:
    """The averaged twin of a model: `module` is evaluated, `state_dict()` is saved."""

    def __init__(self, model: nn.Module, spec: Averaging) -> None:
        self.spec = spec
        self.updates: int | Tensor = 0
        self.module = averaged_twin(model)
        self._names = _distinct(self.module)

    @torch.no_grad()
    def update(self, model: nn.Module, due: bool | Tensor = True) -> None:
        """Move the average towards `model`, which has the same names, if that is `due`: bool, or bool () on the device.

        Whether it is due on the device, the host does not know: the average then moves by nothing where it is not.
        """
        if isinstance(due, Tensor):
            self._update_on_device(model, due)
            return
        if not due:
            return
        self.updates = updates = int(self.updates) + 1
        decay = min(self.spec.decay, (1 + updates) / (10 + updates))
        source = model.state_dict()
        floats: list[Tensor] = []
        targets: list[Tensor] = []
        for name, value in self._values():
            if value.is_floating_point():
                targets.append(value)
                floats.append(source[name])
            else:
                value.copy_(source[name])
        torch._foreach_lerp_(targets, floats, 1.0 - decay)

    def _update_on_device(self, model: nn.Module, due: Tensor) -> None:
        if not isinstance(self.updates, Tensor):
            self.updates = torch.full_like(due, self.updates, dtype=torch.int64)
        self.updates += due  # in its place: a captured step counts on in it
        decay = ((1 + self.updates) / (10 + self.updates)).clamp(max=self.spec.decay)
        source = model.state_dict()
        for floating, weight in ((True, (1 - decay) * due), (False, due.long())):
            pairs = [(value, source[name]) for name, value in self._values() if value.is_floating_point() is floating]
            if pairs:
                targets, values = (list(side) for side in zip(*pairs, strict=True))
                steps = torch._foreach_sub(values, targets)
                torch._foreach_mul_(steps, weight)
                torch._foreach_add_(targets, steps)

    def _values(self) -> list[tuple[str, Tensor]]:
        values = self.module.state_dict()
        return [(name, values[name]) for name in self._names]

    def state_dict(self) -> dict[str, object]:
        return {"updates": int(self.updates), "module": self.module.state_dict()}

    def load_state_dict(self, state: dict[str, object]) -> None:
        self.updates = int(state["updates"])  # type: ignore[call-overload]
        self.module.load_state_dict(state["module"])  # type: ignore[arg-type]


def _distinct(module: nn.Module) -> tuple[str, ...]:
    """One name of every tensor: a tied one has several, and would be moved once under each."""
    first: dict[tuple[object, ...], str] = {}
    for name, value in module.state_dict().items():
        where = (value.data_ptr(), value.dtype, value.shape, value.stride()) if value.numel() else (name,)
        first.setdefault(where, name)
    return tuple(first.values())
