"""Magnitude pruning: the smallest of a network's weights are set to zero, and held there at every step.

The masks are a function of the weights that the run starts from, so nothing of them is saved; averages of zeros are
zeros. What is not there has no gradient, so that it has no part in clipping, nor in optimisers that take a matrix as a
whole. A network computes as much as before: files that are compressed get smaller, and runtimes that skip zeros faster.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from levelfield.errors import UserError
from levelfield.spec import Prune
from levelfield.training.weighted_layers import weighted_layers


class Pruning:
    """Zeroes the weights of `model`'s convolutions and linear layers that are smallest as it is given.

    `zeros`: how many are held at zero, `of` how many; `empty`: layers that have none left. Raises UserError for a share
    that is less than one weight, and for a layer in which a weight of zero is no zero.
    """

    def __init__(self, model: nn.Module, prune: Prune) -> None:
        self._weights = prunable(model)
        self._kept = kept([weight.detach() for weight in self._weights], prune)
        left = [int(torch.count_nonzero(mask)) for mask in self._kept]
        self.of = sum(mask.numel() for mask in self._kept)
        self.zeros, self.empty = self.of - sum(left), left.count(0)
        if not self.zeros:
            raise UserError(
                f"recipe.prune.share {prune.share:f} of {self.of:,} weights is none\ngive a larger share, as 0.5"
            )
        self.apply()

    def __str__(self) -> str:
        lost = f"; {self.empty} of {len(self._kept)} layers have none left" if self.empty else ""
        return f"pruned: {self.zeros:,} of {self.of:,} weights are zero{lost}"

    @torch.no_grad()
    def mask_gradients(self) -> None:
        """Take the gradients of what was pruned away."""
        pairs = [
            (weight.grad, mask)
            for weight, mask in zip(self._weights, self._kept, strict=True)
            if weight.grad is not None
        ]
        if pairs:
            torch._foreach_mul_(*map(list, zip(*pairs, strict=True)))

    @torch.no_grad()
    def apply(self) -> None:
        """Set what was pruned to zero again, after a step that moved it."""
        torch._foreach_mul_(self._weights, self._kept)


def prunable(model: nn.Module) -> list[Tensor]:
    """The weights of its convolutions and linear layers, each once; norms, biases and tables are left alone.

    Raises UserError for a layer that does not multiply by its weight as it is.
    """
    layers = weighted_layers(model, "recipe.prune", "a zero of its own is none there")
    return list(
        {id(weight): weight for _, layer in layers if (weight := layer._parameters["weight"]) is not None}.values()
    )


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
