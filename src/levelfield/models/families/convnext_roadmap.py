"""From ResNet-50 to ConvNeXt-Tiny, one switch at a time (the roadmap of arXiv 2201.03545, figure 2 and table 10).

Input (B, 3, H, W), published at 224 px. One network; `Switches()` is ResNet-50, and `STORY` turns one switch after
another until ConvNeXt-Tiny stands there. The switches combine freely: `create_model("roadmap_1", kernel=7)` asks what
one component does to ResNet-50, `create_model("roadmap_5", layer_norm=False)` what ConvNeXt loses without it.

`roadmap_1` .. `roadmap_5` are five published stations. At 200 classes: 23,917,832; 31,302,728; 27,568,232; 27,614,600;
27,973,928 parameters. Stations III and IV differ from the paper's steps in two ways, which are switches as well: a 1x1
convolution widens the map at full resolution before stages 2 to 4, and the first stage's first shortcut has a
convolution.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from levelfield.models.layers import ChannelNorm, Depthwise, he_normal, lowered_to, truncated_normal, zero_biases
from levelfield.models.network_contract import Network
from levelfield.models.registry import register_model
from levelfield.models.size_rule import SIZE_OPTIONS, deeper, wider
from levelfield.models.stochastic_depth import DropPath, DropPathMode, linear_rates


@dataclass(frozen=True)
class Switches:
    """The steps of the roadmap, in its order. The defaults are ResNet-50."""

    depths: tuple[int, ...] = (3, 4, 6, 3)
    patchify: bool = False  # stem: 4x4 stride-4 convolution and a norm, not 7x7 stride 2, norm, activation, max-pool
    depthwise: bool = False
    width: int = 64  # of the first stage; doubled from stage to stage
    inverted: bool = False  # the block is wide inside (4x) and narrow outside, not the other way round
    moved_up: bool = False  # the spatial convolution comes first in the block
    kernel: int = 3
    gelu: bool = False
    fewer_activations: bool = False  # one a block, before its last 1x1; none after the sum
    fewer_norms: bool = False  # one a block, after the spatial convolution
    layer_norm: bool = False
    separate_downsampling: bool = False  # norm and 2x2 stride-2 convolution between stages; a norm after pooling
    layer_scale: bool = False  # 1e-6 on every branch
    widen_first: bool = False  # stations III and IV: a bias-free 1x1 before stages 2 to 4 changes the width
    first_shortcut: bool = False  # stations III and IV: a convolution on the first stage's first shortcut too

    @property
    def kinds(self) -> tuple[Callable[[int], nn.Module], Callable[[], nn.Module]]:
        """The norm (of so many channels) and the activation."""
        return ChannelNorm if self.layer_norm else nn.BatchNorm2d, nn.GELU if self.gelu else nn.ReLU


STORY: tuple[tuple[str, dict[str, Any], float], ...] = (
    # the paper's step, what it switches, its GMACs at 224 px and 1,000 classes
    ("ResNet-50", {}, 4.09),
    ("stage ratio", {"depths": (3, 3, 9, 3)}, 4.53),
    ("patchify stem", {"patchify": True}, 4.42),
    ("depthwise convolution", {"depthwise": True}, 2.35),
    ("width", {"width": 96}, 5.27),
    ("inverted bottleneck", {"inverted": True}, 4.64),
    ("moved up", {"moved_up": True}, 4.07),
    ("kernel 7", {"kernel": 7}, 4.15),
    ("GELU", {"gelu": True}, 4.15),
    ("fewer activations", {"fewer_activations": True}, 4.15),
    ("fewer norms", {"fewer_norms": True}, 4.15),
    ("LayerNorm", {"layer_norm": True}, 4.46),
    ("separate downsampling", {"separate_downsampling": True}, 4.49),
    ("layer scale", {"layer_scale": True}, 4.49),  # no step of the paper's, which has it in its last network unsaid
)


def after_step(step: str) -> Switches:
    """The paper's network after `step` of `STORY` and all steps before it."""
    switches = Switches()
    for name, change, _ in STORY:
        switches = replace(switches, **change)
        if name == step:
            return switches
    raise KeyError(step)


class Block(nn.Module):
    """One residual block under `switches`: (B, `inputs`, H, W) to (B, `outputs`, H/stride, W/stride).

    Three convolutions: `inputs` -> inside (1x1), spatial, inside -> `outputs` (1x1); or, moved up: spatial, 1x1, 1x1.
    Each is followed by a norm and, but for the last, an activation, unless there are to be fewer.
    """

    def __init__(
        self, switches: Switches, inputs: int, inside: int, outputs: int, stride: int, shortcut: bool,
        drop_path: float, mode: DropPathMode,
    ) -> None:  # fmt: skip
        super().__init__()
        s = switches
        norm, activation = s.kinds
        spatial_width = inputs if s.moved_up else inside

        def spatial() -> list[nn.Module]:
            convolution = (
                Depthwise(spatial_width, s.kernel, s.layer_norm, stride)
                if s.depthwise
                else nn.Conv2d(spatial_width, spatial_width, s.kernel, stride, s.kernel // 2, bias=s.layer_norm)
            )
            last_before_1x1 = not s.moved_up
            quiet = s.fewer_activations and not last_before_1x1
            return [convolution, norm(spatial_width), *([] if quiet else [activation()])]

        def pointwise(before: int, after: int, last: bool) -> list[nn.Module]:
            normed = not s.fewer_norms
            layers: list[nn.Module] = [nn.Conv2d(before, after, 1, bias=s.layer_norm or not normed)]
            if normed:
                layers.append(norm(after))
            if not last and (s.moved_up or not s.fewer_activations):
                layers.append(activation())
            return layers

        first = pointwise(inputs, inside, last=False)
        order = [*spatial(), *first] if s.moved_up else [*first, *spatial()]
        self.branch = nn.Sequential(*order, *pointwise(inside, outputs, last=True))
        self.layer_scale = nn.Parameter(torch.full((outputs, 1, 1), 1e-6)) if s.layer_scale else None
        self.shortcut: nn.Module = nn.Identity()
        if shortcut or stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=s.layer_norm), norm(outputs))
        self.activation: nn.Module = nn.Identity() if s.fewer_activations else activation()
        self.drop_path = DropPath(drop_path, mode)

    def forward(self, x: Tensor) -> Tensor:
        y = self.branch(x)
        if self.layer_scale is not None:
            y = lowered_to(y, self.layer_scale) * y
        return self.activation(self.shortcut(x) + self.drop_path(y))


