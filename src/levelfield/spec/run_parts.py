"""What a run is made of: where its model, data and weights come from, and how it is carried out.

The other values of a run lie in `recipe.py` and `budget.py`; `RunSpec`, which adds the run's identity, in `run.py`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, field_validator

from levelfield.errors import UserError
from levelfield.spec.budget import Budget
from levelfield.spec.hub_source import hub_source
from levelfield.spec.recipe import Recipe
from levelfield.spec.values import Value


class Channels(Value):
    """How many channels a layer has where some of them have been removed."""

    inputs: PositiveInt | None = None
    """Channels that it takes. None: as many as in the whole network."""
    outputs: PositiveInt | None = None
    """Channels that it gives. None: as many as in the whole network."""

    def of_sides(self) -> dict[Literal["inputs", "outputs"], int]:
        """The sides of which channels have been removed, and how many are left."""
        sides: dict[Literal["inputs", "outputs"], int | None] = {"inputs": self.inputs, "outputs": self.outputs}
        return {side: count for side, count in sides.items() if count is not None}


class StartFrom(Value):
    """Weights to start from: `timm:<name>[.tag]`, `hub:<owner>/<name>[@revision]`, a run folder, or a .safetensors /
    .pth file. Of a revision that moves (a branch, a tag) the commit is filled in when the run is resolved.

    `digest` is the SHA-256 of the weights' content, filled in when the run is resolved.
    """

    source: str
    """`timm:NAME[.TAG]`, `hub:OWNER/NAME[@REVISION]`, a finished run's folder, or a .safetensors or .pth file."""
    digest: str | None = None
    """SHA-256 of the weights' content; filled in when the run is resolved."""
    channels: dict[str, Channels] | None = None
    """`model.channels` of the run whose weights they are; filled in when the run is resolved."""

    @field_validator("source")
    @classmethod
    def _named_on_the_hub(cls, source: str) -> str:
        try:
            hub_source(source)
        except UserError as error:
            raise ValueError(str(error).replace("\n", "; ")) from None
        return source


class ModelSpec(Value):
    """A model by registry name (`timm:<name>` for timm's). None is taken from the data when the run is resolved."""

    name: str
    """A registered model, or `timm:NAME`."""
    num_classes: PositiveInt | None = None
    """Outputs of the network. None: the data's classes."""
    image_size: PositiveInt | None = None
    """Side of the network's input. None: the data's. [px]"""
    options: dict[str, Any] = {}
    """Keyword arguments of the model's constructor."""
    start_from: StartFrom | None = None
    """Weights to start from. None: a fresh start."""
    channels: dict[str, Channels] | None = None
    """By layer the channels that are left, where some have been removed; filled in when the run is resolved."""


class DataSpec(Value):
    """A data set by name (or `folder:PATH`, `parquet:PATH` for one's own), how it is fitted, and how it is cut.

    `image_size`: side of the network's input in px (None: the stored size). `resize_px`: side to which images are
    resized before cropping (None: image_size). `fit`: how an image of another size becomes that, with `interpolation`
    (training images of a random resized crop stay whole). `validation`: share
    of train held out (None: the recipe's). `train_limit`, `test_limit`: a stratified, seeded subset of so many images.
    `on_bad_image`: an image that does not decode stops the reading, or is left out, counted and reported.
    `checksum`: of the content, filled in when the run is resolved.
    """

    name: str
    """A data set's name, or `folder:PATH`, `parquet:PATH`."""
    image_size: PositiveInt | None = None
    """Side of the network's input. None: the stored size. [px]"""
    resize_px: PositiveInt | None = None
    """Side to which images are resized before cropping. None: `image_size`. [px]"""
    fit: Literal["resize", "pad", "crop"] = "resize"
    """How an image of another size becomes a square: both sides resized, padded, or the centre of the short side."""
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    """The filter of resizing, antialiased."""
    validation: Annotated[float, Field(ge=0.0, lt=1.0)] | None = None
    """Share of the training images held out. None: the recipe's."""
    split_seed: int = 0
    """Seed of the cut between training and validation."""
    train_limit: PositiveInt | None = None
    """A stratified subset of so many training images. None: all. [images]"""
    test_limit: PositiveInt | None = None
    """A stratified subset of so many test images. None: all. [images]"""
    on_bad_image: Literal["fail", "skip"] = "fail"
    """An image that does not decode stops the reading, or is left out, counted and reported."""
    checksum: str | None = None
    """SHA-256 of the content; filled in when the run is resolved."""

    @property
    def own_place(self) -> bool:
        """Whether the name is a place on this machine."""
        return self.name.startswith(("folder:", "parquet:"))


