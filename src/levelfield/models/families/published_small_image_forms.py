"""Well-known models in their published small-image forms: timm's networks with the one change that the table states.

Each is built by timm and then changed where it reads the image, so that timm's own weights fit all but that place.
Exact parameter counts stand beside each variant (100 classes at 32 px; 10 classes for the two EfficientNet-B0). What is
known to be wrong with a published form is its `note`, which tables print; it stays as it was published, and a sister is
built right.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import timm
from timm.models.efficientnet import _gen_efficientnet
from torch import nn

from levelfield.models.adapt_timm.timm_models import set_drop_path_mode
from levelfield.models.registry import register_model

_OPTIONS = ("drop_path", "drop_path_mode", "dropout")
_FAMILIES = {
    "convnext": "ConvNeXt", "deit": "ViT", "efficientnet": "EfficientNet", "maxvit": "MaxViT", "resnet": "ResNet",
    "swin": "Swin",
}  # fmt: skip


def _timm(
    name: str, num_classes: int, *, drop_path: float | None = None, drop_path_mode: str = "sample",
    dropout: float | None = None, **options: Any,
) -> Any:  # fmt: skip
    """timm's `name`; None leaves its own drop rates."""
    rates = {"drop_path_rate": drop_path, "drop_rate": dropout}
    given = {key: value for key, value in rates.items() if value is not None}
    model = timm.create_model(name, num_classes=num_classes, **given, **options)
    set_drop_path_mode(model, drop_path_mode)
    return model


def _convolution(inputs: int, outputs: int, kernel: int, stride: int, bias: bool) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, stride, padding=(kernel - 1) // 2, bias=bias)


def _small_image_form(
    name: str, params: int | None, macs_m: float | None, *, num_classes: int = 100, **facts: Any
) -> Callable[[Callable[..., nn.Module]], Callable[..., nn.Module]]:
    published = {"params": params, "macs_m": macs_m, **facts}
    published = {key: value for key, value in published.items() if value is not None}
    family = next(family for prefix, family in _FAMILIES.items() if name.startswith(prefix))
    return register_model(
        name, family=family, num_classes=num_classes, image_size=32, published=published, options=_OPTIONS
    )


@_small_image_form("convnext_tiny_p2", 27_893_572, 362.8, alias="ConvNeXt-Tiny")
def convnext_tiny_p2(num_classes: int, **options: Any) -> nn.Module:
    """ConvNeXt-Tiny (arXiv 2201.03545) with a 2x2 stride-2 stem."""
    model = _timm("convnext_tiny", num_classes, **options)
    model.stem[0] = _convolution(3, 96, 2, 2, bias=True)
    return model


@_small_image_form("convnext_tiny_k3s2", 27_895_012, 363.2, alias="ConvNeXt-Tiny (as measured)", printed_flops_m=364.07)
def convnext_tiny_k3s2(num_classes: int, **options: Any) -> nn.Module:
    """ConvNeXt-Tiny with a 3x3 stride-2 stem: the network behind the published accuracy."""
    model = _timm("convnext_tiny", num_classes, **options)
    model.stem[0] = _convolution(3, 96, 3, 2, bias=True)
    return model


@_small_image_form("deit_tiny_p4", 5_380_132, 365.1, alias="Deit_Nano", printed_flops_m=347.22)
def deit_tiny_p4(num_classes: int, image_size: int, **options: Any) -> nn.Module:
    """DeiT-tiny (arXiv 2012.12877) with patch 4."""
    return _timm("deit_tiny_patch16_224", num_classes, img_size=image_size, patch_size=4, **options)


@_small_image_form("deit_small_p4", 21_376_996, 1420.3, alias="Deit_Tiny", printed_flops_m=1384.52)
def deit_small_p4(num_classes: int, image_size: int, **options: Any) -> nn.Module:
    """DeiT-small with patch 4."""
    return _timm("deit_small_patch16_224", num_classes, img_size=image_size, patch_size=4, **options)


