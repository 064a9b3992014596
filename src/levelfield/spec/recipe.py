"""A recipe: everything about training that is not the model, the data, the length or the seed.

Optimiser and schedule of the recipe are its first phase; `phases` lists hand-overs. All learning rates are those of the
full global batch. Its keys under `schedule` are in `schedule.py`, those under `augment` and `mix` in `augment.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from levelfield.spec.augment import Augment, Mix
from levelfield.spec.budget import Budget
from levelfield.spec.recipe_files import read_recipe
from levelfield.spec.schedule import Constant, Cosine, Schedule
from levelfield.spec.values import Probability, Value


class Optimizer(Value):
    """An optimiser by name (torch.optim's and timm's, lower case) with its settings; None leaves its own default.

    `options` holds what only one optimiser knows (checked against its signature). `layer_decay` multiplies the learning
    rate by itself once per stage from the head down. `lr_factors` maps a name pattern (fnmatch) to a multiplier of lr.
    """

    name: str = "adamw"
    """An optimiser of torch.optim or of timm, in lower case."""
    lr: PositiveFloat = 1e-3
    """Learning rate of the full global batch, at the schedule's top."""
    weight_decay: NonNegativeFloat = 0.0
    """Decay of the weights, as the optimiser applies it (AdamW: decoupled)."""
    momentum: Probability | None = None
    """Momentum, of optimisers that have one."""
    nesterov: bool | None = None
    """Nesterov's form of momentum."""
    betas: tuple[Probability, Probability] | None = None
    """Decay rates of the two averages, of Adam's family."""
    eps: PositiveFloat | None = None
    """Added to the denominator, of Adam's family."""
    layer_decay: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    """Multiplies the learning rate by itself once per stage from the head down (arXiv 2003.10555); 1: all alike."""
    lr_factors: dict[str, NonNegativeFloat] = {}
    """Parameter names (patterns of fnmatch) and what multiplies their learning rate."""
    decay_all: bool = False
    """Decay norms, biases, layer scales, tokens and position tables too."""
    options: dict[str, Any] = {}
    """Settings that only this optimiser has, checked against its signature."""


class Phase(Value):
    """A hand-over: at the start of epoch `at_epoch` (from 0) a new optimiser and a schedule that starts there."""

    at_epoch: PositiveInt
    """The epoch, counted from 0, at whose start this phase takes over. [epochs]"""
    optimizer: Optimizer
    """The optimiser from there on, with a fresh state."""
    schedule: Schedule = Constant()
    """The schedule from there on; it starts with the phase."""


class Regularisation(Value):
    """Label smoothing, stochastic depth, dropout and clipping.

    `smoothing_with_mix: false` drops the smoothing from mixed batches (the published OutGrid run's code does).
    `drop_path` and `dropout` None leave the model's own published setting. `clip_norm` None: no clipping.
    """

    label_smoothing: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Share of the target that is spread over all classes."""
    smoothing_with_mix: bool = True
    """Smooth mixed targets too; false drops the smoothing from mixed batches."""
    drop_path: Annotated[float, Field(ge=0.0, lt=1.0)] | None = None
    """The model's rate of stochastic depth. None: the model's own published setting."""
    drop_path_mode: Literal["sample", "batch"] = "sample"
    """Whether a block is dropped for each image or for the whole batch."""
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] | None = None
    """The model's rate of dropout. None: the model's own published setting."""
    clip_norm: PositiveFloat | None = None
    """Largest norm of the gradient over all parameters. None: no clipping."""


class Averaging(Value):
    """Exponential moving average of the weights, BatchNorm buffers included, updated every `every_steps`.

    The decay used at update u is min(decay, (1 + u) / (10 + u)) so that it fits short runs. `evaluate` fixes beforehand
    which weights are the result; both are evaluated.
    """

    name: Literal["none", "ema"] = "none"
    """Whether an exponential moving average of the weights is kept."""
    decay: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.999
    """Decay of the average; at update u it is at most (1 + u) / (10 + u), so that it fits short runs."""
    every_steps: PositiveInt = 1
    """How often the average is updated. [steps]"""
    evaluate: Literal["raw", "averaged"] = "averaged"
    """Which weights are the result; the others are tested and reported too."""


class Distil(Value):
    """Knowledge distillation: a trained network, the teacher, is followed beside the targets.

    The loss is (1 - weight) * cross-entropy with the targets + weight * what the teacher asks for. `soft` (Hinton et
    al., arXiv 1503.02531): temperature^2 * KL(teacher || network), both softened by the temperature. `hard` (DeiT;
    Touvron et al., arXiv 2012.12877): cross-entropy with the teacher's most likely class. The teacher is frozen, in
    evaluation mode, and sees the images that the network sees, augmented and mixed.
    """

    teacher: str
    """A finished run's folder; its classes are the data's, in their order."""
    form: Literal["soft", "hard"] = "soft"
    """Whether the teacher's whole distribution is followed, or its most likely class."""
    temperature: PositiveFloat = 4.0
    """What divides the logits of both before they are compared; of the soft form only."""
    weight: Annotated[float, Field(gt=0.0, le=1.0)] = 0.5
    """Share of the loss that is the teacher's; the rest is the targets'."""
    teacher_identity: str | None = None
    """Identity of the teacher's run; filled in when the run is resolved."""
    teacher_digest: str | None = None
    """SHA-256 of the content of the teacher's weights; filled in when the run is resolved."""