class Plugin(Value):
    """A user's Python file that registers models; `digest` is the SHA-256 of its source, filled in when resolved."""

    path: str
    """A Python file that registers models."""
    digest: str | None = None
    """SHA-256 of its source; filled in when the run is resolved."""


class Execution(Value):
    """How a run is carried out: may change speed, not results beyond rounding.

    Two keys may change results and count where they do: `micro_batch` (BatchNorm sees the parts of a split batch), and
    `processes` where `recipe.batchnorm` is local (it sees each process's part). `processes` is filled in when the run
    is resolved.
    """

    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""
    threads: PositiveInt | None = None
    """Threads of torch on the CPU. None: torch's own number."""
    workers: NonNegativeInt = 2
    """Processes of the streamed loader."""
    loader: Literal["auto", "resident", "streamed"] = "auto"
    """All images on the device, or streamed by workers; auto takes the first while they fit."""
    resident_budget_mib: PositiveInt = 4096
    """Up to this size `auto` keeps the images on the device. [MiB]"""
    compile: bool = False
    """Compile the network (torch.compile)."""
    cuda_graphs: bool = False
    """Compile, and record CUDA graphs."""
    step_graph: bool = False
    """Capture the whole training step as one CUDA graph; with or without `compile`."""
    channels_last: bool = True
    """Lay images out channels last."""
    deterministic: bool | None = None
    """Deterministic algorithms only. None: on the CPU, with a warning where torch has none."""
    micro_batch: PositiveInt | None = None
    """Split the global batch into parts of so many images. None: not split. [images]"""
    processes: PositiveInt | None = None
    """How many processes train the run; filled in when it is resolved."""
    gradient_checkpointing: bool = False
    """Keep only the inputs of blocks and compute the blocks again: less memory, more time."""
    checkpoint_every_steps: PositiveInt | None = None
    """Write a checkpoint so often. None: by time alone. [steps]"""
    checkpoint_every_seconds: PositiveFloat = 60.0
    """Write a checkpoint at least so often. [s]"""
    keep_checkpoints: PositiveInt = 2
    """How many of the newest checkpoints stay."""
    log_every_steps: PositiveInt = 50
    """How often loss and speed are logged. [steps]"""
    stop_after_seconds: PositiveFloat | None = None
    """Stop with a checkpoint after this time. None: at the run's end. [s]"""
    stop_after_epochs: PositiveInt | None = None
    """Stop with a checkpoint at the end of this epoch; a run past it goes on. None: at the run's end. [epochs]"""
    eval_batch_size: PositiveInt = 500
    """Batch of validation and test. [images]"""
    loggers: tuple[Literal["tensorboard"], ...] = ("tensorboard",)
    """Who gets the metrics beside metrics.jsonl."""
    data_dir: str | None = None
    """Folder that holds the data sets. None: `LEVELFIELD_DATA`."""


class RunValues(Value):
    """All values of one run (`RunSpec`)."""

    model: ModelSpec
    """The network."""
    data: DataSpec
    """The images."""
    recipe: Recipe = Recipe()
    """How to train."""
    budget: Budget
    """How long it trains."""
    seed: NonNegativeInt = 0
    """Seed of everything random in the run."""
    plugins: tuple[Plugin, ...] = ()
    """The user's own model files."""
    execution: Execution = Execution()
    """How it is carried out."""

    def unresolved(self) -> list[str]:
        """The fields that must be filled in (from data, files and device) before the run is defined."""
        checks = {
            "model.num_classes": self.model.num_classes,
            "model.image_size": self.model.image_size,
            "data.image_size": self.data.image_size,
            "data.validation": self.data.validation,
            "data.checksum": self.data.checksum,
            "model.start_from.digest": self.model.start_from is None or self.model.start_from.digest,
            "recipe.distil.teacher_identity": self.recipe.distil is None or self.recipe.distil.teacher_identity,
            "recipe.distil.teacher_digest": self.recipe.distil is None or self.recipe.distil.teacher_digest,
            "recipe.precision": self.recipe.precision not in ("auto", "bf16_if_native"),
            "plugins.digest": all(plugin.digest for plugin in self.plugins),
        }
        return [name for name, value in checks.items() if value is None or value is False]
