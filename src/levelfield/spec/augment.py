"""What happens to training images, as a recipe's `augment` and `mix` state it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveInt

from levelfield.spec.values import Probability, Value

Range = tuple[float, float]


class PadCrop(Value):
    """Pad every side by `padding_px`, then crop the image's own size at a random place."""

    name: Literal["pad_crop"] = "pad_crop"
    padding_px: PositiveInt = 4
    fill: Literal["zero", "reflect"] = "zero"


class RandomCrop(Value):
    """A random crop of the network's size out of a larger stored image (fine-grained recipes)."""

    name: Literal["random_crop"] = "random_crop"


class RandomResizedCrop(Value):
    """Inception crop: area and aspect ratio drawn from ranges, resized to the network's size with `interpolation`.

    It is taken from the whole training image, at its aspect ratio, not from what `data.fit` makes of it; `source_px` is
    the short side to which larger ones are scaled down beforehand (None: not at all).
    """

    name: Literal["random_resized_crop"] = "random_resized_crop"
    scale: Range = (0.08, 1.0)
    ratio: Range = (3 / 4, 4 / 3)
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    source_px: PositiveInt | None = None


Crop = Annotated[PadCrop | RandomCrop | RandomResizedCrop, Field(discriminator="name")]


class RandAugment(Value):
    """RandAugment (arXiv 1909.13719) in one of three named forms.

    `torchvision`: its 14 operations, `magnitude` of `bins` 31. `timm`: rand-mM-mstdS-incI (`magnitude_std`,
    `increasing`). `uda`: the older set with an absolute Cutout, magnitude of 30.
    """

    name: Literal["randaugment"] = "randaugment"
    form: Literal["torchvision", "timm", "uda"] = "torchvision"
    ops: PositiveInt = 2
    magnitude: Annotated[float, Field(ge=0.0, le=30.0)] = 9
    magnitude_std: NonNegativeFloat = 0.0
    increasing: bool = False
    probability: Probability | None = None


class TrivialAugment(Value):
    """TrivialAugment-Wide (arXiv 2103.10158): one operation, its strength drawn uniformly."""

    name: Literal["trivial_augment_wide"] = "trivial_augment_wide"


Policy = Annotated[RandAugment | TrivialAugment, Field(discriminator="name")]


class ColorJitter(Value):
    """Brightness, contrast and saturation factors drawn from [max(0, 1 - x), 1 + x]; hue shift from [-hue, hue]."""

    brightness: NonNegativeFloat = 0.0
    contrast: NonNegativeFloat = 0.0
    saturation: NonNegativeFloat = 0.0
    hue: Annotated[float, Field(ge=0.0, le=0.5)] = 0.0


class Erasing(Value):
    """Random erasing (arXiv 1708.04896): a box of `area` share and `ratio` aspect, filled after normalisation."""

    probability: Probability = 0.25
    area: Range = (0.02, 0.33)
    ratio: Range = (0.3, 3.3)
    value: Literal["constant", "random", "pixel"] = "pixel"


class Augment(Value):
    """What happens to a training image, in this order: crop, flip, policy, colour jitter, normalise, erase.

    `flip`: `random` (half of the draws), `alternate` (every image flips every other epoch, its first side drawn: the
    derandomised flip of airbench, arXiv 2404.00498) or `none`. `normalize`: `data` (the set's own channel statistics),
    `imagenet` or `half` (mean and standard deviation 0.5).
    """

    crop: Crop | None = None
    flip: Literal["random", "alternate", "none"] = "none"
    policy: Policy | None = None
    color_jitter: ColorJitter | None = None
    normalize: Literal["data", "imagenet", "half"] = "data"
    erasing: Erasing | None = None


class Mix(Value):
    """Mixup (arXiv 1710.09412) and CutMix (arXiv 1905.04899): an alpha of 0 leaves that one out.

    With both, CutMix is taken with probability `switch_probability`. Mixing happens with `probability`, decided per
    global batch or per element.
    """

    mixup_alpha: NonNegativeFloat = 0.0
    cutmix_alpha: NonNegativeFloat = 0.0
    probability: Probability = 1.0
    switch_probability: Probability = 0.5
    mode: Literal["batch", "element"] = "batch"

    @property
    def active(self) -> bool:
        return self.probability > 0 and (self.mixup_alpha > 0 or self.cutmix_alpha > 0)