@_small_image_form("efficientnetv2_s_s1", 20_305_588, 236.0, alias="efficientnetv2_small", printed_flops_m=238.02)
def efficientnetv2_s_s1(num_classes: int, **options: Any) -> nn.Module:
    """EfficientNetV2-S (arXiv 2104.00298), first convolution stride 1."""
    model = _timm("efficientnetv2_s", num_classes, **options)
    model.conv_stem.stride = (1, 1)
    return model


_ONE_KEY = (
    "as published its attention does nothing at 32 px: partitions have a side of image / 32, so every query of all 22 "
    "attention layers has one key; {sister} has partitions of 2x2"
)


@_small_image_form(
    "maxvit_tiny_s1", 30_426_476, 440.4, alias="MaxVit_Tiny", printed_flops_m=443.91,
    note=_ONE_KEY.format(sister="maxvit_tiny_s1w2"),
)  # fmt: skip
def maxvit_tiny_s1(num_classes: int, image_size: int, **options: Any) -> nn.Module:
    """MaxViT-tiny (arXiv 2204.01697), both stem convolutions 3x3 stride 1 without bias.

    Partitions of image_size / 32, as at 224 px: 1x1 at 32 px, where the maps are 16, 8, 4 and 2 px. `maxvit_tiny_s1w2`
    is the same network with partitions that hold something.
    """
    return _maxvit_tiny(num_classes, image_size, **options)


@_small_image_form("maxvit_tiny_s1w2", 30_427_820, 441.3, note="maxvit_tiny_s1 with partitions of 2x2 at 32 px")
def maxvit_tiny_s1w2(num_classes: int, image_size: int, **options: Any) -> nn.Module:
    """maxvit_tiny_s1 with partitions of image_size / 16, the side of its last map: the same linear maps and MACs."""
    return _maxvit_tiny(num_classes, image_size, transformer_partition_ratio=16, **options)


def _maxvit_tiny(num_classes: int, image_size: int, **options: Any) -> nn.Module:
    model = _timm("maxvit_tiny_tf_224", num_classes, img_size=image_size, **options)
    model.stem.conv1 = _convolution(3, 64, 3, 1, bias=False)
    model.stem.conv2 = _convolution(64, 64, 3, 1, bias=False)
    return model


@_small_image_form(
    "maxvit_nano_s1", 17_379_140, 302.5, alias="MaxVit_Nano", printed_flops_m=305.58,
    note=_ONE_KEY.format(sister="maxvit_nano_s1w2"),
)  # fmt: skip
def maxvit_nano_s1(num_classes: int, image_size: int, **options: Any) -> nn.Module:
    """MaxViT-tiny at widths 64, 96, 192, 384; its stem's BatchNorm (eps 1e-3) has no activation. 1x1 partitions."""
    return _maxvit_nano(num_classes, image_size, **options)


@_small_image_form("maxvit_nano_s1w2", 17_380_164, 303.3, note="maxvit_nano_s1 with partitions of 2x2 at 32 px")
def maxvit_nano_s1w2(num_classes: int, image_size: int, **options: Any) -> nn.Module:
    """maxvit_nano_s1 with partitions of image_size / 16, the side of its last map: the same linear maps and MACs."""
    return _maxvit_nano(num_classes, image_size, transformer_partition_ratio=16, **options)


def _maxvit_nano(num_classes: int, image_size: int, **options: Any) -> nn.Module:
    model = _timm("maxvit_tiny_tf_224", num_classes, img_size=image_size, embed_dim=(64, 96, 192, 384), **options)
    model.stem.conv1 = _convolution(3, 64, 3, 1, bias=False)
    model.stem.norm1 = nn.BatchNorm2d(64, eps=1e-3)
    model.stem.conv2 = _convolution(64, 64, 3, 1, bias=False)
    return model


