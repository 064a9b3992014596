"""The map that Grad-CAM looks at, by one rule for every network: the last one that still has places of the image.

The last module to end whose output is a map of more than one place. Where a network reads nothing but a class token of
it (ViT, DeiT), it is the last one before, of the same shape, of which the other tokens count. Modules that are called
more than once in a pass are passed over: which of their outputs is meant could not be said.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from levelfield.models.watch_calls import watching

CLASS_TOKENS: Final = (0, 1, 2)
"""So many tokens may stand before those of the image, where a network does not say how many."""
Seen = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class SpatialMap:
    """The output of `module`, `name` in its network: `height` and `width` places. `seen`: from the output to
    (B, C, height, width), without class tokens."""

    name: str
    module: nn.Module
    height: int
    width: int
    seen: Seen


def last_map(network: nn.Module, images: Tensor) -> SpatialMap | None:
    """By the rule above, of `images` (B, 3, H, W) as the network takes them; None where no module has such a map."""
    outputs: list[tuple[Tensor, SpatialMap]] = []
    calls: dict[nn.Module, int] = {}
    names = {module: name for name, module in network.named_modules() if name}
    more = getattr(network, "num_prefix_tokens", None)
    prefixes = CLASS_TOKENS if more is None else (*CLASS_TOKENS, int(more))

    def after(module: nn.Module, inputs: tuple[Tensor, ...], output: object) -> None:
        calls[module] = calls.get(module, 0) + 1
        if isinstance(output, Tensor) and output.requires_grad and (seen := _seen(output, len(images), prefixes)):
            height, width = seen(output).shape[2:]
            outputs.append((output, SpatialMap(names[module], module, height, width, seen)))

    with torch.enable_grad(), watching(names, after):
        logits: Tensor = network(images)
        once = [(output, of) for output, of in outputs if calls[of.module] == 1]
        alike = [(output, of) for output, of in once if output.shape == once[-1][0].shape]
        best = logits.float().max(1).values.sum()
        gradients = torch.autograd.grad(best, [output for output, _ in alike], allow_unused=True) if alike else ()
    for (_, of), gradient in zip(reversed(alike), reversed(gradients), strict=True):
        if gradient is not None and of.seen(gradient).any():
            return of
    return None


def _seen(output: Tensor, images: int, prefixes: tuple[int, ...]) -> Seen | None:
    """How `output` is a map of `images` images: (B, C, H, W) or (B, H, W, C) of square maps, or tokens (B, N, C) of
    square ones after class tokens; None where it is none, or has one place only."""
    if len(output) != images:
        return None
    if output.ndim == 4:
        _, a, b, c = output.shape
        if b == c:
            return (lambda values: values) if b > 1 else None
        return (lambda values: values.permute(0, 3, 1, 2)) if a == b > 1 else None
    if output.ndim != 3:
        return None
    side = math.isqrt(output.shape[1])
    prefix = output.shape[1] - side**2
    if side < 2 or prefix not in prefixes:
        return None
    return lambda values: values[:, prefix:].transpose(1, 2).reshape(len(values), -1, side, side)
