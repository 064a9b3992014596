"""Where a network halves its map: one forward pass on shapes alone, watched by hooks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from levelfield.models.adapt_timm.find_stem import StemWatch
from levelfield.models.watch_calls import watching
from levelfield.module_mode import evaluation_mode


@dataclass(frozen=True)
class Reducer:
    """A module that shrinks the map by an integer factor, by dotted name."""

    name: str
    module: nn.Module
    factor: int


@dataclass(frozen=True)
class Trace:
    """A forward pass: `levels` are the reducers that met the same input side, largest side first; sides in px.

    A residual branch and its shortcut are on one level, so that changing a whole level keeps them in step. The first
    `stem` of the levels lie before the network's first branch (`find_stem.py`). `last_side` is that of the map (or
    the square of tokens) which `forward_features` returns.
    """

    side: int
    levels: tuple[tuple[Reducer, ...], ...]
    last_side: int
    logits: tuple[int, ...]
    stem: int

    @property
    def reduction(self) -> float:
        return self.side / self.last_side


def trace(model: nn.Module, side: int) -> Trace:
    """Run `model` on one image of `side` x `side` px, in evaluation mode, and note its reducers in order."""
    by_side: dict[int, list[Reducer]] = {}
    names = {module: name for name, module in model.named_modules()}
    smallest = [side]

    def note(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        before, after = (inputs[0] if inputs else None), output
        if not (isinstance(before, Tensor) and isinstance(after, Tensor) and before.ndim == after.ndim == 4):
            return
        heights, widths = (before.shape[2], after.shape[2]), (before.shape[3], after.shape[3])
        if heights[0] != widths[0] or heights[1] != widths[1] or heights[1] == heights[0]:
            return
        if isinstance(module, nn.Conv2d):
            smallest.append(heights[1])
        if heights[1] <= 1:
            return
        factor = round(heights[0] / heights[1])
        if factor > 1:
            reducers = by_side.setdefault(heights[0], [])
            if all(reducer.module is not module for reducer in reducers):
                reducers.append(Reducer(names[module], module, factor))

    sized = (module for module in model.modules() if not isinstance(module, _ANY_SIZE))
    leaves = [module for module in sized if next(module.children(), None) is None]
    watch = StemWatch()
    with evaluation_mode(model), watching(leaves, note), torch.no_grad():
        with watching(model.modules(), watch.leave, watch.enter), watch:
            features = model.forward_features(image_of(model, side))  # type: ignore[operator]
        logits = model(image_of(model, side))
    levels = tuple(tuple(by_side[key]) for key in sorted(by_side, reverse=True))
    logits = logits[0] if isinstance(logits, (tuple, list)) else logits
    last = last_side(model, features)
    if last == 1:  # features that are pooled already, or class tokens alone: the smallest map before them
        last = min(smallest)
    in_stem = [watch.holds([reducer.module for reducer in level]) for level in levels]
    return Trace(side, levels, last, tuple(logits.shape), [*in_stem, False].index(False))


_ANY_SIZE = (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)  # they give the same output whatever the input's side


def image_of(model: nn.Module, side: int) -> Tensor:
    """An image of zeros, (1, 3, side, side), where `model` is."""
    return torch.zeros(1, 3, side, side, device=next(model.parameters()).device)


def last_side(model: nn.Module, features: Any) -> int:
    """The side of the map in what `forward_features` returned: (B, C, h, w), (B, h, w, C), or (B, N, C) tokens."""
    if isinstance(features, dict):
        features = list(features.values())
    if isinstance(features, (tuple, list)):
        return min(last_side(model, part) for part in features if isinstance(part, Tensor) and part.ndim > 2)
    if features.ndim == 4:
        channels_last = features.shape[1] == features.shape[2] and features.shape[3] == getattr(
            model, "num_features", None
        )
        return int(features.shape[1] if channels_last else min(features.shape[2:]))
    if features.ndim == 3:
        prefix = int(getattr(model, "num_prefix_tokens", 0) or 0)
        return max(math.isqrt(features.shape[1] - prefix), 1)
    return 1
