"""OutGridViT (`outgrid_*`): local Outlooker, MBConv and grid attention in every block.

Input (B, 3, H, W). Stem: 3x3 convolution at full resolution to 64 channels, BatchNorm, SiLU; a 1x1 convolution where 64
is not the first stage's width; stages of blocks, each stage at half the resolution of the one before; BatchNorm, global
average pool, linear classifier. PyTorch's default initialisation. A block, on x (B, C, H, W), DP = stochastic depth:

    Outlooker       x += DP(OutlookAttention(LN x));  x += DP(MLP(LN x))      1x1 convolutions to 2C and back, GELU
    MBConv          x += 1x1(SE(3x3 depthwise(1x1 x)))                         expansion 4, BatchNorm, SiLU
    grid attention  x += DP(MHSA(LN x))                                       g*g groups spread over the whole map
    MLP             x += DP(MLP(LN x))                                        expansion 4, GELU

Parameters (classes): outgrid_7m 7,518,102 (100), outgrid_14m 14,599,198 (100) and 14,564,548 (10), outgrid_22m
22,542,628 (200), outgrid_33m 32,974,583 (100). The Outlooker, MBConv and grid attention can each be switched off.
Widths are multiples of a stage's heads at every `width_factor`.

`levelfield.models.capture_attention` reads the weights of both kinds of attention from a normal forward pass.
"""

from __future__ import annotations

import math
from functools import partial
from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from levelfield.errors import UserError
from levelfield.models.kernels.grid_attention import grid_attention, grid_weights
from levelfield.models.kernels.norm_silu import norm_activation, norm_silu, norm_silu_gate
from levelfield.models.kernels.outlook import TAPS, outlook, outlook_weights
from levelfield.models.layers import (
    MLP,
    ChannelLinear,
    ChannelNorm,
    ConvNormSiLU,
    Depthwise,
    Pointwise,
    SqueezeExcite,
    TokenNorm,
)
from levelfield.models.network_contract import Network
from levelfield.models.registry import register_model
from levelfield.models.size_rule import SIZE_OPTIONS, deeper, wider
from levelfield.models.stochastic_depth import DropPath, DropPathMode, linear_rates


class OutlookAttention(nn.Module):
    """Weighted sum over each pixel's 3x3 neighbourhood, weights from the pixel itself: (B, C, H, W) to the same."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.logits = Pointwise(channels, TAPS * heads)
        self.values = Pointwise(channels, channels)
        self.projection = Pointwise(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.projection(outlook(self.logits(x), self.values(x), self.heads))

    def attention_weights(self, x: Tensor) -> Tensor:
        """The softmax over the nine offsets (row-major) for the module's input x: (B, heads, 9, H, W)."""
        return outlook_weights(self.logits(x), self.heads)