def _resnet(name: str, num_classes: int, **options: Any) -> nn.Module:
    model = _timm(name, num_classes, **options)
    model.conv1 = _convolution(3, 64, 3, 1, bias=False)
    model.maxpool = nn.Identity()
    return model


@_small_image_form("resnet18_s1", 11_220_132, 555.5, alias="Resnet18", printed_flops_m=556.71)
def resnet18_s1(num_classes: int, **options: Any) -> nn.Module:
    """ResNet-18 (arXiv 1512.03385), first convolution 3x3 stride 1, no max-pool."""
    return _resnet("resnet18", num_classes, **options)


@_small_image_form(
    "resnet50_s1", 23_705_252, 1298.0, alias="Resnet50", printed_flops_m=1304.92,
    note="its author's 23,712,932 is the count before the stem was replaced",
)  # fmt: skip
def resnet50_s1(num_classes: int, **options: Any) -> nn.Module:
    """ResNet-50, first convolution 3x3 stride 1, no max-pool."""
    return _resnet("resnet50", num_classes, **options)


@_small_image_form(
    "swin_tiny_p2w4", 27_571_054, 356.9, alias="SwinVit", printed_flops_m=358.45,
    note="mis-masked as published: its patch projection was swapped after building, so the shift masks are those of an "
    "8x8 map, repeated over the 16x16 one, and both blocks of the last stage attend to one key; swin_tiny_p2 is right",
)  # fmt: skip
def swin_tiny_p2w4(num_classes: int, image_size: int, **options: Any) -> nn.Module:
    """Swin-tiny (arXiv 2103.14030) whose patch projection was swapped after building: kept because it was published.

    Tables and shift masks are those of a map of a quarter of the image's side; the map itself has half of it.
    `swin_tiny_p2` is the same network built right.
    """
    model = _timm("swin_tiny_patch4_window7_224", num_classes, img_size=image_size, window_size=4, **options)
    model.patch_embed.proj = _convolution(3, 96, 2, 2, bias=True)
    return model


@_small_image_form("swin_tiny_p2", 27_574_318, None, note="the rightly masked sister of swin_tiny_p2w4")
def swin_tiny_p2(num_classes: int, image_size: int, **options: Any) -> nn.Module:
    """Swin-tiny built for patch 2 and window 4 (2 in the last stage) from the start."""
    name = "swin_tiny_patch4_window7_224"
    return _timm(name, num_classes, img_size=image_size, patch_size=2, window_size=4, **options)


@_small_image_form("efficientnet_b0_s1", 4_020_358, 32.0, num_classes=10)
def efficientnet_b0_s1(num_classes: int, **options: Any) -> nn.Module:
    """EfficientNet-B0 (arXiv 1905.11946), first convolution stride 1."""
    model = _timm("efficientnet_b0", num_classes, **options)
    model.conv_stem.stride = (1, 1)
    return model


TINY_EXPONENT = -2.7
"""EfficientNet's compound scaling (depth 1.2^phi, width 1.1^phi) at the phi whose size is nearest to rexnet_tiny's."""


@_small_image_form(
    "efficientnet_tiny_s1", None, None, num_classes=10,
    note="its author never defined it: EfficientNet-B0 at compound exponent -2.7 (1,979,622 parameters), chosen here",
)  # fmt: skip
def efficientnet_tiny_s1(num_classes: int, **options: Any) -> nn.Module:
    """EfficientNet-B0 scaled down by its compound rule to about rexnet_tiny's size, first convolution stride 1."""
    rates = {"drop_path_rate": options.get("drop_path"), "drop_rate": options.get("dropout")}
    model = _gen_efficientnet(
        "efficientnet_b0",
        channel_multiplier=1.1**TINY_EXPONENT,
        depth_multiplier=1.2**TINY_EXPONENT,
        num_classes=num_classes,
        **{key: value for key, value in rates.items() if value is not None},
    )
    set_drop_path_mode(model, options.get("drop_path_mode", "sample"))
    model.conv_stem.stride = (1, 1)
    return model
