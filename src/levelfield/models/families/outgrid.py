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

`capture_attention` reads the weights of both kinds of attention from a normal forward pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from levelfield.errors import UserError
from levelfield.models.kernels import fused, native
from levelfield.models.kernels.outlook import TAPS, outlook, outlook_weights
from levelfield.models.layers import ChannelNorm
from levelfield.models.network import Network
from levelfield.models.registry import register_model
from levelfield.models.stochastic_depth import DropPath, DropPathMode, linear_rates


class ChannelLinear(nn.Linear):
    """A linear layer on (B, H, W, C). In float32 on CPUs it is computed as the 1x1 convolution that it is: on some
    processors oneDNN's kernels are three times as fast as the matrix library's.
    """

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type == "cpu" and x.dtype is torch.float32 and not torch.is_autocast_enabled("cpu"):
            convolve = fused.pointwise if native.usable(x) else F.conv2d
            return convolve(x.permute(0, 3, 1, 2), self.weight[:, :, None, None], self.bias).permute(0, 2, 3, 1)
        return super().forward(x)


class Pointwise(nn.Conv2d):
    """A 1x1 convolution on (B, C, H, W)."""

    def __init__(self, inputs: int, outputs: int, bias: bool = True) -> None:
        super().__init__(inputs, outputs, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return fused.pointwise(x, self.weight, self.bias) if native.usable(x) else super().forward(x)


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

    def _joint_qkv(self, x: Tensor) -> Tensor:
        """Queries, keys and values of every token, one after the other: (B, H, W, 3C)."""
        g, H, W = self.grid, x.shape[1], x.shape[2]
        if H % g or W % g:
            raise UserError(
                f"grid attention: a map of {H}x{W} is not divisible by the grid size {g}; use another image_size"
            )
        qkv: Tensor = self.qkv(x)
        return qkv

    def _grouped(self, qkv: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, each (B * g * g, heads, N, d), N = (H/g) * (W/g) tokens in row-major order."""
        B, H, W, wide = qkv.shape
        g, d = self.grid, wide // 3 // self.heads
        qkv = qkv.reshape(B, H // g, g, W // g, g, 3, self.heads, d)
        qkv = qkv.permute(5, 0, 2, 4, 6, 1, 3, 7).reshape(3, B * g * g, self.heads, (H // g) * (W // g), d)
        q, k, v = qkv.unbind(0)
        return q, k, v

    def forward(self, x: Tensor) -> Tensor:
        B, H, W, C = x.shape
        g = self.grid
        qkv = self._joint_qkv(x)
        if (H // g) * (W // g) <= native.MAX_TOKENS and native.usable(qkv):
            return self.projection(fused.grid_attention(qkv, self.heads, g))
        q, k, v = self._grouped(qkv)
        y = F.scaled_dot_product_attention(q, k, v)
        y = y.reshape(B, g, g, self.heads, H // g, W // g, C // self.heads).permute(0, 4, 1, 5, 2, 3, 6)
        return self.projection(y.reshape(B, H, W, C))

    def attention_weights(self, x: Tensor) -> Tensor:
        """The softmax of QK^T / sqrt(d) for the module's input x: (B, g, g, heads, N, N).

        Axes 1 and 2 are row mod g and column mod g; token n of a group lies at row (n // (W/g)) * g + axis 1 and column
        (n % (W/g)) * g + axis 2.
        """
        q, k, _ = self._grouped(self._joint_qkv(x))
        weights = (q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5).softmax(dim=-1)
        return weights.unflatten(0, (x.shape[0], self.grid, self.grid))


class SqueezeExcite(nn.Module):
    """Channel gates from the pooled map (arXiv 1709.01507): 1x1, SiLU, 1x1, sigmoid."""

    fusible = True

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.reduce = Pointwise(channels, squeezed)
        self.expand = Pointwise(squeezed, channels)

    def gates(self, pooled: Tensor) -> Tensor:
        """From the pooled map (B, C, 1, 1) to factors in (0, 1) of the same shape."""
        return self.expand(F.silu(self.reduce(pooled))).sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gates(x.mean((2, 3), keepdim=True))


class MBConv(nn.Sequential):
    """Inverted bottleneck with squeeze-excite at a quarter of the expanded width; residual without stochastic depth."""

    def __init__(self, channels: int) -> None:
        wide = 4 * channels
        super().__init__(
            Pointwise(channels, wide, bias=False),
            nn.BatchNorm2d(wide),
            nn.SiLU(),
            nn.Conv2d(wide, wide, 3, padding=1, groups=wide, bias=False),
            nn.BatchNorm2d(wide),
            nn.SiLU(),
            SqueezeExcite(wide, wide // 4),
            Pointwise(wide, channels, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        expand, norm, act, depthwise, depthwise_norm, depthwise_act, excite, project, project_norm = self
        if not (native.usable(x) and fused.replaces(norm, act, depthwise_norm, depthwise_act, excite)):
            return x + super().forward(x)
        assert isinstance(norm, nn.BatchNorm2d) and isinstance(depthwise_norm, nn.BatchNorm2d)
        assert isinstance(excite, SqueezeExcite)
        y, _ = fused.norm_silu(expand(x), norm)
        y, pooled = fused.norm_silu(depthwise(y), depthwise_norm)
        return x + project_norm(project(fused.gate(y, excite.gates(pooled))))


class OutlookerPart(nn.Module):
    """Local part of a block: outlook attention and an MLP of 1x1 convolutions, each a residual branch."""

    def __init__(self, channels: int, heads: int, drop_path: float, mode: DropPathMode) -> None:
        super().__init__()
        self.attention_norm = ChannelNorm(channels)
        self.attention = OutlookAttention(channels, heads)
        self.mlp_norm = ChannelNorm(channels)
        self.mlp = nn.Sequential(Pointwise(channels, 2 * channels), nn.GELU(), Pointwise(2 * channels, channels))
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
            self.attention_norm = nn.LayerNorm(channels)
            self.attention = GridAttention(channels, heads, grid)
        self.mlp_norm = nn.LayerNorm(channels)
        self.mlp = nn.Sequential(
            ChannelLinear(channels, 4 * channels), nn.GELU(), ChannelLinear(4 * channels, channels)
        )
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


class ConvNormSiLU(nn.Sequential):
    """3x3 convolution without bias, BatchNorm, SiLU."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        convolution = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        super().__init__(convolution, nn.BatchNorm2d(outputs), nn.SiLU())

    def forward(self, x: Tensor) -> Tensor:
        convolution, norm, act = self
        if native.usable(x) and fused.replaces(norm, act):
            assert isinstance(norm, nn.BatchNorm2d)
            return fused.norm_silu(convolution(x), norm)[0]
        y: Tensor = super().forward(x)
        return y


class OutGridViT(Network):
    """The network. `outlook`, `mbconv` and `grid` switch a part off in every block; `drop_path` is the maximum rate."""

    def __init__(
        self, num_classes: int, image_size: int, *, widths: tuple[int, ...], depths: tuple[int, ...],
        heads: tuple[int, ...], grids: tuple[int, ...], outlook_heads: tuple[int, ...] | None = None,
        stem_width: int = 64, stem_stride: int = 1, drop_path: float = 0.0, drop_path_mode: DropPathMode = "sample",
        dropout: float = 0.0, outlook: bool = True, mbconv: bool = True, grid: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        self.num_classes = num_classes
        self.num_features = widths[-1]
        if grid:
            _check_grids(image_size, stem_stride, grids)
        self.stem = ConvNormSiLU(3, stem_width, stem_stride)
        self.widen = Pointwise(stem_width, widths[0]) if stem_width != widths[0] else nn.Identity()
        rates = iter(linear_rates(drop_path, sum(depths)))
        levels = []
        for stage, depth in enumerate(depths):
            block = (widths[stage], heads[stage], (outlook_heads or heads)[stage], grids[stage])
            parts = (outlook, mbconv, grid)
            levels.append(
                nn.Sequential(*(OutGridBlock(*block, next(rates), drop_path_mode, parts) for _ in range(depth)))
            )
        self.levels = nn.ModuleList(levels)
        self.downsamples = nn.ModuleList(ConvNormSiLU(before, after, 2) for before, after in pairwise(widths))
        self.norm = nn.BatchNorm2d(widths[-1])
        self.dropout = nn.Dropout(dropout)
        self.head: nn.Module = nn.Linear(widths[-1], num_classes)

    def forward_features(self, x: Tensor) -> Tensor:
        if native.usable(x):
            x = x.contiguous(memory_format=torch.channels_last)
        x = self.widen(self.stem(x))
        for stage, level in enumerate(self.levels):
            if stage:
                x = self.downsamples[stage - 1](x)
            x = level(x)
        return self.norm(x)


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


@contextmanager
def capture_attention(model: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Within the context, every forward pass leaves each attention module's weights here, by its dotted name.

    `OutlookAttention`: (B, heads, 9, H, W); `GridAttention`: (B, g, g, heads, N, N), see their `attention_weights`. The
    forward pass itself is the normal one: a hook reads the module's input and computes the weights beside it.
    """
    captured: dict[str, Tensor] = {}

    def record(name: str) -> Any:
        def hook(module: OutlookAttention | GridAttention, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            with torch.no_grad():
                captured[name] = module.attention_weights(inputs[0])

        return hook

    handles = [
        module.register_forward_hook(record(name))
        for name, module in model.named_modules()
        if isinstance(module, (OutlookAttention, GridAttention))
    ]
    try:
        yield captured
    finally:
        for handle in handles:
            handle.remove()


_NARROW = dict(widths=(64, 128, 256, 384), heads=(2, 4, 8, 6), grids=(8, 8, 4, 2))
_VARIANTS: dict[str, dict[str, Any]] = {
    "outgrid_nano": dict(
        widths=(32, 64, 96), depths=(1, 1, 1), heads=(1, 2, 3), grids=(2, 2, 1), stem_width=32, stem_stride=2
    ),
    "outgrid_7m": dict(
        widths=(48, 96, 192, 256), depths=(1, 2, 3, 1), heads=(2, 3, 6, 8), grids=(8, 8, 4, 2), drop_path=0.07
    ),
    "outgrid_14m": dict(depths=(2, 2, 3, 1), drop_path=0.08, **_NARROW),
    "outgrid_22m": dict(depths=(2, 3, 4, 2), drop_path=0.11, **_NARROW),
    "outgrid_33m": dict(
        widths=(80, 160, 320, 448), depths=(2, 3, 4, 2), heads=(2, 5, 10, 8), grids=(4, 4, 2, 1), drop_path=0.12
    ),
}
_SETTINGS: dict[str, tuple[int, int, dict[str, Any]]] = {
    "outgrid_nano": (10, 32, {}),
    "outgrid_7m": (100, 32, {"params": 7_518_102, "macs_m": 441.9, "alias": "OutGrid", "printed_flops_m": 448.02}),
    "outgrid_14m": (100, 32, {"params": 14_599_198, "macs_m": 904.3}),
    "outgrid_22m": (200, 64, {"params": 22_542_628}),
    "outgrid_33m": (100, 32, {"params": 32_974_583}),
}
_PARTS = ("outlook", "mbconv", "grid")
_OPTIONS = ("drop_path", "drop_path_mode", "dropout", "stem_width", "stem_stride", *_PARTS)


def _register(name: str, variant: dict[str, Any], setting: tuple[int, int, dict[str, Any]]) -> None:
    num_classes, image_size, published = setting

    @register_model(
        name, family="OutGridViT", num_classes=num_classes, image_size=image_size, published=published, options=_OPTIONS
    )
    def build(num_classes: int, image_size: int, **options: Any) -> OutGridViT:
        return OutGridViT(num_classes, image_size, **(variant | options))


for _name, _variant in _VARIANTS.items():
    _register(_name, _variant, _SETTINGS[_name])
    for _part in _PARTS:
        _register(f"{_name}_no_{_part}", _variant | {_part: False}, (*_SETTINGS[_name][:2], {}))
