"""`resnet_mini`: a small residual network for training from scratch on two CPU cores within minutes.

Input (B, 3, H, W), H and W at least 2 (meant for 32 px). Stem: a 2x2 convolution without padding, 24 channels at full
resolution, BatchNorm, SiLU, initialised with the twelve products of opponent colours and 2x2 cosines and their
negatives. Three levels, each half the resolution of what comes before it: a 3x3 convolution to the level's width, 2x2
max-pool, BatchNorm, SiLU, then a residual block x + SiLU(BN(conv3x3(x))). Global max-pool, linear classifier. He
initialisation of the 3x3 convolutions; no convolution has a bias.

The shape follows airbench (arXiv 2404.00498: 2x2 first layer, pool after the first convolution of a level, norm after
the pool), with skips (arXiv 1512.03385). Its whitened first layer is taken from the training images; here a fixed basis
that decorrelates natural images, cosines of opponent colours, stands for it, so that the network needs no data to be
built. Dense convolutions in multiples of 32 channels and few channels at full resolution suit a CPU's bf16 units.
"""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from levelfield.models.kernels.max_pool import max_pool_2x2
from levelfield.models.kernels.memory_layout import laid_out_for_kernels
from levelfield.models.kernels.norm_silu import norm_silu
from levelfield.models.layers import he_normal
from levelfield.models.network_contract import Network
from levelfield.models.registry import register_model
from levelfield.models.size_rule import SIZE_OPTIONS, deeper, wider
from levelfield.models.stochastic_depth import DropPath, DropPathMode, linear_rates


def opponent_cosines() -> Tensor:
    """The 24 first filters (24, 3, 2, 2), each of norm 1: {grey, red-blue, green} x 2x2 DCT-II, and their negatives."""
    colours = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, -1.0], [1.0, -2.0, 1.0]])
    cosines = torch.tensor([[math.cos(math.pi * (at + 0.5) * wave / 2) for at in range(2)] for wave in range(2)])
    colours = colours / colours.norm(dim=1, keepdim=True)
    cosines = cosines / cosines.norm(dim=1, keepdim=True)
    filters = torch.einsum("ci,uy,vx->cuviyx", colours, cosines, cosines).reshape(12, 3, 2, 2)
    return torch.cat([filters, -filters])


class Level(nn.Module):
    """(B, C, H, W) to (B, C', H/2, W/2): convolution, pool, norm, SiLU, then residual convolutions, by default one."""

    def __init__(self, inputs: int, width: int, residuals: int, drop_path: float, mode: DropPathMode) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.act = nn.SiLU(inplace=True)
        self.drop_path = DropPath(drop_path, mode)
        self.more = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))
            for _ in range(residuals - 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        if min(x.shape[-2:]) == 1:  # of images of 8 px: a side of one pixel stays
            x = F.max_pool2d(x, 2, ceil_mode=True)
        else:
            x = max_pool_2x2(x)
        x = norm_silu(x, self.bn1, self.act)
        for convolution, norm in ((self.conv2, self.bn2), *self.more):
            x = x + self.drop_path(norm_silu(convolution(x), norm, self.act))
        return x


class Stem(nn.Sequential):
    """Convolution, BatchNorm, SiLU: (B, 3, H, W) to (B, 24, H - 1, W - 1)."""

    def forward(self, x: Tensor) -> Tensor:
        convolution, norm, act = self
        return norm_silu(convolution(laid_out_for_kernels(x)), norm, act)


class ResNetMini(Network):
    """The network: `widths` by level."""

    def __init__(
        self, num_classes: int, *, widths: tuple[int, ...], drop_path: float = 0.0,
        drop_path_mode: DropPathMode = "sample", dropout: float = 0.0, width_factor: float = 1.0,
        depth_factor: float = 1.0,
    ) -> None:  # fmt: skip
        super().__init__()
        widths = tuple(wider(width, width_factor) for width in widths)
        residuals = deeper([1] * len(widths), depth_factor)
        first = nn.Conv2d(3, 24, 2, bias=False)
        self.stem = Stem(first, nn.BatchNorm2d(24), nn.SiLU(inplace=True))
        rates = linear_rates(drop_path, len(widths))
        self.levels = nn.ModuleList(
            Level(inputs, width, depth, rate, drop_path_mode)
            for inputs, width, depth, rate in zip((24, *widths), widths, residuals, rates, strict=False)
        )
        self.end_in_linear(widths[-1], num_classes, dropout)
        he_normal(self.levels)
        with torch.no_grad():
            first.weight.copy_(opponent_cosines())

    def pool(self, x: Tensor) -> Tensor:
        return x.amax((2, 3))


# 828,634 parameters at 10 classes, 59.5 M MACs at 32 px
register_model("resnet_mini", family="ResNet", options=("drop_path", "drop_path_mode", "dropout", *SIZE_OPTIONS))(
    partial(ResNetMini, widths=(64, 128, 192))
)