class Prune(Value):
    """Magnitude pruning (Han et al., arXiv 1506.02626): of the weights that a run starts from the smallest become zero,
    and stay zero while the others are trained on."""

    share: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.5
    """Share of the weights of convolutions and linear layers that become zero."""
    scope: Literal["global", "layer"] = "global"
    """Whether the smallest are chosen among all layers together, or that share of each layer."""


class PruneChannels(Value):
    """Structured pruning (DepGraph; Fang et al., arXiv 2301.12900): of the network that a run starts from the channels
    that weigh least are taken out, of all layers that share them, and what is left is trained on."""

    share: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.5
    """Share of the network's multiply-accumulates or parameters that goes, at least."""
    of: Literal["macs", "params"] = "macs"
    """Whether the share is of multiply-accumulates or of parameters."""


class QuantizeAware(Value):
    """Quantisation-aware training (Jacob et al., arXiv 1712.05877): in training and in its test a network rounds the
    weights and inputs of its convolutions and linear layers as its int8 file will round them: weights per output
    channel, inputs per tensor."""

    momentum: Annotated[float, Field(gt=0.0, le=1.0)] = 0.01
    """Share of a batch's smallest and largest value in the moving average that is the range of a layer's input."""


class Freeze(Value):
    """Parameters whose names match one of `patterns` (fnmatch) stay fixed for the first `epochs` (None: throughout)."""

    patterns: tuple[str, ...] = ()
    """Names of parameters (patterns of fnmatch) that keep their values."""
    epochs: NonNegativeInt | None = None
    """Thaw them after so many epochs. None: they stay frozen throughout. [epochs]"""


class Recipe(Value):
    """How to train. `budget` and `validation` are defaults that a run may override."""

    name: str = "unnamed"
    """What the recipe is called; no part of a run's identity."""
    description: str = ""
    """Source, expected result, hardware, what the source left unstated; no part of a run's identity."""
    optimizer: Optimizer = Optimizer()
    """The optimiser of the first phase."""
    schedule: Schedule = Cosine()
    """The learning rate over the first phase."""
    phases: tuple[Phase, ...] = ()
    """Hand-overs to another optimiser and schedule at an epoch."""
    batch_size: PositiveInt = 128
    """The global batch, over all processes. [images]"""
    augment: Augment = Augment()
    """What happens to training images."""
    mix: Mix = Mix()
    """Mixup and CutMix."""
    regularisation: Regularisation = Regularisation()
    """Label smoothing, stochastic depth, dropout and clipping."""
    distil: Distil | None = None
    """A teacher that is followed beside the targets. None: the targets alone."""
    prune: Prune | None = None
    """What becomes of the smallest of the weights that a run starts from. None: nothing."""
    prune_channels: PruneChannels | None = None
    """Which channels are taken out of the network that a run starts from. None: none."""
    quantize_aware: QuantizeAware | None = None
    """Rounding to int8 while the network trains. None: none."""
    freeze: Freeze = Freeze()
    """Parameters that stay as they are, for a while or throughout."""
    precision: Literal["auto", "fp32", "bf16", "fp16", "bf16_if_native"] = "auto"
    """Of the forward and backward pass; auto: fp16 on CUDA, else fp32; bf16_if_native: where the processor has it."""
    tf32: bool = False
    """TensorFloat-32 for what is computed in fp32 on CUDA."""
    batchnorm: Literal["global", "local"] = "global"
    """Whether BatchNorm sees the global batch over all processes, or each process's part."""
    averaging: Averaging = Averaging()
    """The average of the weights."""
    selection: Literal["last", "best_validation"] = "last"
    """Which epoch is the result: the last, or the best on validation."""
    validation: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.1
    """Share of the training images held out, unless the run's data say otherwise."""

    @classmethod
    def load(cls, name: str) -> Recipe:
        """The shipped recipe `name` (`name+variant` too), or one's own from a .yaml file. Raises UserError."""
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


@dataclass(frozen=True)
class RecipeFile:
    """A recipe as its file states it: the recipe and its stated length (None where it states none)."""

    recipe: Recipe
    budget: Budget | None


def load_recipe(name: str) -> RecipeFile:
    """Read a recipe by name, with variants (`name+variant+variant`), or from a .yaml file.

    Raises UserError for an unknown name or variant, an unreadable file, an unknown key or a bad value.
    """
    values = read_recipe(name)
    budget = values.pop("budget", None)
    length = None if budget is None else Budget.parse(budget, f"recipe {name}: budget")
    return RecipeFile(Recipe.parse(values, f"recipe {name}"), length)
