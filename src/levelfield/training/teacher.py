"""The teacher of a distilled run: a finished run's network, frozen, that says what it makes of the student's images."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from levelfield.cost import count_macs
from levelfield.data import ImageData
from levelfield.data.augment import build_eval_transform
from levelfield.errors import UserError
from levelfield.models import weights_digest
from levelfield.module_mode import only_evaluated
from levelfield.runs import RunFolder
from levelfield.spec import RunSpec
from levelfield.training.build_model import load_plugins, own_builder
from levelfield.training.load_finished_run import load_run

KEY = "recipe.distil.teacher"


class Teacher(nn.Module):
    """A trained network in evaluation mode whose weights are fixed.

    It takes images as a student sees them, float32 (B,3,H,W), augmented, mixed and normalised for the student: they are
    normalised as its own were, and resized to `image_size`, the side of its own input in px, where theirs is another
    (bilinear, antialiased). `mean`, `std`: the student's normalisation; `own_mean`, `own_std`: its own; of full scale.
    """

    scale: Tensor
    shift: Tensor

    def __init__(
        self, network: nn.Module, image_size: int,
        mean: tuple[float, ...], std: tuple[float, ...], own_mean: tuple[float, ...], own_std: tuple[float, ...],
    ) -> None:  # fmt: skip
        super().__init__()
        self.network, self.image_size = network, image_size
        self.alike = (mean, std) == (own_mean, own_std)
        centres, deviations, own_centres, own_deviations = (
            torch.tensor(each, dtype=torch.float64).view(1, -1, 1, 1) for each in (mean, std, own_mean, own_std)
        )
        self.register_buffer("scale", (deviations / own_deviations).float())
        self.register_buffer("shift", ((centres - own_centres) / own_deviations).float())
        only_evaluated(self)

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, classes) of images (B,3,H,W)."""
        if not self.alike:
            x = x * self.scale + self.shift
        if x.shape[-1] != self.image_size:
            x = F.interpolate(x, (self.image_size, self.image_size), mode="bilinear", antialias=True)
        logits: Tensor = self.network(x)
        return logits

    @property
    def macs(self) -> int:
        """Multiply-accumulates of a forward pass of one image."""
        return count_macs(self.network, self.image_size).total


def with_teacher(spec: RunSpec, data: ImageData) -> RunSpec:
    """`spec` with its teacher's identity and the digest of that run's weights filled in, where it has a teacher.

    Raises UserError for a teacher that is no finished run, has other classes than `data`, cannot be built by name, or
    is another one than the run was made with.
    """
    if (distil := spec.recipe.distil) is None:
        return spec
    folder = RunFolder(Path(distil.teacher).expanduser())
    folder.check_has_weights(KEY)
    classes = folder.description()["classes"]
    if classes != list(data.classes):
        raise UserError(
            f"{KEY}: {distil.teacher} tells {len(classes)} classes apart ({_named(classes)}), and {data.name} has "
            f"{len(data.classes)} ({_named(data.classes)}): they must be the same in the same order\n"
            "give a teacher that was trained on these classes"
        )
    taught = folder.spec()
    load_plugins(taught.plugins)
    if "digest" in taught.model.options and own_builder(taught) is None:
        raise UserError(
            f"{KEY}: {distil.teacher} trained a module of your own ({taught.model.name}), which no name builds\n"
            "register it in a plugin, and train the teacher by its name"
        )
    found = {"teacher_identity": folder.identity, "teacher_digest": weights_digest(distil.teacher)}
    for key, value in found.items():
        if getattr(distil, key) not in (None, value):
            raise UserError(
                f"{KEY}: {distil.teacher} is another teacher than the run was made with ({key} {value[:12]})\n"
                f"give the one it was made with, or leave recipe.distil.{key} out for another run"
            )
    return spec.changed({f"recipe.distil.{key}": value for key, value in found.items()})


def load_teacher(spec: RunSpec, data: ImageData) -> Teacher | None:
    """The teacher of a resolved run on `data`, on the CPU; None where it has none."""
    if spec.recipe.distil is None:
        return None
    run = load_run(Path(spec.recipe.distil.teacher).expanduser())
    size, own_size = spec.model.image_size, run.spec.model.image_size
    assert size is not None and own_size is not None
    described = run.folder.description()
    seen = build_eval_transform(spec.recipe.augment, size, data.mean, data.std).normalize
    own = build_eval_transform(run.spec.recipe.augment, own_size, described["mean"], described["std"]).normalize
    return Teacher(run.model, own_size, seen.mean, seen.std, own.mean, own.std)


def _named(classes: list[str] | tuple[str, ...]) -> str:
    return ", ".join(classes[:2]) + (", ..." if len(classes) > 2 else "")
