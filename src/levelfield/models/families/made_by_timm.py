"""Well-known families' networks for small images that timm builds, registered under names of our own.

Each is built by timm and then changed where it reads the image, so that timm's own weights fit all but that place. timm
is imported where one of them is built.
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


def small_image_form(
    name: str, params: int | None, macs_m: float | None, base: str,
    layers: Layers | None = None, *, arguments: Mapping[str, Any] | None = None, stem_stride: int | None = None,
    sized: bool = False, num_classes: int = 100, **facts: Any,
) -> None:  # fmt: skip
    """Register as `name` what timm's `base` makes of `arguments`, with `layers` put in.

    `stem_stride` is given to an EfficientNet's first convolution; what is `sized` is built for one image size. `params`
    and `macs_m` (millions) are the published counts, where there are any, and `facts` what else is known.
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

    scaled = base == "efficientnet_b0" and "channel_multiplier" in arguments
    make = timm.models.efficientnet._gen_efficientnet if scaled else timm.create_model
    model: nn.Module = make(base, **arguments)
    return model


def convolution(inputs: int, outputs: int, kernel: int, stride: int, bias: bool = False) -> Callable[[], nn.Module]:
    return partial(nn.Conv2d, inputs, outputs, kernel, stride, padding=(kernel - 1) // 2, bias=bias)
