"""Well-known models in their published small-image forms: timm's networks with the one change that the table states.

Each is built by timm and then changed where it reads the image, so that timm's own weights fit all but that place.
Exact parameter counts stand beside each variant (100 classes at 32 px; 10 classes for the two EfficientNet-B0). What is
known to be wrong with a published form is its `note`, which tables print; it stays as it was published, and a sister is
built right. timm is imported where one of them is built.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from torch import nn

from levelfield.models.adapt_timm.remove_downsampling import replace_module
from levelfield.models.registry import register_model

_OPTIONS = ("drop_path", "drop_path_mode", "dropout")
_FAMILIES = {
    "convnext": "ConvNeXt", "deit": "ViT", "efficientnet": "EfficientNet", "maxvit": "MaxViT", "resnet": "ResNet",
    "swin": "Swin",
}  # fmt: skip
Layers = Mapping[str, Callable[[], nn.Module]]
"""What stands in the place of a network's own layers, by dotted name."""


def _form(
    name: str, params: int | None, macs_m: float | None, base: str,
    layers: Layers | None = None, *, arguments: Mapping[str, Any] | None = None, stem_stride: int | None = None,
    sized: bool = False, num_classes: int = 100, **facts: Any,
) -> None:  # fmt: skip
    """Register as `name` what timm's `base` makes of `arguments`, with `layers` put in.

    `stem_stride` is given to an EfficientNet's first convolution; what is `sized` is built for one image size.
    """

    def build(
        num_classes: int, image_size: int, drop_path: float | None = None, drop_path_mode: str = "sample",
        dropout: float | None = None,
    ) -> nn.Module:  # fmt: skip
        from levelfield.models.adapt_timm.own_layers import with_own_layers
        from levelfield.models.adapt_timm.timm_models import set_drop_path_mode

        given = {"drop_path_rate": drop_path, "drop_rate": dropout, "img_size": image_size if sized else None}
        given = {key: value for key, value in given.items() if value is not None}  # else timm's own
        model: Any = _made_by_timm(base, {"num_classes": num_classes, **given, **(arguments or {})})
        for place, layer in (layers or {}).items():
            replace_module(model, place, layer())
        if stem_stride is not None:
            model.conv_stem.stride = (stem_stride, stem_stride)
        set_drop_path_mode(model, drop_path_mode)
        return with_own_layers(model)

    published = {"params": params, "macs_m": macs_m, **facts}
    published = {key: value for key, value in published.items() if value is not None}
    family = next(family for prefix, family in _FAMILIES.items() if name.startswith(prefix))
    register_model(
        name, family=family, num_classes=num_classes, image_size=32, published=published, options=_OPTIONS
    )(build)  # fmt: skip


def _made_by_timm(base: str, arguments: dict[str, Any]) -> nn.Module:
    """timm's network `base`; an EfficientNet-B0 of other width and depth by what timm builds all of these with."""
    from levelfield.models.adapt_timm.timm_models import timm

    scaled = "channel_multiplier" in arguments
    make = timm.models.efficientnet._gen_efficientnet if scaled else timm.create_model
    model: nn.Module = make(base, **arguments)
    return model


