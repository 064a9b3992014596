"""Attention rollout: how much of each token of the image reaches what the classifier reads, through all layers.

Source: Abnar and Zuidema, arXiv 2005.00928, section 3. The weights of a layer are the mean over its heads; half of
every token goes past attention (the residual connection); layers follow one another as a product.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Final

import torch
from torch import Tensor, nn

from levelfield.analysis.where_it_looks.attention_weights import is_timms, unfused, weights_of_products
from levelfield.models.families.vit import TransformerBlock, VisionTransformer
from levelfield.models.watch_calls import watching

TIMMS: Final = "timm.models.vision_transformer"
"""Where timm's plain vision transformers are defined, DeiT's parent among them."""


def rollout(layers: Sequence[Tensor]) -> Tensor:
    """(B, N, N), which sum to one over the last: how much of each token (last) is in each one at the end. `layers`: the
    weights (B, heads, N, N) of each layer, first to last."""
    through: Tensor | None = None
    for weights in layers:
        mixed = weights.float().mean(1)
        own = (mixed + torch.eye(mixed.shape[-1], device=mixed.device)) / 2
        own = own / own.sum(-1, keepdim=True)
        through = own if through is None else own @ through
    assert through is not None
    return through


def reads(network: nn.Module) -> str | None:
    """What the classifier of a plain vision transformer reads: its "class token", or the "mean over tokens"; None of a
    network that is none, or that reads its tokens in another way."""
    if isinstance(network, VisionTransformer):
        return "mean over tokens"
    if not any(kind.__module__ == TIMMS for kind in type(network).__mro__):
        return None
    pooled = {"token": "class token", "avg": "mean over tokens"}
    return pooled.get(str(getattr(network, "global_pool", "")))


def rolled_out(layers: Sequence[Tensor], read: str) -> Tensor:
    """(B, side, side) of the `layers` of a network whose classifier `read`s what `reads` says: the share that each
    place of the image has in it, without class tokens, which stand before the others."""
    through = rollout(layers)
    side = math.isqrt(through.shape[-1])
    prefix = through.shape[-1] - side**2
    reached = through[:, :1] if read == "class token" else through[:, prefix:]
    return reached[:, :, prefix:].mean(1).reshape(-1, side, side)


@contextmanager
def attention_of(network: nn.Module) -> Iterator[list[Tensor]]:
    """Within the context a forward pass of a plain vision transformer adds the weights of its layers to what is
    yielded: (B, heads, N, N) each."""
    found: list[Tensor] = []
    with ExitStack() as within:
        for module in network.modules():
            if isinstance(module, TransformerBlock):
                within.enter_context(watching([module.qkv], _after_products(found, module.heads)))
            elif is_timms(module):
                attention: nn.Module = module.attn_drop  # type: ignore[assignment]
                within.enter_context(unfused(module))
                within.enter_context(watching([attention], lambda one, inputs, output: found.append(inputs[0])))
        yield found


def _after_products(found: list[Tensor], heads: int) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
    def after(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        found.append(weights_of_products(output, heads))

    return after
