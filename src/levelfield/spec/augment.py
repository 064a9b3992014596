"""What happens to training images, as a recipe's `augment` and `mix` state it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveInt

from levelfield.spec.values import Probability, Value

Range = tuple[float, float]


class PadCrop(Value):
    """Pad every side by `padding_px`, then crop the image's own size at a random place."""

    name: Literal["pad_crop"] = "pad_crop"
    """The kind of crop."""
    padding_px: PositiveInt = 4
    """Added on every side. [px]"""
    fill: Literal["zero", "reflect"] = "zero"
    """What the border holds: black, or the image mirrored."""


class RandomCrop(Value):
    """A random crop of the network's size out of a larger stored image (fine-grained recipes)."""

    name: Literal["random_crop"] = "random_crop"
    """The kind of crop."""


class RandomResizedCrop(Value):
    """Inception crop: area and aspect ratio drawn from ranges, resized to the network's size with `interpolation`.

    It is taken from the whole training image, at its aspect ratio, not from what `data.fit` makes of it; `source_px` is
    the short side to which larger ones are scaled down beforehand (None: not at all).
    """

    name: Literal["random_resized_crop"] = "random_resized_crop"
    """The kind of crop."""
    scale: Range = (0.08, 1.0)
    """Range of the share of the image's area."""
    ratio: Range = (3 / 4, 4 / 3)
    """Range of the aspect ratio, width over height."""
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    """The filter of resizing, antialiased."""
    source_px: PositiveInt | None = None
    """Short side to which larger images are scaled down when they are stored. None: not at all. [px]"""


Crop = Annotated[PadCrop | RandomCrop | RandomResizedCrop, Field(discriminator="name")]


class RandAugment(Value):
    """RandAugment (arXiv 1909.13719) in one of three named forms.

    `torchvision`: its 14 operations, `magnitude` of `bins` 31. `timm`: rand-mM-mstdS-incI (`magnitude_std`,
    `increasing`). `uda`: the older set with an absolute Cutout, magnitude of 30.
    """

    name: Literal["randaugment"] = "randaugment"
    """The kind of policy."""
    form: Literal["torchvision", "timm", "uda"] = "torchvision"
    """Whose operations, strengths and interpolation."""
    ops: PositiveInt = 2
    """Operations per image, one after another."""
    magnitude: Annotated[float, Field(ge=0.0, le=30.0)] = 9
    """Their strength: 0 to 30, in timm's form 0 to 10."""
    magnitude_std: NonNegativeFloat = 0.0
    """Standard deviation of the strength, in timm's form."""
    increasing: bool = False
    """All operations grow with the magnitude, in timm's form."""
    probability: Probability | None = None
    """Chance that an operation happens. None: the form's own."""


class TrivialAugment(Value):
    """TrivialAugment-Wide (arXiv 2103.10158): one operation, its strength drawn uniformly."""

    name: Literal["trivial_augment_wide"] = "trivial_augment_wide"
    """The kind of policy."""


Policy = Annotated[RandAugment | TrivialAugment, Field(discriminator="name")]


class ColorJitter(Value):
    """Brightness, contrast and saturation factors drawn from [max(0, 1 - x), 1 + x]; hue shift from [-hue, hue]."""

    brightness: NonNegativeFloat = 0.0
    """Half width of the factor's range around 1."""
    contrast: NonNegativeFloat = 0.0
    """Half width of the factor's range around 1."""
    saturation: NonNegativeFloat = 0.0
    """Half width of the factor's range around 1."""
    hue: Annotated[float, Field(ge=0.0, le=0.5)] = 0.0
    """Largest shift, in turns of the colour circle. [turns]"""


class Erasing(Value):
    """Random erasing (arXiv 1708.04896): a box of `area` share and `ratio` aspect, filled after normalisation."""

    probability: Probability = 0.25
    """Chance that an image is erased."""
    area: Range = (0.02, 0.33)
    """Range of the box's share of the image."""
    ratio: Range = (0.3, 3.3)
    """Range of the box's height over width."""
    value: Literal["constant", "random", "pixel"] = "pixel"
    """What the box holds: the mean, one random colour, or noise per pixel."""


class Augment(Value):
    """What happens to a training image, in this order: crop, flip, policy, colour jitter, normalise, erase.

    `flip`: `random` (half of the draws), `alternate` (every image flips every other epoch, its first side drawn: the
    derandomised flip of airbench, arXiv 2404.00498) or `none`. `normalize`: `data` (the set's own channel statistics),
    `imagenet` or `half` (mean and standard deviation 0.5).
    """

    crop: Crop | None = None
    """A random crop. None: the whole image."""
    flip: Literal["random", "alternate", "none"] = "none"
    """Mirror half of the draws, every image every other epoch, or none."""
    policy: Policy | None = None
    """An automatic augmentation. None: none."""
    color_jitter: ColorJitter | None = None
    """Random brightness, contrast, saturation and hue. None: none."""
    normalize: Literal["data", "imagenet", "half"] = "data"
    """Mean and standard deviation of the channels: the data's own, ImageNet's, or 0.5."""
    erasing: Erasing | None = None
    """Random erasing. None: none."""


class Mix(Value):
    """Mixup (arXiv 1710.09412) and CutMix (arXiv 1905.04899): an alpha of 0 leaves that one out.

    With both, CutMix is taken with probability `switch_probability`. Mixing happens with `probability`, decided per
    global batch or per element.
    """

    mixup_alpha: NonNegativeFloat = 0.0
    """Both parameters of the beta distribution of mixup's share; 0: no mixup."""
    cutmix_alpha: NonNegativeFloat = 0.0
    """Both parameters of the beta distribution of CutMix's share; 0: no CutMix."""
    probability: Probability = 1.0
    """Chance that a batch (or element) is mixed."""
    switch_probability: Probability = 0.5
    """Chance of CutMix where both are on."""
    mode: Literal["batch", "element"] = "batch"
    """Whether one draw serves the global batch or each image has its own."""

    @property
    def active(self) -> bool:
        return self.probability > 0 and (self.mixup_alpha > 0 or self.cutmix_alpha > 0)