def _convolution(inputs: int, outputs: int, kernel: int, stride: int, bias: bool = False) -> Callable[[], nn.Module]:
    return partial(nn.Conv2d, inputs, outputs, kernel, stride, padding=(kernel - 1) // 2, bias=bias)


# ConvNeXt-Tiny (arXiv 2201.03545) with a 2x2 stride-2 stem; with a 3x3 one, the network behind the published accuracy
_form(
    "convnext_tiny_p2", 27_893_572, 362.8, "convnext_tiny", {"stem.0": _convolution(3, 96, 2, 2, bias=True)},
    alias="ConvNeXt-Tiny",
)  # fmt: skip
_form(
    "convnext_tiny_k3s2", 27_895_012, 363.2, "convnext_tiny", {"stem.0": _convolution(3, 96, 3, 2, bias=True)},
    alias="ConvNeXt-Tiny (as measured)", printed_flops_m=364.07,
)  # fmt: skip

# DeiT (arXiv 2012.12877) with patch 4
_form(
    "deit_tiny_p4", 5_380_132, 365.1, "deit_tiny_patch16_224", sized=True, arguments={"patch_size": 4},
    alias="Deit_Nano", printed_flops_m=347.22,
)  # fmt: skip
_form(
    "deit_small_p4", 21_376_996, 1420.3, "deit_small_patch16_224", sized=True, arguments={"patch_size": 4},
    alias="Deit_Tiny", printed_flops_m=1384.52,
)  # fmt: skip

# EfficientNetV2-S (arXiv 2104.00298), first convolution stride 1
_form(
    "efficientnetv2_s_s1", 20_305_588, 236.0, "efficientnetv2_s", stem_stride=1, alias="efficientnetv2_small",
    printed_flops_m=238.02,
)  # fmt: skip

# MaxViT-tiny (arXiv 2204.01697), both stem convolutions 3x3 stride 1 without bias, and a "nano" at widths 64, 96, 192,
# 384 whose stem's BatchNorm (eps 1e-3) has no activation. Partitions of image_size / 32, as at 224 px, are 1x1 at
# 32 px, where the maps are 16, 8, 4 and 2 px. The sisters' are of image_size / 16, the side of the last map: the same
# linear maps and MACs.
_ONE_KEY = (
    "as published its attention does nothing at 32 px: partitions have a side of image / 32, so every query of all 22 "
    "attention layers has one key; {sister} has partitions of 2x2"
)
_MAXVIT_STEM: Layers = {"stem.conv1": _convolution(3, 64, 3, 1), "stem.conv2": _convolution(64, 64, 3, 1)}
_MAXVIT_NANO_STEM: Layers = {**_MAXVIT_STEM, "stem.norm1": partial(nn.BatchNorm2d, 64, eps=1e-3)}
_SISTER = {"transformer_partition_ratio": 16}
_NANO = {"embed_dim": (64, 96, 192, 384)}
_form(
    "maxvit_tiny_s1", 30_426_476, 440.4, "maxvit_tiny_tf_224", _MAXVIT_STEM, sized=True, alias="MaxVit_Tiny",
    printed_flops_m=443.91, note=_ONE_KEY.format(sister="maxvit_tiny_s1w2"),
)  # fmt: skip
_form(
    "maxvit_tiny_s1w2", 30_427_820, 441.3, "maxvit_tiny_tf_224", _MAXVIT_STEM, sized=True, arguments=_SISTER,
    note="maxvit_tiny_s1 with partitions of 2x2 at 32 px",
)  # fmt: skip
_form(
    "maxvit_nano_s1", 17_379_140, 302.5, "maxvit_tiny_tf_224", _MAXVIT_NANO_STEM, sized=True, arguments=_NANO,
    alias="MaxVit_Nano", printed_flops_m=305.58, note=_ONE_KEY.format(sister="maxvit_nano_s1w2"),
)  # fmt: skip
_form(
    "maxvit_nano_s1w2", 17_380_164, 303.3, "maxvit_tiny_tf_224", _MAXVIT_NANO_STEM, sized=True,
    arguments=_NANO | _SISTER, note="maxvit_nano_s1 with partitions of 2x2 at 32 px",
)  # fmt: skip

# ResNets (arXiv 1512.03385), first convolution 3x3 stride 1, no max-pool
_RESNET_STEM: Layers = {"conv1": _convolution(3, 64, 3, 1), "maxpool": nn.Identity}
_form("resnet18_s1", 11_220_132, 555.5, "resnet18", _RESNET_STEM, alias="Resnet18", printed_flops_m=556.71)
_form(
    "resnet50_s1", 23_705_252, 1298.0, "resnet50", _RESNET_STEM, alias="Resnet50", printed_flops_m=1304.92,
    note="its author's 23,712,932 is the count before the stem was replaced",
)  # fmt: skip

# Swin-tiny (arXiv 2103.14030) whose patch projection was swapped after building, kept because it was published: tables
# and shift masks are those of a map of a quarter of the image's side, and the map itself has half of it. Its sister is
# built for patch 2 and window 4 (2 in the last stage) from the start.
_form(
    "swin_tiny_p2w4", 27_571_054, 356.9, "swin_tiny_patch4_window7_224",
    {"patch_embed.proj": _convolution(3, 96, 2, 2, bias=True)}, sized=True, arguments={"window_size": 4},
    alias="SwinVit", printed_flops_m=358.45,
    note="mis-masked as published: its patch projection was swapped after building, so the shift masks are those of an "
    "8x8 map, repeated over the 16x16 one, and both blocks of the last stage attend to one key; swin_tiny_p2 is right",
)  # fmt: skip
_form(
    "swin_tiny_p2", 27_574_318, None, "swin_tiny_patch4_window7_224", sized=True,
    arguments={"patch_size": 2, "window_size": 4}, note="the rightly masked sister of swin_tiny_p2w4",
)  # fmt: skip

# EfficientNet-B0 (arXiv 1905.11946), first convolution stride 1; and scaled down by its compound rule (depth 1.2^phi,
# width 1.1^phi) at the phi whose size is nearest to rexnet_tiny's
_TINY_EXPONENT = -2.7
_TINY = {"channel_multiplier": 1.1**_TINY_EXPONENT, "depth_multiplier": 1.2**_TINY_EXPONENT}
_form("efficientnet_b0_s1", 4_020_358, 32.0, "efficientnet_b0", stem_stride=1, num_classes=10)
_form(
    "efficientnet_tiny_s1", None, None, "efficientnet_b0", stem_stride=1, num_classes=10,
    arguments=_TINY,
    note="its author never defined it: EfficientNet-B0 at compound exponent -2.7 (1,979,622 parameters), chosen here",
)  # fmt: skip
