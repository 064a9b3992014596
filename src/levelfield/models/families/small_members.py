"""Small members of well-known families: 0.6 million parameters at 100 classes and 32 px, within 4 % of one another.

Chosen here for comparisons that two cores can carry; nobody published them. Block, norm, activation and stem are those
of the family's published small-image form (ResNets without max-pool, Swin with patch 2 and window 4 in three stages,
EfficientNetV2 and MaxViT with a first convolution of stride 1), widths and depths are what brings each to that size.
`outgrid_nano`, `convnext_nano_p2` at width 1.18 and `vit_mini` at depth 2 are the members of the families built here.
"""

from __future__ import annotations

from torch import nn

from levelfield.models.families.made_by_timm import convolution, small_image_form

_NOTE = "a small member of its family, chosen here: 0.6 million parameters"
_STEM = {"conv1": convolution(3, 64, 3, 1), "maxpool": nn.Identity}

# basic blocks (2, 2, 2, 2); bottlenecks (2, 2, 3, 2)
small_image_form(
    "resnet_basic_0.6m", None, None, "resnet18", _STEM, arguments={"channels": (16, 32, 64, 112)}, note=_NOTE,
)  # fmt: skip
small_image_form(
    "resnet_bottleneck_0.6m", None, None, "resnet50", _STEM,
    arguments={"channels": (16, 32, 64, 76), "layers": (2, 2, 3, 2)}, note=_NOTE,
)  # fmt: skip
small_image_form(
    "efficientnetv2_0.6m", None, None, "efficientnetv2_s", stem_stride=1,
    arguments={"channel_multiplier": 0.25, "depth_multiplier": 0.34}, note=_NOTE,
)  # fmt: skip
# partitions of 2x2, the side of the last map, as in maxvit_nano_s1w2
small_image_form(
    "maxvit_0.6m", None, None, "maxvit_nano_rw_256", {"stem.conv1": convolution(3, 24, 3, 1)}, sized=True,
    arguments={
        "embed_dim": (24, 40, 72, 112), "depths": (1, 1, 1, 1), "stem_width": 24, "transformer_dim_head": 8,
        "transformer_partition_ratio": 16,
    },
    note=_NOTE,
)  # fmt: skip
small_image_form(
    "swin_0.6m", None, None, "swin_tiny_patch4_window7_224", sized=True,
    arguments={"patch_size": 2, "window_size": 4, "embed_dim": 32, "depths": (2, 2, 2), "num_heads": (1, 2, 4)},
    note=_NOTE,
)  # fmt: skip
