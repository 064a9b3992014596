"""A recipe: everything about training that is not the model, the data, the length or the seed.

Optimiser and schedule of the recipe are its first phase; `phases` lists hand-overs. All lengths are in epochs or steps
of the run, all learning rates are those of the full global batch.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from levelfield.spec.values import Value

Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Range = tuple[float, float]


class Optimizer(Value):
    """An optimiser by name (torch.optim's and timm's, lower case) with its settings; None leaves its own default.

    `options` holds what only one optimiser knows (checked against its signature). `layer_decay` multiplies the learning
    rate by itself once per stage from the head down. `lr_factors` maps a name pattern (fnmatch) to a multiplier of lr.
    """

    name: str = "adamw"
    lr: PositiveFloat = 1e-3
    weight_decay: NonNegativeFloat = 0.0
    momentum: Probability | None = None
    nesterov: bool | None = None
    betas: tuple[Probability, Probability] | None = None
    eps: PositiveFloat | None = None
    layer_decay: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    lr_factors: dict[str, NonNegativeFloat] = {}
    decay_all: bool = False
    options: dict[str, Any] = {}


class Warmup(Value):
    """A linear warm-up, its length as exactly one of `steps`, `epochs` or `ratio` of the run; none given: no warm-up.

    `on_top` adds it to the stated length of its phase instead of taking it from there: all epochs that the recipe
    states (milestones, later hand-overs) then come later by so much.
    """

    steps: NonNegativeInt | None = None
    epochs: NonNegativeFloat | None = None
    ratio: Probability | None = None
    start_factor: NonNegativeFloat = 0.0
    on_top: bool = False

    @model_validator(mode="after")
    def _one_length(self) -> Warmup:
        if sum(length is not None for length in (self.steps, self.epochs, self.ratio)) > 1:
            raise ValueError("warm-up has several lengths; give one of steps, epochs, ratio")
        return self


class Cosine(Value):
    """Half a cosine from lr to `final_lr`, from warm-up's end to phase's (Loshchilov and Hutter, arXiv 1608.03983)."""

    name: Literal["cosine"] = "cosine"
    final_lr: NonNegativeFloat = 0.0
    warmup: Warmup = Warmup()


class OneCycle(Value):
    """torch's OneCycleLR: lr / div_factor up to lr at `pct_start`, then down to lr / div_factor / final_div_factor."""

    name: Literal["onecycle"] = "onecycle"
    pct_start: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.3
    div_factor: PositiveFloat = 25.0
    final_div_factor: PositiveFloat = 1e4
    anneal: Literal["cos", "linear"] = "cos"


class Step(Value):
    """lr times `gamma` after every `every_epochs` epochs of the phase, counted from its start, warm-up included."""

    name: Literal["step"] = "step"
    every_epochs: PositiveInt = 30
    gamma: PositiveFloat = 0.1
    warmup: Warmup = Warmup()


class MultiStep(Value):
    """lr times `gamma` at each of `milestones` (epochs of the phase, counted from its start, warm-up included)."""

    name: Literal["multistep"] = "multistep"
    milestones: tuple[PositiveInt, ...] = (30, 60, 90)
    gamma: PositiveFloat = 0.1
    warmup: Warmup = Warmup()


class Linear(Value):
    """A straight line from lr to `final_lr`, from the warm-up's end to the phase's."""

    name: Literal["linear"] = "linear"
    final_lr: NonNegativeFloat = 0.0
    warmup: Warmup = Warmup()


class Constant(Value):
    """lr throughout."""

    name: Literal["constant"] = "constant"
    warmup: Warmup = Warmup()


class CosineAnnealing(Value):
    """torch's CosineAnnealingLR from the warm-up's end on: a cosine of half period `t_max_epochs`, then up again."""

    name: Literal["cosine_annealing"] = "cosine_annealing"
    t_max_epochs: PositiveFloat = 30.0
    final_lr: NonNegativeFloat = 0.0
    warmup: Warmup = Warmup()


Schedule = Annotated[
    Cosine | OneCycle | Step | MultiStep | Linear | Constant | CosineAnnealing, Field(discriminator="name")
]


class Phase(Value):
    """A hand-over: at the start of epoch `at_epoch` (from 0) a new optimiser and a schedule that starts there."""

    at_epoch: PositiveInt
    optimizer: Optimizer
    schedule: Schedule = Constant()


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


class Regularisation(Value):
    """Label smoothing, stochastic depth, dropout and clipping.

    `smoothing_with_mix: false` drops the smoothing from mixed batches (the published OutGrid run's code does).
    `drop_path` and `dropout` None leave the model's own published setting. `clip_norm` None: no clipping.
    """

    label_smoothing: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    smoothing_with_mix: bool = True
    drop_path: Annotated[float, Field(ge=0.0, lt=1.0)] | None = None
    drop_path_mode: Literal["sample", "batch"] = "sample"
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] | None = None
    clip_norm: PositiveFloat | None = None


class Averaging(Value):
    """Exponential moving average of the weights, BatchNorm buffers included, updated every `every_steps`.

    The decay used at update u is min(decay, (1 + u) / (10 + u)) so that it fits short runs. `evaluate` fixes beforehand
    which weights are the result; both are evaluated.
    """

    name: Literal["none", "ema"] = "none"
    decay: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.999
    every_steps: PositiveInt = 1
    evaluate: Literal["raw", "averaged"] = "averaged"


class Freeze(Value):
    """Parameters whose names match one of `patterns` (fnmatch) stay fixed for the first `epochs` (None: throughout)."""

    patterns: tuple[str, ...] = ()
    epochs: NonNegativeInt | None = None


class Recipe(Value):
    """How to train. `budget` and `validation` are defaults that a run may override."""

    name: str = "unnamed"
    description: str = ""
    optimizer: Optimizer = Optimizer()
    schedule: Schedule = Cosine()
    phases: tuple[Phase, ...] = ()
    batch_size: PositiveInt = 128
    augment: Augment = Augment()
    mix: Mix = Mix()
    regularisation: Regularisation = Regularisation()
    freeze: Freeze = Freeze()
    precision: Literal["auto", "fp32", "bf16", "fp16", "bf16_if_native"] = "auto"
    tf32: bool = False
    batchnorm: Literal["global", "local"] = "global"
    averaging: Averaging = Averaging()
    selection: Literal["last", "best_validation"] = "last"
    validation: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.1

    @classmethod
    def load(cls, name: str) -> Recipe:
        """The shipped recipe `name` (`name+variant` too), or one's own from a .yaml file. Raises UserError."""
        from levelfield.spec.library import load_recipe

        return load_recipe(name).recipe

    @model_validator(mode="after")
    def _consistent(self) -> Recipe:
        starts = [phase.at_epoch for phase in self.phases]
        if starts != sorted(set(starts)):
            raise ValueError(f"phases start at epochs {starts}; let each start after the one before")
        if self.selection == "best_validation" and self.validation == 0:
            raise ValueError(
                "selection best_validation needs validation > 0; set recipe.validation=0.1 or selection=last"
            )
        return self
