"""OutGridViT written the straightforward way, from its equations: the yardstick of `outgrid.py`.

The Outlooker unfolds its values into (B, 9C, H, W); every convolution is an `nn.Conv2d`, every norm over channels a
permutation and an `nn.LayerNorm`, the grid attention a fused `scaled_dot_product_attention` of reshaped copies.
Parameters are created in the order of the forward pass.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of (B, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class OutlookAttention(nn.Module):
    """y[p] = projection of sum_o softmax(a[p])_o * v[p + o] over the 3x3 offsets o, by an unfolding of v."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.logits = nn.Conv2d(width, 9 * heads, 1)
        self.values = nn.Conv2d(width, width, 1)
        self.projection = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        B, C, H, W = x.shape
        weights = self.logits(x).reshape(B, self.heads, 1, 9, H * W).softmax(3)
        unfolded = F.unfold(self.values(x), 3, padding=1).reshape(B, self.heads, C // self.heads, 9, H * W)
        return self.projection((weights * unfolded).sum(3).reshape(B, C, H, W))


def channel_mlp(width: int, expansion: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(width, expansion * width, 1), nn.GELU(), nn.Conv2d(expansion * width, width, 1))


class SqueezeExcite(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(width, width // 4, 1)
        self.expand = nn.Conv2d(width // 4, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.expand(F.silu(self.reduce(x.mean((2, 3), keepdim=True)))).sigmoid()


class GridAttention(nn.Module):
    """Self-attention among the tokens that share (row mod g, column mod g)."""

    def __init__(self, width: int, heads: int, grid: int) -> None:
        super().__init__()
        self.heads, self.grid = heads, grid
        self.qkv = nn.Linear(width, 3 * width)
        self.projection = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        B, C, H, W = x.shape
        g, rows, columns = self.grid, H // self.grid, W // self.grid
        tokens = x.reshape(B, C, rows, g, columns, g).permute(0, 3, 5, 2, 4, 1).reshape(B * g * g, rows * columns, C)
        qkv = self.qkv(tokens).reshape(B * g * g, rows * columns, 3, self.heads, C // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(B * g * g, rows * columns, C)
        out = self.projection(mixed).reshape(B, g, g, rows, columns, C)
        return out.permute(0, 5, 3, 1, 4, 2).reshape(B, C, H, W)


class Block(nn.Module):
    def __init__(self, width: int, grid_heads: int, outlook_heads: int, grid: int, drop_path: float) -> None:
        super().__init__()
        self.drop_path = drop_path
        self.outlook_norm = ChannelNorm(width, eps=1e-6)
        self.outlook = OutlookAttention(width, outlook_heads)
        self.outlook_mlp_norm = ChannelNorm(width, eps=1e-6)
        self.outlook_mlp = channel_mlp(width, 2)
        inner = 4 * width
        self.mbconv = nn.Sequential(
            nn.Conv2d(width, inner, 1, bias=False), nn.BatchNorm2d(inner), nn.SiLU(),
            nn.Conv2d(inner, inner, 3, padding=1, groups=inner, bias=False), nn.BatchNorm2d(inner), nn.SiLU(),
            SqueezeExcite(inner),
            nn.Conv2d(inner, width, 1, bias=False), nn.BatchNorm2d(width),
        )  # fmt: skip
        self.grid_norm = ChannelNorm(width)
        self.grid = GridAttention(width, grid_heads, grid)
        self.mlp_norm = ChannelNorm(width)
        self.mlp = channel_mlp(width, 4)

    def drop(self, branch: Tensor) -> Tensor:
        """Stochastic depth: the branch of each sample is dropped with probability `drop_path`."""
        if not self.training or self.drop_path == 0:
            return branch
        keep = torch.empty(branch.shape[0], 1, 1, 1).bernoulli_(1 - self.drop_path).div_(1 - self.drop_path)
        return branch * keep.to(branch)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop(self.outlook(self.outlook_norm(x)))
        x = x + self.drop(self.outlook_mlp(self.outlook_mlp_norm(x)))
        x = x + self.mbconv(x)
        x = x + self.drop(self.grid(self.grid_norm(x)))
        return x + self.drop(self.mlp(self.mlp_norm(x)))


class UnfoldOutGrid(nn.Module):
    """OutGridViT as (B, 3, H, W) -> (B, classes); the defaults are `outgrid_7m` on CIFAR-100."""

    def __init__(
        self,
        num_classes: int = 100,
        widths: tuple[int, ...] = (48, 96, 192, 256),
        depths: tuple[int, ...] = (1, 2, 3, 1),
        grid_heads: tuple[int, ...] = (2, 3, 6, 8),
        outlook_heads: tuple[int, ...] = (2, 3, 6, 8),
        grids: tuple[int, ...] = (8, 8, 4, 2),
        drop_path: float = 0.07,
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.SiLU())
        if widths[0] != 64:
            self.stem.append(nn.Conv2d(64, widths[0], 1))
        rates = iter(torch.linspace(0, drop_path, sum(depths)).tolist())
        self.stages = nn.ModuleList(
            nn.Sequential(*(Block(width, grid_heads[i], outlook_heads[i], grids[i], next(rates)) for _ in range(depth)))
            for i, (width, depth) in enumerate(zip(widths, depths, strict=True))
        )
        self.downsamples = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(b), nn.SiLU())
            for a, b in pairwise(widths)
        )
        self.norm = nn.BatchNorm2d(widths[-1])
        self.head = nn.Linear(widths[-1], num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stages[0](self.stem(x))
        for down, stage in zip(self.downsamples, self.stages[1:], strict=True):
            x = stage(down(x))
        return self.head(self.norm(x).mean((2, 3)))
