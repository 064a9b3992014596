"""Quantisation-aware training (Jacob et al., arXiv 1712.05877, section 3): a network trains with int8's rounding in it.

Before a convolution or linear layer multiplies, its weight and its input are rounded to the levels that int8 has for
them; backwards the rounding counts as the identity, within the range (straight through). The grids are those of the
int8 file that `exports/int8.py` writes. Weights: symmetric, per output channel, 7 bits, from the weight as it is; a
positive or negative factor per channel leaves them on their grid, so that a BatchNorm may be folded in afterwards.
Inputs: per tensor, 8 bits, the range a moving average of batches' extremes that holds zero (section 3.1), which is a
buffer of the layer: part of checkpoints and of the result. It is the same for any split of a batch over processes.

A layer is switched by giving it another class, of the same name, as gradient checkpointing does it: names, parameters
and hooks stay. What lies between these layers is rounded in the file only.
"""

from __future__ import annotations

import copy
import functools
from typing import Any, Final

import torch
from torch import Tensor, distributed, nn

from levelfield.spec import QuantizeAware
from levelfield.training.weighted_layers import ROUNDS_AS, weighted_layers

KEY: Final = "recipe.quantize_aware"
RANGE: Final = "input_range"
MARK: Final = "levelfield::InputRange"
LOWEST, HIGHEST = -128, 127
LARGEST_WEIGHT: Final = 64
_KINDS: Final = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
_SMALLEST_STEP: Final = torch.finfo(torch.float32).tiny


def fake_quantise(model: nn.Module, how: QuantizeAware) -> nn.Module:
    """`model`, whose convolutions and linear layers round their weights and inputs from now on.

    Raises UserError for a layer that makes its weight anew at each step.
    """
    for _, layer in weighted_layers(model, KEY, "rounding its own rounds another"):
        if isinstance(layer, _KINDS):
            weight = layer._parameters["weight"]
            assert weight is not None
            layer.register_buffer(RANGE, torch.zeros(2, device=weight.device))
            layer.__class__ = _rounding(type(layer), how.momentum)  # type: ignore[assignment, arg-type]
    return model


def quantised_layers(model: nn.Module) -> list[nn.Module]:
    """Its layers that round."""
    return [module for module in model.modules() if hasattr(type(module), ROUNDS_AS)]


@torch.no_grad()
def without_rounding(model: nn.Module) -> nn.Module:
    """What computes as the network does but for the rounding of inputs: layers as they were, rounded weights in them. A
    copy, or `model` where nothing rounds."""
    return _as_it_was(model, marked=False)


@torch.no_grad()
def marked_for_onnx(model: nn.Module) -> nn.Module:
    """The same with a node `MARK` before each layer that an input has reached, which has the input's grid as its
    attributes `step` and `zero`: to be exported, not to be called."""
    return _as_it_was(model, marked=True)


def input_grid(found: Tensor) -> tuple[Tensor, Tensor]:
    """Step () float32 and zero point () int32 of a range (2,) that holds zero."""
    low, high = found.unbind()
    step = ((high - low) / (HIGHEST - LOWEST)).clamp(min=_SMALLEST_STEP)
    return step, (LOWEST - low / step).round().clamp(LOWEST, HIGHEST).to(torch.int32)


@torch.no_grad()
def observe(found: Tensor, x: Tensor, momentum: float) -> None:
    """Move the range `found` (2,) towards the extremes of the batch `x`, over all processes; at first to them."""
    low, high = torch.aminmax(x.detach())
    reach = torch.stack((-low, high)).float().clamp(min=0)
    if distributed.is_available() and distributed.is_initialized():
        distributed.all_reduce(reach, distributed.ReduceOp.MAX)
    seen = torch.stack((-reach[0], reach[1]))
    found.copy_(torch.where(found[0] == found[1], seen, found.lerp(seen, momentum)))


def rounded_weight(weight: Tensor) -> Tensor:
    """A weight (outputs, ...) on its grid, in its shape and dtype; its gradient is the whole of what comes."""
    step = weight.detach().float().flatten(1).abs().amax(1).div(LARGEST_WEIGHT).clamp(min=_SMALLEST_STEP)
    zeros = torch.zeros_like(step, dtype=torch.int32)
    on_grid = torch.fake_quantize_per_channel_affine(weight.float(), step, zeros, 0, -LARGEST_WEIGHT, LARGEST_WEIGHT)
    return on_grid.to(weight.dtype)


def _rounded_input(x: Tensor, found: Tensor) -> Tensor:
    rounded = torch.fake_quantize_per_tensor_affine(x.float(), *input_grid(found), LOWEST, HIGHEST)
    return rounded.to(x.dtype)


@functools.cache
def _rounding(kind: type[nn.Module], momentum: float) -> type[nn.Module]:
    """A class like `kind` that rounds; `ROUNDS_AS` is the class that it stands for."""

    def forward(self: nn.Module, x: Tensor, *args: Any, **kwargs: Any) -> Any:
        found = self.get_buffer(RANGE)
        if self.training:
            observe(found, x, momentum)
        return kind.forward(self, _rounded_input(x, found), *args, **kwargs)

    def weight(self: nn.Module) -> Tensor:
        own = self._parameters["weight"]
        assert own is not None
        return rounded_weight(own)

    own = {"forward": forward, "weight": property(weight), ROUNDS_AS: kind, "__module__": kind.__module__}
    return type(kind.__name__, (kind,), own)


@functools.cache
def _marking(kind: type[nn.Module]) -> type[nn.Module]:
    """A class like `kind` that notes its attribute `grid` before it computes."""

    def forward(self: nn.Module, x: Tensor, *args: Any, **kwargs: Any) -> Any:
        noted = torch.onnx.ops.symbolic(MARK, (x,), self.grid, dtype=x.dtype, shape=x.shape, version=1)  # type: ignore[arg-type]
        return kind.forward(self, noted, *args, **kwargs)

    return type(kind.__name__, (kind,), {"forward": forward, "__module__": kind.__module__})


def _as_it_was(model: nn.Module, marked: bool) -> nn.Module:
    if not quantised_layers(model):
        return model
    model = copy.deepcopy(model)
    for layer in quantised_layers(model):
        weight, found = layer._parameters["weight"], layer._buffers.pop(RANGE)
        assert weight is not None and found is not None
        weight.copy_(rounded_weight(weight))
        layer.__class__ = kind = getattr(type(layer), ROUNDS_AS)
        if marked and bool(found[0] < found[1]):
            step, zero = input_grid(found)
            layer.grid = {"step": float(step), "zero": int(zero)}  # type: ignore[assignment]
            layer.__class__ = _marking(kind)
    return model