class Roadmap(Network):
    """The network under `switches`."""

    def __init__(
        self, num_classes: int, switches: Switches, *, drop_path: float = 0.0,
        drop_path_mode: DropPathMode = "sample", dropout: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__()
        s = switches
        norm, activation = s.kinds
        narrow = [s.width << stage for stage in range(len(s.depths))]
        outside = narrow if s.inverted else [4 * width for width in narrow]
        inside = [4 * width for width in narrow] if s.inverted else narrow
        if s.patchify:
            self.stem = nn.Sequential(nn.Conv2d(3, s.width, 4, 4), norm(s.width))
        else:
            convolution = nn.Conv2d(3, s.width, 7, 2, 3, bias=s.layer_norm)
            self.stem = nn.Sequential(convolution, norm(s.width), activation(), nn.MaxPool2d(3, 2, 1))
        rates = iter(linear_rates(drop_path, sum(s.depths)))
        levels = []
        channels = s.width
        for stage, depth in enumerate(s.depths):
            layers: list[nn.Module] = []
            stride = 2 if stage else 1
            if stage and s.separate_downsampling:
                layers += [norm(channels), nn.Conv2d(channels, outside[stage], 2, 2)]
                channels, stride = outside[stage], 1
            elif stage and s.widen_first:
                layers.append(nn.Conv2d(channels, outside[stage], 1, bias=False))
                channels = outside[stage]
            for block in range(depth):
                shape = (channels, inside[stage], outside[stage], stride if block == 0 else 1)
                shortcut = s.first_shortcut and block == 0
                layers.append(Block(s, *shape, shortcut, next(rates), drop_path_mode))
                channels = outside[stage]
            levels.append(nn.Sequential(*layers))
        self.levels = nn.ModuleList(levels)
        final_norm = s.separate_downsampling
        self.norm: nn.Module = norm(channels) if final_norm else nn.Identity()
        self.end_in_linear(channels, num_classes, dropout)
        if s.layer_norm:
            truncated_normal(self)
        else:
            he_normal(self)
            zero_biases(self)

    def pool(self, x: Tensor) -> Tensor:
        return self.norm(x.mean((2, 3), keepdim=True)).flatten(1)


_STATION_II = after_step("width")
_STATION_III = replace(_STATION_II, inverted=True, widen_first=True, first_shortcut=True)
STATIONS: dict[str, tuple[Switches, dict[str, Any]]] = {
    "roadmap_1": (Switches(), {"params": 23_917_832, "macs_m": 4087.5, "alias": "Model I"}),
    "roadmap_2": (_STATION_II, {"params": 31_302_728, "macs_m": 5265.5, "alias": "Model II"}),
    "roadmap_3": (_STATION_III, {"params": 27_568_232, "macs_m": 5583.1, "alias": "Model III"}),
    "roadmap_4": (
        replace(_STATION_III, moved_up=True, kernel=7),
        {"params": 27_614_600, "macs_m": 4570.5, "alias": "Model IV"},
    ),
    "roadmap_5": (
        after_step("layer scale"),
        {"params": 27_973_928, "macs_m": 4454.9, "alias": "Model V"},
    ),
}
_SWITCHES = tuple(field.name for field in fields(Switches))
_OPTIONS = ("drop_path", "drop_path_mode", "dropout", *SIZE_OPTIONS, *_SWITCHES)


def _build(
    switches: Switches, num_classes: int, *, width_factor: float = 1.0, depth_factor: float = 1.0, **options: Any
) -> Roadmap:
    turned = {key: options.pop(key) for key in _SWITCHES if key in options}
    switches = replace(switches, **turned)
    width, depths = wider(switches.width, width_factor), deeper(switches.depths, depth_factor)
    return Roadmap(num_classes, replace(switches, width=width, depths=depths), **options)


def _turned(station: Switches) -> dict[str, tuple[Any, Any]]:
    """Of every switch of the paper's a station's own position and the other one: ResNet-50's, or where it has that, the
    one that the roadmap turns it to. What is none of the paper's can be taken from the stations that have it."""
    first, last = Switches(), after_step("layer scale")
    positions = {}
    for switch in _SWITCHES:
        own, before, after = (getattr(switches, switch) for switches in (station, first, last))
        if before != after or own != before:
            positions[switch] = (own, after if own == before else before)
    return positions


for _name, (_switches, _published) in STATIONS.items():
    register_model(
        _name, family="ConvNeXt roadmap", num_classes=200, image_size=224, published=_published, options=_OPTIONS,
        switches=_turned(_switches),
    )(partial(_build, _switches))  # fmt: skip
