"""Magnitude pruning: the smallest of a network's weights are set to zero, and held there at every step.

The masks are a function of the weights that the run starts from, so nothing of them is saved; averages of zeros are
zeros. A network computes as much as before: files that are compressed get smaller, and runtimes that skip zeros faster.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from levelfield.spec import Prune


class Pruning:
    """Zeroes the weights of `model`'s convolutions and linear layers that are smallest as it is given."""

    def __init__(self, model: nn.Module, prune: Prune) -> None:
        self._weights = prunable(model)
        self._kept = kept([weight.detach() for weight in self._weights], prune)
        self.apply()

    @property
    def zeros(self) -> int:
        """How many weights are held at zero."""
        return sum(int((~mask.bool()).sum()) for mask in self._kept)

    @torch.no_grad()
    def apply(self) -> None:
        """Set what was pruned to zero again, after a step that moved it."""
        torch._foreach_mul_(self._weights, self._kept)


def prunable(model: nn.Module) -> list[Tensor]:
    """The weights of its convolutions and linear layers, each once; norms, biases and tables are left alone."""
    layers = (nn.Linear, nn.modules.conv._ConvNd)
    found = {id(module.weight): module.weight for module in model.modules() if isinstance(module, layers)}
    return list(found.values())


def kept(weights: list[Tensor], prune: Prune) -> list[Tensor]:
    """Of each weight 1 where it stays and 0 where it goes, in its dtype and layout. Exactly `share` of them go, of
    those of equal magnitude the first."""
    groups = [weights] if prune.scope == "global" else [[weight] for weight in weights]
    return [mask for group in groups for mask in _kept_of(group, prune.share)]


def _kept_of(weights: list[Tensor], share: float) -> list[Tensor]:
    sizes = torch.cat([weight.abs().flatten().float().cpu() for weight in weights])
    smallest = torch.argsort(sizes, stable=True)[: round(share * len(sizes))]
    flat = torch.ones_like(sizes)
    flat[smallest] = 0
    parts = torch.split(flat, [weight.numel() for weight in weights])
    masks = zip(weights, parts, strict=True)
    return [torch.empty_like(weight).copy_(part.view(weight.shape)) for weight, part in masks]
