"""Well-known models in their published small-image forms: timm's networks with the one change that the table states.

Exact parameter counts stand beside each variant (100 classes at 32 px; 10 classes for the two EfficientNet-B0). What is
known to be wrong with a published form is its `note`, which tables print; it stays as it was published, and a sister is
built right.
"""

from __future__ import annotations

from functools import partial

from torch import nn

from levelfield.models.families.made_by_timm import Layers, convolution, small_image_form

# ConvNeXt-Tiny (arXiv 2201.03545) with a 2x2 stride-2 stem; with a 3x3 one, the network behind the published accuracy
small_image_form(
    "convnext_tiny_p2", 27_893_572, 362.8, "convnext_tiny", {"stem.0": convolution(3, 96, 2, 2, bias=True)},
    alias="ConvNeXt-Tiny",
)  # fmt: skip
small_image_form(
    "convnext_tiny_k3s2", 27_895_012, 363.2, "convnext_tiny", {"stem.0": convolution(3, 96, 3, 2, bias=True)},
    alias="ConvNeXt-Tiny (as measured)", printed_flops_m=364.07,
)  # fmt: skip

# DeiT (arXiv 2012.12877) with patch 4
small_image_form(
    "deit_tiny_p4", 5_380_132, 365.1, "deit_tiny_patch16_224", sized=True, arguments={"patch_size": 4},
    alias="Deit_Nano", printed_flops_m=347.22,
)  # fmt: skip
small_image_form(
    "deit_small_p4", 21_376_996, 1420.3, "deit_small_patch16_224", sized=True, arguments={"patch_size": 4},
    alias="Deit_Tiny", printed_flops_m=1384.52,
)  # fmt: skip

# EfficientNetV2-S (arXiv 2104.00298), first convolution stride 1
small_image_form(
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
_MAXVIT_STEM: Layers = {"stem.conv1": convolution(3, 64, 3, 1), "stem.conv2": convolution(64, 64, 3, 1)}
_MAXVIT_NANO_STEM: Layers = {**_MAXVIT_STEM, "stem.norm1": partial(nn.BatchNorm2d, 64, eps=1e-3)}
_SISTER = {"transformer_partition_ratio": 16}
_NANO = {"embed_dim": (64, 96, 192, 384)}
small_image_form(
    "maxvit_tiny_s1", 30_426_476, 440.4, "maxvit_tiny_tf_224", _MAXVIT_STEM, sized=True, alias="MaxVit_Tiny",
    printed_flops_m=443.91, note=_ONE_KEY.format(sister="maxvit_tiny_s1w2"),
)  # fmt: skip
small_image_form(
    "maxvit_tiny_s1w2", 30_427_820, 441.3, "maxvit_tiny_tf_224", _MAXVIT_STEM, sized=True, arguments=_SISTER,
    note="maxvit_tiny_s1 with partitions of 2x2 at 32 px",
)  # fmt: skip
small_image_form(
    "maxvit_nano_s1", 17_379_140, 302.5, "maxvit_tiny_tf_224", _MAXVIT_NANO_STEM, sized=True, arguments=_NANO,
    alias="MaxVit_Nano", printed_flops_m=305.58, note=_ONE_KEY.format(sister="maxvit_nano_s1w2"),
)  # fmt: skip
small_image_form(
    "maxvit_nano_s1w2", 17_380_164, 303.3, "maxvit_tiny_tf_224", _MAXVIT_NANO_STEM, sized=True,
    arguments=_NANO | _SISTER, note="maxvit_nano_s1 with partitions of 2x2 at 32 px",
)  # fmt: skip

# ResNets (arXiv 1512.03385), first convolution 3x3 stride 1, no max-pool
_RESNET_STEM: Layers = {"conv1": convolution(3, 64, 3, 1), "maxpool": nn.Identity}
small_image_form("resnet18_s1", 11_220_132, 555.5, "resnet18", _RESNET_STEM, alias="Resnet18", printed_flops_m=556.71)
small_image_form(
    "resnet50_s1", 23_705_252, 1298.0, "resnet50", _RESNET_STEM, alias="Resnet50", printed_flops_m=1304.92,
    note="its author's 23,712,932 is the count before the stem was replaced",
)  # fmt: skip

# Swin-tiny (arXiv 2103.14030) whose patch projection was swapped after building, kept because it was published: tables
# and shift masks are those of a map of a quarter of the image's side, and the map itself has half of it. Its sister is
# built for patch 2 and window 4 (2 in the last stage) from the start.
small_image_form(
    "swin_tiny_p2w4", 27_571_054, 356.9, "swin_tiny_patch4_window7_224",
    {"patch_embed.proj": convolution(3, 96, 2, 2, bias=True)}, sized=True, arguments={"window_size": 4},
    alias="SwinVit", printed_flops_m=358.45,
    note="mis-masked as published: its patch projection was swapped after building, so the shift masks are those of an "
    "8x8 map, repeated over the 16x16 one, and both blocks of the last stage attend to one key; swin_tiny_p2 is right",
)  # fmt: skip
small_image_form(
    "swin_tiny_p2", 27_574_318, None, "swin_tiny_patch4_window7_224", sized=True,
    arguments={"patch_size": 2, "window_size": 4}, note="the rightly masked sister of swin_tiny_p2w4",
)  # fmt: skip

# EfficientNet-B0 (arXiv 1905.11946), first convolution stride 1; and scaled down by its compound rule (depth 1.2^phi,
# width 1.1^phi) at the phi whose size is nearest to rexnet_tiny's
_TINY_EXPONENT = -2.7
_TINY = {"channel_multiplier": 1.1**_TINY_EXPONENT, "depth_multiplier": 1.2**_TINY_EXPONENT}
small_image_form("efficientnet_b0_s1", 4_020_358, 32.0, "efficientnet_b0", stem_stride=1, num_classes=10)
small_image_form(
    "efficientnet_tiny_s1", None, None, "efficientnet_b0", stem_stride=1, num_classes=10,
    arguments=_TINY,
    note="its author never defined it: EfficientNet-B0 at compound exponent -2.7 (1,979,622 parameters), chosen here",
)  # fmt: skip
