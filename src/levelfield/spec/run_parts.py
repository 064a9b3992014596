"""What a run is made of: where its model, data and weights come from, and how it is carried out.

The other values of a run lie in `recipe.py` and `budget.py`; `RunSpec`, which adds the run's identity, in `run.py`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from levelfield.spec.budget import Budget
from levelfield.spec.recipe import Recipe
from levelfield.spec.values import Value


class StartFrom(Value):
    """Weights to start from: `timm:<name>[.tag]`, a run folder, or a .safetensors / .pth file.

    `digest` is the SHA-256 of the weights' content, filled in when the run is resolved.
    """

    source: str
    digest: str | None = None


class ModelSpec(Value):
    """A model by registry name (`timm:<name>` for timm's). None is taken from the data when the run is resolved."""

    name: str
    num_classes: PositiveInt | None = None
    image_size: PositiveInt | None = None
    options: dict[str, Any] = {}
    start_from: StartFrom | None = None


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
    image_size: PositiveInt | None = None
    resize_px: PositiveInt | None = None
    fit: Literal["resize", "pad", "crop"] = "resize"
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    validation: Annotated[float, Field(ge=0.0, lt=1.0)] | None = None
    split_seed: int = 0
    train_limit: PositiveInt | None = None
    test_limit: PositiveInt | None = None
    on_bad_image: Literal["fail", "skip"] = "fail"
    checksum: str | None = None

    @property
    def own_place(self) -> bool:
        """Whether the name is a place on this machine."""
        return self.name.startswith(("folder:", "parquet:"))


class Plugin(Value):
    """A user's Python file that registers models; `digest` is the SHA-256 of its source, filled in when resolved."""

    path: str
    digest: str | None = None


class Execution(Value):
    """How a run is carried out: may change speed, not results beyond rounding.

    Two keys may change results and count where they do: `micro_batch` (BatchNorm sees the parts of a split batch), and
    `processes` where `recipe.batchnorm` is local (it sees each process's part). `processes` is filled in when the run
    is resolved.
    """

    device: str = "auto"
    threads: PositiveInt | None = None
    workers: NonNegativeInt = 2
    loader: Literal["auto", "resident", "streamed"] = "auto"
    resident_budget_mib: PositiveInt = 4096
    compile: bool = False
    cuda_graphs: bool = False
    channels_last: bool = True
    deterministic: bool | None = None
    micro_batch: PositiveInt | None = None
    processes: PositiveInt | None = None
    gradient_checkpointing: bool = False
    checkpoint_every_steps: PositiveInt | None = None
    checkpoint_every_seconds: PositiveFloat = 60.0
    keep_checkpoints: PositiveInt = 2
    log_every_steps: PositiveInt = 50
    stop_after_seconds: PositiveFloat | None = None
    eval_batch_size: PositiveInt = 500
    loggers: tuple[Literal["tensorboard"], ...] = ("tensorboard",)
    data_dir: str | None = None


class RunValues(Value):
    """All values of one run (`RunSpec`)."""

    model: ModelSpec
    data: DataSpec
    recipe: Recipe = Recipe()
    budget: Budget
    seed: NonNegativeInt = 0
    plugins: tuple[Plugin, ...] = ()
    execution: Execution = Execution()

    def unresolved(self) -> list[str]:
        """The fields that must be filled in (from data, files and device) before the run is defined."""
        checks = {
            "model.num_classes": self.model.num_classes,
            "model.image_size": self.model.image_size,
            "data.image_size": self.data.image_size,
            "data.validation": self.data.validation,
            "data.checksum": self.data.checksum,
            "model.start_from.digest": self.model.start_from is None or self.model.start_from.digest,
            "recipe.precision": self.recipe.precision not in ("auto", "bf16_if_native"),
            "plugins.digest": all(plugin.digest for plugin in self.plugins),
        }
        return [name for name, value in checks.items() if value is None or value is False]
