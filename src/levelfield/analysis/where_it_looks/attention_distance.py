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

from levelfield.analysis.where_it_looks.attention_weights import is_timms, unfused, weights_of_products
from levelfield.models.families.outgrid import GridAttention, OutlookAttention
from levelfield.models.families.vit import TransformerBlock
from levelfield.models.watch_calls import watching

OUTLOOK: Final = 3
"""The side of an outlook's neighbourhood."""
READ: Final = ("VisionTransformer", "VisionTransformerRelPos", "Beit", "Eva", "SwinTransformer", "MaxxVit")
"""Networks of timm, by class, whose attention is over a square map of the image, or windows or grids of one."""


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
    maps: dict[nn.Module, tuple[int, int]] = field(default_factory=dict)
    """Height and width of the map of tokens that a block of Swin has been given in it."""

    def add(
        self, name: str, kind: str, weights: Tensor, apart: Tensor, spacing_px: float, real: Tensor | None = None,
        uniform_px: float | None = None,
    ) -> None:  # fmt: skip
        """`weights` (B, groups, heads, Q, K), which sum to one over K; `apart` between their places, in px: (Q, K), or
        (groups, 1, Q, K). `real` (groups, Q): queries that count (None: all). `uniform_px`: None for the mean of
        `apart`."""
        far = (weights.float() * apart).sum(-1)
        counts = torch.ones_like(far[0, :, 0]) if real is None else real.to(far)
        heads = ((far * counts[:, None]).sum((1, 3)) / counts.sum()).sum(0).double().cpu()
        known = self.layers.get(name)
        if known is None:
            self.layers[name] = LayerDistance(
                name, kind, spacing_px, float(apart.mean()) if uniform_px is None else uniform_px, heads, len(weights)
            )
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
    plain = _prefix_of_timms(network)

    def before(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        found.batch = len(inputs[0])

    def given(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        found.maps[module] = inputs[0].shape[1], inputs[0].shape[2]

    def nothing(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None: ...

    with ExitStack() as within:
        within.enter_context(watching([network], nothing, before))
        for name, module in network.named_modules():
            if isinstance(module, OutlookAttention):
                within.enter_context(watching([module], _outlook(found, name, side_px)))
            elif isinstance(module, GridAttention):
                within.enter_context(watching([module], _grid(found, name, side_px)))
            elif isinstance(module, TransformerBlock):
                within.enter_context(watching([module.qkv], _products(found, name, module.heads, side_px)))
            elif plain is not None and is_timms(module):
                parent = network.get_submodule(name.rpartition(".")[0])
                if hasattr(parent, "shift_size"):
                    within.enter_context(watching([parent], nothing, given))
                within.enter_context(unfused(module))
                within.enter_context(watching([module.attn_drop], _timms(found, name, parent, plain, side_px)))
        yield found


def _prefix_of_timms(network: nn.Module) -> int | None:
    """How many class tokens and registers stand before those of the image in a network of timm that is read; None of
    others, whose attention may be over channels, or over places that are not told here."""
    for module in network.modules():
        if any(one.__module__.startswith("timm.models") and one.__name__ in READ for one in type(module).__mro__):
            return int(getattr(module, "num_prefix_tokens", 0))
    return None


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
        weights = weights_of_products(output, heads)
        side = math.isqrt(output.shape[1])
        found.add(
            name, "global", weights[:, None], apart(side, side, side_px / side).to(weights.device), side_px / side
        )

    return after


def _timms(found: Distances, name: str, parent: nn.Module, prefix: int, side_px: int) -> Any:
    """Of timm: the windows of an image follow one another in the batch, so their number says how large they are."""
    block = getattr(parent, "partition_block", None)

    def after(module: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        groups = len(inputs[0]) // found.batch
        weights = inputs[0].reshape(-1, groups, *inputs[0].shape[1:])
        if hasattr(parent, "shift_size"):
            add_swins(found, name, parent, weights, side_px)
            return
        own = prefix if groups == 1 else 0
        weights = weights[..., own:, own:].float()
        weights = weights / weights.sum(-1, keepdim=True)
        window = math.isqrt(weights.shape[-1])
        kind = "grid" if block is False else "window" if groups > 1 else "global"
        spacing = side_px / (window if kind == "grid" else math.isqrt(groups) * window)
        found.add(name, kind, weights, apart(window, window, spacing).to(weights.device), spacing)

    return after


def add_swins(found: Distances, name: str, block: Any, weights: Tensor, side_px: int) -> None:
    """Of a block of timm's Swin, `weights` (B, windows, heads, N, N). The map is rolled by its shift, padded where
    windows do not divide it, and cut into windows: tokens are where they lie in the image, and what is beyond it is
    left out as a class token is."""
    (height, width), window = found.maps[block], block.window_size[0]
    spacing = side_px / width
    places, real = windows_of(height, width, window, block.shift_size[0])
    kept = real[:, None, None].to(weights.device)
    weights = weights.float() * kept
    weights = weights / weights.sum(-1, keepdim=True).clamp_min(1e-12)
    between = torch.cdist(places, places)[:, None].to(weights.device) * spacing
    near = apart(window, window, spacing)
    uniform = ((near * real[:, None]).sum(-1) / real.sum(1, keepdim=True).clamp_min(1))[real].mean()
    found.add(name, "window" if len(real) > 1 else "global", weights, between, spacing, real, float(uniform))


def windows_of(height: int, width: int, window: int, shift: int) -> tuple[Tensor, Tensor]:
    """Where the tokens of each window lie, float (windows, window ** 2, 2) by row and column of the map; and which of
    them are tokens and no padding, bool (windows, window ** 2)."""

    def line(size: int) -> Tensor:
        place = (torch.arange(size) + shift) % size
        return torch.cat([place, torch.full((-size % window,), -1)])

    places = torch.stack(torch.meshgrid(line(height), line(width), indexing="ij"), -1)
    cut = places.unfold(0, window, window).unfold(1, window, window).permute(0, 1, 3, 4, 2).reshape(-1, window**2, 2)
    return cut.float(), (cut >= 0).all(-1)
