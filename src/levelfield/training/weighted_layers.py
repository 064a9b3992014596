"""The layers that multiply by a weight of their own, convolutions and linear ones: pruned and rounded are these."""

from __future__ import annotations

from typing import Final

import torch
from torch import nn
from torch.func import functional_call

from levelfield.errors import UserError

ROUNDS_AS: Final = "rounds_as"
"""An attribute of the classes of layers that round (`fake_quantisation.py`): the class that each stands for."""
_LAYERS: Final = (nn.Linear, nn.modules.conv._ConvNd)
_PLAIN: Final = frozenset(layer.forward for layer in (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d))


def weighted_layers(model: nn.Module, key: str, otherwise: str) -> list[tuple[str, nn.Module]]:
    """Its convolutions and linear layers by name.

    Raises UserError for a layer that does not multiply by its weight as it is, of which `otherwise` says what becomes
    of the recipe's `key` there.
    """
    found: list[tuple[str, nn.Module]] = [each for each in model.named_modules() if isinstance(each[1], _LAYERS)]
    for name, module in found:
        if not _multiplies_by_its_weight(module):
            raise UserError(
                f"{key}: {name or 'the network'} ({type(module).__name__}) computes with another weight than "
                f"its own, made anew at each step (normalised, or reparametrised): {otherwise}\n"
                f"train this network without {key}"
            )
    return found


@torch.no_grad()
def _multiplies_by_its_weight(module: nn.Module) -> bool:
    """Whether `weight` is a parameter of the layer, and twice of it gives twice as much; what rounds was found to do so
    before it rounded."""
    weight = module._parameters.get("weight")
    if weight is None:
        return False
    if hasattr(type(module), ROUNDS_AS):
        return True
    if type(module).forward in _PLAIN and "forward" not in vars(module):
        return True
    sides = [
        (size - 1) * step + 2 for size, step in zip(weight.shape[2:], getattr(module, "dilation", ()), strict=False)
    ]
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, getattr(module, "in_channels", weight.shape[1]), *sides, generator=generator).to(weight)
    own = {name: torch.zeros_like(value) for name, value in module.named_parameters(recurse=False) if name == "bias"}
    try:
        once, twice = (functional_call(module, {**own, "weight": factor * weight}, (x,)) for factor in (1, 2))
    except Exception:  # a stranger's layer that takes something else than such images: taken at its word
        return True
    return torch.allclose(2 * once, twice, rtol=1e-3, atol=0)