class GridAttention(nn.Module):
    """Self-attention among the tokens that share (row mod g, column mod g): (B, H, W, C) to the same.

    H and W must be divisible by g. There are g * g groups of (H/g) * (W/g) tokens, each spread over the whole map.
    """

    def __init__(self, channels: int, heads: int, grid: int) -> None:
        super().__init__()
        self.heads = heads
        self.grid = grid
        self.qkv = ChannelLinear(channels, 3 * channels)
        self.projection = ChannelLinear(channels, channels)

    def queries_keys_values(self, x: Tensor) -> Tensor:
        """Of every token, one after the other: (B, H, W, 3C)."""
        g, H, W = self.grid, x.shape[1], x.shape[2]
        if H % g or W % g:
            raise UserError(
                f"grid attention: a map of {H}x{W} is not divisible by the grid size {g}; use another image_size"
            )
        return self.qkv(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.projection(grid_attention(self.queries_keys_values(x), self.heads, self.grid))

    def attention_weights(self, x: Tensor) -> Tensor:
        """The softmax of QK^T / sqrt(d) for the module's input x: (B, g, g, heads, N, N).

        Axes 1 and 2 are row mod g and column mod g; token n of a group lies at row (n // (W/g)) * g + axis 1 and column
        (n % (W/g)) * g + axis 2.
        """
        return grid_weights(self.queries_keys_values(x), self.heads, self.grid)


class MBConv(nn.Sequential):
    """Inverted bottleneck with squeeze-excite at a quarter of the expanded width; residual without stochastic depth."""

    def __init__(self, channels: int) -> None:
        wide = 4 * channels
        super().__init__(
            Pointwise(channels, wide, bias=False),
            nn.BatchNorm2d(wide),
            nn.SiLU(),
            Depthwise(wide, 3, bias=False),
            nn.BatchNorm2d(wide),
            nn.SiLU(),
            SqueezeExcite(wide, wide // 4),
            Pointwise(wide, channels, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        expand, norm, act, depthwise, depthwise_norm, depthwise_act, excite, project, project_norm = self
        y = norm_silu(expand(x), norm, act)
        y = norm_silu_gate(depthwise(y), depthwise_norm, depthwise_act, excite)
        return x + norm_activation(project(y), project_norm)


class OutlookerPart(nn.Module):
    """Local part of a block: outlook attention and an MLP of 1x1 convolutions, each a residual branch."""

    def __init__(self, channels: int, heads: int, drop_path: float, mode: DropPathMode) -> None:
        super().__init__()
        self.attention_norm = ChannelNorm(channels)
        self.attention = OutlookAttention(channels, heads)
        self.mlp_norm = ChannelNorm(channels)
        self.mlp = MLP(Pointwise, channels, 2 * channels)
        self.drop_path = DropPath(drop_path, mode)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop_path(self.attention(self.attention_norm(x)))
        return x + self.drop_path(self.mlp(self.mlp_norm(x)))


class GridPart(nn.Module):
    """Global part of a block, on (B, H, W, C): grid attention (unless left out) and an MLP, each a residual branch."""

    def __init__(
        self, channels: int, heads: int, grid: int, attention: bool, drop_path: float, mode: DropPathMode
    ) -> None:
        super().__init__()
        self.has_attention = attention
        if attention:
            self.attention_norm = TokenNorm(channels)
            self.attention = GridAttention(channels, heads, grid)
        self.mlp_norm = TokenNorm(channels)
        self.mlp = MLP(ChannelLinear, channels, 4 * channels)
        self.drop_path = DropPath(drop_path, mode)

    def forward(self, x: Tensor) -> Tensor:
        if self.has_attention:
            x = x + self.drop_path(self.attention(self.attention_norm(x)))
        return x + self.drop_path(self.mlp(self.mlp_norm(x)))


class OutGridBlock(nn.Module):
    """Outlooker, MBConv, grid attention, MLP: (B, C, H, W) to the same."""

    def __init__(
        self, channels: int, heads: int, outlook_heads: int, grid: int, drop_path: float, mode: DropPathMode,
        parts: tuple[bool, bool, bool],
    ) -> None:  # fmt: skip
        super().__init__()
        has_outlook, has_mbconv, has_grid = parts
        self.outlook = OutlookerPart(channels, outlook_heads, drop_path, mode) if has_outlook else nn.Identity()
        self.mbconv = MBConv(channels) if has_mbconv else nn.Identity()
        self.grid = GridPart(channels, heads, grid, has_grid, drop_path, mode)

    def forward(self, x: Tensor) -> Tensor:
        x = self.mbconv(self.outlook(x))
        return self.grid(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class OutGridViT(Network):
    """The network. `outlook`, `mbconv` and `grid` switch a part off in every block; `drop_path` is the maximum rate."""

    def __init__(
        self, num_classes: int, image_size: int, *, widths: tuple[int, ...], depths: tuple[int, ...],
        heads: tuple[int, ...], grids: tuple[int, ...], outlook_heads: tuple[int, ...] | None = None,
        stem_width: int = 64, stem_stride: int = 1, drop_path: float = 0.0, drop_path_mode: DropPathMode = "sample",
        dropout: float = 0.0, outlook: bool = True, mbconv: bool = True, grid: bool = True, width_factor: float = 1.0,
        depth_factor: float = 1.0,
    ) -> None:  # fmt: skip
        super().__init__()
        outlook_heads = outlook_heads or heads
        multiples = map(math.lcm, heads, outlook_heads)
        widths = tuple(wider(width, width_factor, each) for width, each in zip(widths, multiples, strict=True))
        stem_width, depths = wider(stem_width, width_factor), deeper(depths, depth_factor)
        if grid:
            _check_grids(image_size, stem_stride, grids)
        self.stem = ConvNormSiLU(3, stem_width, stem_stride)
        self.widen = Pointwise(stem_width, widths[0]) if stem_width != widths[0] else nn.Identity()
        rates = iter(linear_rates(drop_path, sum(depths)))
        levels = []
        for stage, depth in enumerate(depths):
            shape = (widths[stage], heads[stage], outlook_heads[stage], grids[stage])
            parts = (outlook, mbconv, grid)
            blocks = (OutGridBlock(*shape, next(rates), drop_path_mode, parts) for _ in range(depth))
            levels.append(nn.Sequential(*blocks))
        self.levels = nn.ModuleList(levels)
        self.downsamples = nn.ModuleList(ConvNormSiLU(before, after, 2) for before, after in pairwise(widths))
        self.norm = nn.BatchNorm2d(widths[-1])
        self.end_in_linear(widths[-1], num_classes, dropout)

    def forward_features(self, x: Tensor) -> Tensor:
        x = self.widen(self.stem(x))
        for stage, level in enumerate(self.levels):
            if stage:
                x = self.downsamples[stage - 1](x)
            x = level(x)
        return norm_activation(x, self.norm)


def _check_grids(image_size: int, stem_stride: int, grids: tuple[int, ...]) -> None:
    """Raises UserError where a stage's map, halved (rounded up) from stage to stage, is not divisible by its grid."""
    side = -(-image_size // stem_stride)
    for stage, grid in enumerate(grids):
        if side % grid:
            least = stem_stride * max(g << s for s, g in enumerate(grids))
            raise UserError(
                f"image_size {image_size}: the {side}x{side} map of stage {stage + 1} is not divisible by its grid "
                f"size {grid}; use a multiple of {least}"
            )
        side = -(-side // 2)


_NARROW: dict[str, Any] = dict(widths=(64, 128, 256, 384), heads=(2, 4, 8, 6), grids=(8, 8, 4, 2))
_NANO = dict(widths=(32, 64, 96), depths=(1, 1, 1), heads=(1, 2, 3), grids=(2, 2, 1), stem_width=32, stem_stride=2)
_7M = dict(widths=(48, 96, 192, 256), depths=(1, 2, 3, 1), heads=(2, 3, 6, 8), grids=(8, 8, 4, 2), drop_path=0.07)
_14M = _NARROW | dict(depths=(2, 2, 3, 1), drop_path=0.08)
_22M = _NARROW | dict(depths=(2, 3, 4, 2), drop_path=0.11)
_33M = dict(widths=(80, 160, 320, 448), depths=(2, 3, 4, 2), heads=(2, 5, 10, 8), grids=(4, 4, 2, 1), drop_path=0.12)
_7M_PUBLISHED = {"params": 7_518_102, "macs_m": 441.9, "alias": "OutGrid", "printed_flops_m": 448.02}
_VARIANTS: dict[str, tuple[dict[str, Any], int, int, dict[str, Any]]] = {
    # name: (variant, classes, px, published)
    "outgrid_nano": (_NANO, 10, 32, {}),
    "outgrid_7m": (_7M, 100, 32, _7M_PUBLISHED),
    "outgrid_14m": (_14M, 100, 32, {"params": 14_599_198, "macs_m": 904.3}),
    "outgrid_22m": (_22M, 200, 64, {"params": 22_542_628}),
    "outgrid_33m": (_33M, 100, 32, {"params": 32_974_583}),
}
_PARTS = ("outlook", "mbconv", "grid")


def _register(name: str, variant: dict[str, Any], num_classes: int, image_size: int, published: dict[str, Any]) -> None:
    options = ("drop_path", "drop_path_mode", "dropout", "stem_width", "stem_stride", *SIZE_OPTIONS, *_PARTS)
    register_model(
        name, family="OutGridViT", num_classes=num_classes, image_size=image_size, published=published, options=options,
        switches={part: (True, False) for part in _PARTS if variant.get(part, True)},
    )(partial(OutGridViT, **variant))  # fmt: skip


for _name, (_variant, _classes, _px, _published) in _VARIANTS.items():
    _register(_name, _variant, _classes, _px, _published)
    for _part in _PARTS:
        _register(f"{_name}_no_{_part}", _variant | {_part: False}, _classes, _px, {})
