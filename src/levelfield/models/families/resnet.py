"""A small ResNet of basic blocks (arXiv 1512.03385, projection shortcuts) for CPU studies.

Input (B, 3, H, W). Stem: 3x3 convolution (stride `stem_stride`), BatchNorm, ReLU; stages of basic blocks, each stage
after the first at half the resolution; global average pool, linear classifier. He initialisation of the convolutions.
`resnet_nano`: widths 32, 64, 128, one block each, stem of stride 2; 308,650 parameters at 10 classes, 12 M MACs at
32 px. The published ResNets at small
sizes are timm's: `published_small_image_forms.py`.
"""

from __future__ import annotations

from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from levelfield.models.layers import he_normal
from levelfield.models.network_contract import Network
from levelfield.models.registry import register_model
from levelfield.models.size_rule import SIZE_OPTIONS, deeper, wider
from levelfield.models.stochastic_depth import DropPath, DropPathMode, linear_rates


class BasicBlock(nn.Module):
    """relu(shortcut(x) + DP(bn(conv(relu(bn(conv x)))))): (B, C, H, W) to (B, C', H/stride, W/stride)."""

    def __init__(self, inputs: int, outputs: int, stride: int, drop_path: float, mode: DropPathMode) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs)
            )
        self.drop_path = DropPath(drop_path, mode)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = self.bn2(self.conv2(y))
        return F.relu(self.shortcut(x) + self.drop_path(y))


class ResNet(Network):
    """The network."""

    def __init__(
        self, num_classes: int, *, widths: tuple[int, ...], depths: tuple[int, ...], stem_stride: int = 1,
        drop_path: float = 0.0, drop_path_mode: DropPathMode = "sample", dropout: float = 0.0,
        width_factor: float = 1.0, depth_factor: float = 1.0,
    ) -> None:  # fmt: skip
        super().__init__()
        widths, depths = tuple(wider(width, width_factor) for width in widths), deeper(depths, depth_factor)
        self.stem = nn.Sequential(
            nn.Conv2d(3, widths[0], 3, stride=stem_stride, padding=1, bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(inplace=True),
        )
        rates = iter(linear_rates(drop_path, sum(depths)))
        levels = []
        inputs = widths[0]
        for stage, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            blocks = []
            for block in range(depth):
                stride = 2 if stage and block == 0 else 1
                blocks.append(BasicBlock(inputs, width, stride, next(rates), drop_path_mode))
                inputs = width
            levels.append(nn.Sequential(*blocks))
        self.levels = nn.ModuleList(levels)
        self.end_in_linear(widths[-1], num_classes, dropout)
        he_normal(self)


_OPTIONS = ("drop_path", "drop_path_mode", "dropout", "stem_stride", *SIZE_OPTIONS)
register_model("resnet_nano", family="ResNet", options=_OPTIONS)(
    partial(ResNet, widths=(32, 64, 128), depths=(1, 1, 1), stem_stride=2)
)
