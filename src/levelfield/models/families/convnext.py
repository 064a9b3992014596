"""ConvNeXt (arXiv 2201.03545) in its simple form (`convnext_simple_*`), and a nano size for CPU studies.

Input (B, 3, H, W). Stem: convolution of kernel and stride `patch`, LayerNorm; stages of blocks; LayerNorm and a 2x2
stride-2 convolution between stages; global average pool, LayerNorm, linear classifier. A block, on x (B, C, H, W):
x += DP(scale * linear(GELU(linear(LN(7x7 depthwise x))))), the linear layers to 4C and back, scale starting at 1e-6.

Parameters (classes): convnext_simple_s_p1 6,378,378, _s_p2 6,378,954, _s_p4 6,381,258 (10); convnext_simple_t_p2
27,970,472 (200; its author prints 22M). Truncated normal initialisation (0.02), zero biases, as in the paper.
Stochastic depth in the published simple networks drops a branch for the whole batch at once: `drop_path_mode="batch"`.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from levelfield.models.kernels.may_replace import may_replace
from levelfield.models.layers import ChannelNorm, Depthwise, TokenLinear, TokenNorm, lowered_to, truncated_normal
from levelfield.models.network_contract import Network
from levelfield.models.registry import register_model
from levelfield.models.size_rule import SIZE_OPTIONS, deeper, wider
from levelfield.models.stochastic_depth import DropPath, DropPathMode, linear_rates


class ConvNeXtBlock(nn.Module):
    """Depthwise 7x7, LayerNorm, linear x4, GELU, linear, layer scale, residual: (B, C, H, W) to the same."""

    def __init__(self, channels: int, drop_path: float, mode: DropPathMode) -> None:
        super().__init__()
        self.depthwise = Depthwise(channels, 7)
        self.norm = TokenNorm(channels, eps=1e-6)
        self.expand = TokenLinear(channels, 4 * channels)
        self.reduce = TokenLinear(4 * channels, channels)
        self.layer_scale = nn.Parameter(torch.full((channels,), 1e-6))
        self.drop_path = DropPath(drop_path, mode)

    def forward(self, x: Tensor) -> Tensor:
        y = self.depthwise(x).permute(0, 2, 3, 1)
        y = self.norm(y)
        y = self.expand(y, gelu=True) if may_replace(self.expand) else F.gelu(self.expand(y))
        y = self.reduce(y)
        y = lowered_to(y, self.layer_scale) * y
        return x + self.drop_path(y.permute(0, 3, 1, 2))


class ConvNeXt(Network):
    """The network: `patch` is the stem's kernel and stride in px."""

    def __init__(
        self, num_classes: int, *, widths: tuple[int, ...], depths: tuple[int, ...], patch: int,
        drop_path: float = 0.0, drop_path_mode: DropPathMode = "sample", dropout: float = 0.0,
        width_factor: float = 1.0, depth_factor: float = 1.0,
    ) -> None:  # fmt: skip
        super().__init__()
        widths, depths = tuple(wider(width, width_factor) for width in widths), deeper(depths, depth_factor)
        self.stem = nn.Sequential(nn.Conv2d(3, widths[0], patch, stride=patch), ChannelNorm(widths[0]))
        self.downsamples = nn.ModuleList(
            nn.Sequential(ChannelNorm(before), nn.Conv2d(before, after, 2, stride=2))
            for before, after in pairwise(widths)
        )
        rates = iter(linear_rates(drop_path, sum(depths)))
        self.levels = nn.ModuleList(
            nn.Sequential(*(ConvNeXtBlock(width, next(rates), drop_path_mode) for _ in range(depth)))
            for width, depth in zip(widths, depths, strict=True)
        )
        self.norm = TokenNorm(widths[-1], eps=1e-6)
        self.end_in_linear(widths[-1], num_classes, dropout)
        truncated_normal(self)

    def forward_features(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for stage, level in enumerate(self.levels):
            if stage:
                x = self.downsamples[stage - 1](x)
            x = level(x)
        return x

    def pool(self, x: Tensor) -> Tensor:
        return self.norm(x.mean((2, 3)))


_SMALL = dict(depths=(2, 2, 2, 2), widths=(64, 128, 256, 512))
_TINY = dict(depths=(3, 3, 9, 3), widths=(96, 192, 384, 768))
_VARIANTS: dict[str, tuple[dict[str, Any], int, int, dict[str, Any]]] = {
    # name: (variant, classes, px, published)
    "convnext_nano_p2": (dict(patch=2, depths=(2, 2, 2), widths=(32, 64, 128)), 10, 32, {}),
    "convnext_simple_s_p1": (dict(patch=1, **_SMALL), 10, 64, {"params": 6_378_378, "macs_m": 1223.4}),
    "convnext_simple_s_p2": (dict(patch=2, **_SMALL), 10, 64, {"params": 6_378_954}),
    "convnext_simple_s_p4": (dict(patch=4, **_SMALL), 10, 64, {"params": 6_381_258}),
    "convnext_simple_t_p2": (
        dict(patch=2, drop_path=0.1, drop_path_mode="batch", **_TINY),
        200,
        64,
        {"params": 27_970_472, "note": "its author prints 22M parameters; the architecture as described counts these"},
    ),
}


_OPTIONS = ("drop_path", "drop_path_mode", "dropout", "patch", *SIZE_OPTIONS)

_PATCHES = (1, 2, 4)
for _name, (_variant, _classes, _px, _published) in _VARIANTS.items():
    register_model(
        _name, family="ConvNeXt", num_classes=_classes, image_size=_px, published=_published, options=_OPTIONS,
        switches={"patch": (_variant["patch"], *(patch for patch in _PATCHES if patch != _variant["patch"]))},
    )(partial(ConvNeXt, **_variant))  # fmt: skip
