"""How far attention looks, head by head: the mean distance between a token and what it attends to, in px of the image.

Source: Raghu et al., arXiv 2108.08810, section 3. Weights are read in a normal forward pass; a class token is left out,
and the weights of the others sum to one again. Where attention is within windows or grids, positions relative to one
another are all that counts: neighbours in a grid lie several tokens apart.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from torch import Tensor, nn

from levelfield.models.families.outgrid import GridAttention, OutlookAttention
from levelfield.models.families.vit import TransformerBlock
from levelfield.models.watch_calls import watching

OUTLOOK: Final = 3
"""The side of an outlook's neighbourhood."""


@dataclass
class LayerDistance:
    """One attention layer: what it looks at (`kind`: global, window, grid or outlook), `spacing_px` between neighbours
    there, `uniform_px`: the mean distance of uniform attention, and by head the sum over `images` of the mean distance
    in px."""

    name: str
    kind: str
    spacing_px: float
    uniform_px: float
    total: Tensor
    images: int

    @property
    def heads_px(self) -> list[float]:
        return [float(one) for one in self.total / self.images]


@dataclass
class Distances:
    """The layers of a network in the order in which they compute, over all images that went through it."""

    layers: dict[str, LayerDistance] = field(default_factory=dict)
    batch: int = 0
    """Images of the forward pass that is under way."""

    def add(self, name: str, kind: str, weights: Tensor, apart: Tensor, spacing_px: float) -> None:
        """`weights` (B, groups, heads, Q, K), which sum to one over K; `apart` (Q, K) between their places, in px."""
        heads = (weights.float() * apart).sum(-1).mean((1, 3)).sum(0).double().cpu()
        known = self.layers.get(name)
        if known is None:
            self.layers[name] = LayerDistance(name, kind, spacing_px, float(apart.mean()), heads, len(weights))
        else:
            known.total += heads
            known.images += len(weights)


def apart(height: int, width: int, spacing_px: float) -> Tensor:
    """(H * W, H * W): the distance in px of each two places of a lattice, row-major."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    places = torch.stack([rows.flatten(), columns.flatten()], 1).float() * spacing_px
    return torch.cdist(places, places)


@contextmanager
def distances_of(network: nn.Module, side_px: int) -> Iterator[Distances]:
    """Within the context every forward pass of images of `side_px` adds to what is yielded: of OutGridViT, levelfield's
    and timm's vision transformers (DeiT among them), Swin and MaxViT. A network without such attention adds nothing."""
    found = Distances()

    def before(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        found.batch = len(inputs[0])

    with ExitStack() as within:
        within.enter_context(watching([network], lambda module, inputs, output: None, before))
        for name, module in network.named_modules():
            if isinstance(module, OutlookAttention):
                within.enter_context(watching([module], _outlook(found, name, side_px)))
            elif isinstance(module, GridAttention):
                within.enter_context(watching([module], _grid(found, name, side_px)))
            elif isinstance(module, TransformerBlock):
                within.enter_context(watching([module.qkv], _products(found, name, module.heads, side_px)))
            elif _is_timms(module):
                parent = network.get_submodule(name.rpartition(".")[0])
                within.enter_context(_unfused(module))
                within.enter_context(watching([module.attn_drop], _timms(found, name, parent, side_px)))
        yield found


def _is_timms(module: Any) -> bool:
    """timm's forms of attention hand their weights to `attn_drop` where nothing is fused."""
    return all(hasattr(module, name) for name in ("fused_attn", "attn_drop", "num_heads", "qkv"))


@contextmanager
def _unfused(module: Any) -> Iterator[None]:
    fused, module.fused_attn = module.fused_attn, False
    try:
        yield
    finally:
        module.fused_attn = fused


def _outlook(found: Distances, name: str, side_px: int) -> Any:
    def after(module: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        weights = module.attention_weights(inputs[0])  # (B, heads, 9, H, W)
        spacing = side_px / weights.shape[-1]
        centre = apart(OUTLOOK, OUTLOOK, spacing)[OUTLOOK**2 // 2].to(weights.device)
        found.add(name, "outlook", weights.flatten(3).transpose(2, 3)[:, None], centre[None], spacing)

    return after


def _grid(found: Distances, name: str, side_px: int) -> Any:
    def after(module: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        height, width, g = inputs[0].shape[1], inputs[0].shape[2], module.grid
        weights = module.attention_weights(inputs[0]).flatten(1, 2)  # (B, g * g, heads, N, N)
        spacing = g * side_px / width
        between = apart(height // g, width // g, spacing).to(weights.device)
        found.add(name, "grid", weights, between, spacing)

    return after


def _products(found: Distances, name: str, heads: int, side_px: int) -> Any:
    def after(module: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        B, N, wide = output.shape
        q, k, _ = output.float().reshape(B, N, 3, heads, wide // 3 // heads).permute(2, 0, 3, 1, 4).unbind(0)
        weights = (q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5).softmax(-1)
        side = math.isqrt(N)
        found.add(
            name, "global", weights[:, None], apart(side, side, side_px / side).to(weights.device), side_px / side
        )

    return after


def _timms(found: Distances, name: str, parent: nn.Module, side_px: int) -> Any:
    """Of timm: the windows of an image follow one another in the batch, so their number says how large they are."""
    block = getattr(parent, "partition_block", None)

    def after(module: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        weights = inputs[0]
        groups = len(weights) // found.batch
        tokens = weights.shape[-1]
        window = math.isqrt(tokens)
        prefix = tokens - window**2
        weights = weights[..., prefix:, prefix:].float()
        weights = weights / weights.sum(-1, keepdim=True)
        side = math.isqrt(groups * window**2)
        kind = "grid" if block is False else "window" if groups > 1 else "global"
        spacing = side_px / (window if kind == "grid" else side)
        between = apart(window, window, spacing).to(weights.device)
        found.add(name, kind, weights.reshape(-1, groups, *weights.shape[1:]), between, spacing)

    return after
