"""ReXNet (arXiv 2007.00992) for 32-px images (`rexnet_tiny` and its width ladder).

Input (B, 3, H, W). Stem: 3x3 convolution stride 1, BatchNorm, SiLU; 16 inverted bottlenecks in groups of 1, 2, 2, 3, 3,
5 whose channels grow linearly (the paper's remedy for the representational bottleneck); 1x1 convolution to int(1280 w),
BatchNorm, SiLU, global average pool, dropout 0.2, 1x1 convolution with bias. PyTorch's default initialisation.

Parameters at 10 classes: width 1.0 (`rexnet_1.0`) 3,528,683; 0.7 (`rexnet_tiny`) 1,944,440; 0.5 (`rexnet_tiny_0.5`)
1,155,881; 0.35 (`rexnet_tiny_0.35`) 697,226.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from levelfield.errors import UserError
from levelfield.models.kernels.channel_gate import gate
from levelfield.models.kernels.norm_silu import NormedSequence
from levelfield.models.layers import Depthwise, PlainPointwise
from levelfield.models.network_contract import Network
from levelfield.models.registry import register_model
from levelfield.models.size_rule import SIZE_OPTIONS, checked, deeper

GROUPS = (1, 2, 2, 3, 3, 5)
STAGE_WIDTHS = (16, 24, 32, 64, 96, 160)
STRIDES = (1, 1, 1, 2, 1, 2)
FIRST_GROUP_WITH_GATES = 2
SQUEEZE = 12
ACTIVATIONS = {"silu": nn.SiLU, "relu": nn.ReLU}


def channel_ladder(
    width: float, groups: Sequence[int] = GROUPS, ladder: Literal["linear", "stages"] = "linear"
) -> tuple[int, list[int]]:
    """Stem width and output widths of the blocks (16 of them): c_0 = 16, c_i = c_(i-1) + 180/16, scaled and rounded
    half to even.

    Below width 1 the stem and c_0 keep their full size (they are divided by the width before they are scaled). With
    `ladder="stages"` all blocks of a group have one width, those of MobileNetV2 (arXiv 1801.04381, table 2).
    """
    below = width if width < 1 else 1.0
    if ladder == "linear":
        unscaled = [16 / below + block * 180 / sum(groups) for block in range(sum(groups))]
    elif ladder == "stages":
        unscaled = [float(c) for c, depth in zip(STAGE_WIDTHS, groups, strict=True) for _ in range(depth)]
        unscaled[: groups[0]] = [STAGE_WIDTHS[0] / below] * groups[0]
    else:
        raise UserError(f"ladder {ladder!r} is unknown; ReXNet has 'linear' and 'stages'")
    return round(32 / below * width), [round(channels * width) for channels in unscaled]


class Gates(nn.Sequential):
    """Squeeze-excite with a BatchNorm inside: x times sigmoid(1x1(relu(bn(1x1(pooled x)))))."""

    def __init__(self, channels: int) -> None:
        squeezed = max(1, channels // SQUEEZE)
        super().__init__(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, squeezed, 1),
            nn.BatchNorm2d(squeezed),
            nn.ReLU(inplace=True),
            nn.Conv2d(squeezed, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return gate(x, super().forward(x))


class LinearBottleneck(nn.Module):
    """Inverted bottleneck whose shortcut adds the input to the first channels only: (B, C, H, W) to (B, C', ...)."""

    def __init__(
        self, inputs: int, outputs: int, expansion: int, stride: int, gated: bool, act: Callable[[], nn.Module]
    ) -> None:
        super().__init__()
        wide = inputs * expansion
        layers: list[nn.Module] = []
        if expansion != 1:
            layers += [PlainPointwise(inputs, wide, bias=False), nn.BatchNorm2d(wide), act()]
        layers += [Depthwise(wide, 3, bias=False, stride=stride), nn.BatchNorm2d(wide)]
        if gated:
            layers.append(Gates(wide))
        layers += [nn.ReLU(inplace=True), PlainPointwise(wide, outputs, bias=False), nn.BatchNorm2d(outputs)]
        self.branch = NormedSequence(*layers)
        self.inputs = inputs
        self.has_shortcut = stride == 1 and inputs <= outputs

    def forward(self, x: Tensor) -> Tensor:
        y = self.branch(x)
        if not self.has_shortcut:
            return y
        return y + F.pad(x, (0, 0, 0, 0, 0, y.shape[1] - self.inputs))


class ReXNet(Network):
    """The network at a width multiplier. Switches: squeeze-excite (`gates`), SiLU or ReLU (`act`), the rule of the
    widths (`ladder`), and how much wider a block is inside (`expansion`)."""

    def __init__(
        self, num_classes: int, *, width: float, dropout: float = 0.2, gates: bool = True,
        act: Literal["silu", "relu"] = "silu", ladder: Literal["linear", "stages"] = "linear", expansion: int = 6,
        width_factor: float = 1.0, depth_factor: float = 1.0,
    ) -> None:  # fmt: skip
        super().__init__()
        if act not in ACTIVATIONS:
            raise UserError(f"act {act!r} is unknown; ReXNet has {' and '.join(map(repr, ACTIVATIONS))}")
        activation = partial(ACTIVATIONS[act], inplace=True)
        width, groups = width * checked("width_factor", width_factor), deeper(GROUPS, depth_factor)
        inputs, widths = channel_ladder(width, groups, ladder)
        self.num_classes = num_classes
        self.num_features = int(1280 * width)
        self.stem = NormedSequence(nn.Conv2d(3, inputs, 3, padding=1, bias=False), nn.BatchNorm2d(inputs), activation())
        channels = iter(widths)
        levels = []
        for group, (depth, first_stride) in enumerate(zip(groups, STRIDES, strict=True)):
            blocks = []
            for block in range(depth):
                outputs = next(channels)
                stride = first_stride if block == 0 else 1
                gated = gates and group >= FIRST_GROUP_WITH_GATES
                expanded = expansion if group else 1
                blocks.append(LinearBottleneck(inputs, outputs, expanded, stride, gated, activation))
                inputs = outputs
            levels.append(nn.Sequential(*blocks))
        self.levels = nn.ModuleList(levels)
        self.last = NormedSequence(
            PlainPointwise(inputs, self.num_features, bias=False),
            nn.BatchNorm2d(self.num_features),
            activation(),
        )
        self.dropout = nn.Dropout(dropout)
        self.head: nn.Module = nn.Conv2d(self.num_features, num_classes, 1)

    def forward_features(self, x: Tensor) -> Tensor:
        return self.last(super().forward_features(x))

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        x = self.dropout(x.mean((2, 3), keepdim=True))
        return x.flatten(1) if pre_logits else self.head(x).flatten(1)

    def reset_classifier(self, num_classes: int) -> None:
        self.num_classes = num_classes
        device = next(self.parameters()).device
        self.head = nn.Conv2d(self.num_features, num_classes, 1, device=device)

    def stages(self) -> dict[str, nn.Module]:
        return super().stages() | {"last": self.last}


_SWITCHES = {"gates": (True, False), "act": ("silu", "relu"), "ladder": ("linear", "stages"), "expansion": (6, 3)}
for _name, _width, _published in (
    ("rexnet_1.0", 1.0, {"params": 3_528_683}),
    ("rexnet_tiny", 0.7, {"params": 1_944_440, "macs_m": 232.9}),
    ("rexnet_tiny_0.5", 0.5, {"params": 1_155_881, "macs_m": 148.0}),
    ("rexnet_tiny_0.35", 0.35, {"params": 697_226}),
):
    register_model(
        _name, family="ReXNet", published=_published, options=("dropout", "width", *SIZE_OPTIONS, *_SWITCHES),
        switches=_SWITCHES,
    )(partial(ReXNet, width=_width))  # fmt: skip
