"""A run as one value: its science (model, data, recipe, budget, seed, plugins), its execution, and its identity."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from levelfield.errors import UserError
from levelfield.spec.identity import differing, used
from levelfield.spec.recipe import Recipe
from levelfield.spec.revisions import revisions
from levelfield.spec.values import Value

SCIENCE_VERSION: Final = 1
"""Raised on purpose whenever equal science gives other numbers than before: part of every identity."""


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


class Budget(Value):
    """The length of a run: exactly one of `epochs`, `steps`, `samples`."""

    epochs: PositiveFloat | None = None
    steps: PositiveInt | None = None
    samples: PositiveInt | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Budget:
        if sum(length is not None for length in (self.epochs, self.steps, self.samples)) != 1:
            raise ValueError("give exactly one of epochs, steps, samples, greater than zero")
        return self


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


class RunSpec(Value):
    """One training run. `recipe` is the recipe itself, never only its name, so that a run says all of itself."""

    model: ModelSpec
    data: DataSpec
    recipe: Recipe = Recipe()
    budget: Budget
    seed: NonNegativeInt = 0
    plugins: tuple[Plugin, ...] = ()
    execution: Execution = Execution()

    def science(self) -> dict[str, Any]:
        """What defines the result, as plain JSON values with every key: for reading and comparing.

        Left out are execution, prose, and the places of what a checksum or digest tells (plugins, weights, data of
        one's own); what has no effect where it stands is shown at its default. `identity` hashes less.
        """
        spec = used(self)
        values = spec.model_dump(mode="json", exclude={"execution": True, "recipe": {"name", "description"}})
        values["recipe"].pop("validation")  # it is data.validation now
        if self.data.checksum is not None and self.data.own_place:
            values["data"].pop("name")
        return self._without_places(values) | self._counting(spec)

    def identity(self, mends: Sequence[str] | None = None) -> str:
        """SHA-256 (hex) over SCIENCE_VERSION and the science that differs from its defaults.

        `mends`: the revisions under which the run was made, as its run.json says (None: today's), so that the identity
        of an old run can be told. Raises UserError while anything is open.
        """
        if missing := self.unresolved():
            raise UserError("a run has no identity before it is resolved; open: " + ", ".join(missing))
        spec = used(self.parse(self.model_dump(warnings=False), "run"))  # equal values in one form: 2 epochs, 2.0 too
        values = differing(spec.model_copy(update={"execution": Execution()}))
        for key in ("name", "on_bad_image"):
            values["data"].pop(key, None)  # the checksum says what was read
        if spec.data.resize_px == spec.data.image_size:
            values["data"].pop("resize_px", None)
        science = self._without_places(values) | self._counting(spec, mends)
        canonical = json.dumps([SCIENCE_VERSION, science], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    def _without_places(self, values: dict[str, Any]) -> dict[str, Any]:
        for plugin in values.get("plugins", ()):
            plugin.pop("path")
        if (start := values["model"].get("start_from")) is not None and start.get("digest"):
            start.pop("source")
        return values

    def _counting(self, spec: RunSpec, mends: Sequence[str] | None = None) -> dict[str, Any]:
        """What of `spec`'s execution is science, and the mends that bear on the run."""
        counting: dict[str, Any] = {}
        if spec.execution.micro_batch is not None:
            counting["micro_batch"] = spec.execution.micro_batch
        if spec.recipe.batchnorm == "local" and (spec.execution.processes or 1) > 1:
            counting["processes"] = spec.execution.processes
        if changed := revisions(self) if mends is None else sorted(mends):
            counting["revisions"] = changed
        return counting

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
