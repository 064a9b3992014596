"""`resnet_mini`: a residual network for training from scratch on two CPU cores within minutes.

Input (B, 3, H, W), H and W at least 8 (meant for 16 to 64 px). Stem: 3x3 convolution to 32 channels at full
resolution, BatchNorm, ReLU. Three levels, each half the resolution of what comes before it: a 3x3 convolution to the
level's width that halves (stride 2 in the first level, where maps are largest, 2x2 max-pool after it in the others),
BatchNorm, ReLU, then `depth` residual blocks of two 3x3 convolutions with BatchNorm. Global average pool, linear
classifier. He initialisation of the convolutions; no convolution has a bias.

The shape follows the residual networks that train fast (arXiv 1512.03385 for the block; the pool after the convolution
as in arXiv 2404.00498), fitted to a CPU: dense 3x3 convolutions in multiples of 32 channels, no maps of more than
32 channels at full resolution, normalisation after the pool.
"""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from levelfield.models.contract import Network
from levelfield.models.layers import DropPath, DropPathMode, linear_rates
from levelfield.models.registry import register_model


class Halving(nn.Module):
    """3x3 convolution, halved by its stride or by a max-pool after it, BatchNorm, ReLU: (B,C,H,W) to (B,C',H/2,W/2)."""

    def __init__(self, inputs: int, outputs: int, pool: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, stride=1 if pool else 2, padding=1, bias=False)
        self.pool = nn.MaxPool2d(2) if pool else nn.Identity()
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.pool(self.conv(x))), inplace=True)


class Residual(nn.Module):
    """relu(x + DP(bn(conv(relu(bn(conv x)))))): (B, C, H, W) to the same."""

    def __init__(self, channels: int, drop_path: float, mode: DropPathMode) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.drop_path = DropPath(drop_path, mode)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return F.relu(x + self.drop_path(self.bn2(self.conv2(y))), inplace=True)


class ResNetMini(Network):
    """The network: `widths` and `depths` (residual blocks) by level; `pool` says which levels halve by max-pool."""

    def __init__(
        self, num_classes: int, *, stem: int, widths: tuple[int, ...], depths: tuple[int, ...], pool: tuple[bool, ...],
        drop_path: float = 0.0, drop_path_mode: DropPathMode = "sample", dropout: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.num_classes = num_classes
        self.num_features = widths[-1]
        self.stem = nn.Sequential(
            nn.Conv2d(3, stem, 3, padding=1, bias=False), nn.BatchNorm2d(stem), nn.ReLU(inplace=True)
        )
        rates = iter(linear_rates(drop_path, sum(depths)))
        levels = []
        inputs = stem
        for width, depth, pooled in zip(widths, depths, pool, strict=True):
            blocks = [Residual(width, next(rates), drop_path_mode) for _ in range(depth)]
            levels.append(nn.Sequential(Halving(inputs, width, pooled), *blocks))
            inputs = width
        self.levels = nn.ModuleList(levels)
        self.dropout = nn.Dropout(dropout)
        self.head: nn.Module = nn.Linear(widths[-1], num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward_features(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for level in self.levels:
            x = level(x)
        return x

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        x = self.dropout(x.mean((2, 3)))
        return x if pre_logits else self.head(x)

    def stages(self) -> dict[str, nn.Module]:
        return {"stem": self.stem} | {f"levels.{i}": level for i, level in enumerate(self.levels)}


_MINI: dict[str, Any] = dict(stem=32, widths=(64, 128, 192), depths=(1, 1, 0), pool=(False, True, True))


@register_model("resnet_mini", family="ResNet", options=("drop_path", "drop_path_mode", "dropout"))
def resnet_mini(num_classes: int, **options: Any) -> ResNetMini:
    """One residual block in each of the first two levels, 686,378 parameters at 10 classes, 76 M MACs at 32 px."""
    return ResNetMini(num_classes, **(_MINI | options))
