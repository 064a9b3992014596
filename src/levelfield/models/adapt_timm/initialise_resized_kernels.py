"""Initial weights for a convolution whose kernel was changed: those that timm itself gives one of that size."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from levelfield.models.adapt_timm.remove_downsampling import Change

BY_TORCH = "its weights begin as torch's, since the network does not build with it"


def initialise_as_built(model: nn.Module, build: Callable[[], nn.Module], kernels: Mapping[str, int]) -> list[Change]:
    """Give the convolutions `kernels` (name -> side) of `model` the weights with which `build` would begin them.

    `build` makes the network anew with those kernels in place of its own, so that the scheme that its family has for
    this layer, whatever it looks at, draws for the new shape. Its draws follow on those that made `model`; what is
    drawn later is not changed by them. Returns what there is to say: where that fails, torch's own weights stay.
    """
    if not kernels:
        return []
    with torch.random.fork_rng(devices=[]):
        try:
            with _kernels({}) as built:
                twin = build()
            modules = {id(module): number for number, module in enumerate(built)}
            numbers = {modules[id(twin.get_submodule(name))]: side for name, side in kernels.items()}
            with _kernels(numbers):
                source = build()
        except Exception:  # a network may refuse another kernel in any way
            return [Change(f"{name}: kernel {side}", BY_TORCH) for name, side in kernels.items()]
    changes = []
    for name, side in kernels.items():
        new, old = model.get_submodule(name), source.get_submodule(name)
        weights = {key: value for key, value in old.state_dict().items() if key in new.state_dict()}
        if {key: value.shape for key, value in weights.items()} != {k: v.shape for k, v in new.state_dict().items()}:
            changes.append(Change(f"{name}: kernel {side}", BY_TORCH))
            continue
        new.load_state_dict(weights)
    return changes


@contextmanager
def _kernels(sides: Mapping[int, int]) -> Iterator[list[nn.Module]]:
    """Inside, the n-th `Conv2d` that is made has the kernel `sides[n]`; gives the list of all that were made."""
    made: list[nn.Module] = []
    original = nn.Conv2d.__init__

    def init(self: nn.Conv2d, in_channels: int, out_channels: int, kernel_size: Any, *rest: Any, **named: Any) -> None:
        side = sides.get(len(made))
        made.append(self)
        original(self, in_channels, out_channels, kernel_size if side is None else side, *rest, **named)

    nn.Conv2d.__init__ = init  # type: ignore[method-assign]
    try:
        yield made
    finally:
        nn.Conv2d.__init__ = original  # type: ignore[method-assign]
