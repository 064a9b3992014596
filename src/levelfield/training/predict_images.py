"""Predictions of finished runs on images of one's own, decoded, fitted and normalised as the runs' test images were."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from levelfield.data import build_eval_transform
from levelfield.data.augment import EvalTransform
from levelfield.data.sources.decode import BadImageError, decode
from levelfield.data.sources.readers.contract import Pixels
from levelfield.data.store.over_cores import in_threads
from levelfield.data.store.resize import Fit
from levelfield.data.store.splits import centre_crop
from levelfield.data.to_device import to_device
from levelfield.errors import UserError
from levelfield.models.deploy import Account, DeployedNetwork, deployed
from levelfield.progress import OnProgress
from levelfield.training.device import choose_device, current_device
from levelfield.training.network_on_device import FinishedRun, network_on

Picture = str | Path | bytes | Image.Image | NDArray[np.uint8]
"""A path, the bytes of a file, a PIL image, or RGB pixels (H, W, 3)."""
_ONE: Final = (str, Path, bytes, Image.Image)
"""The kinds of them that are one image wherever they stand."""

BATCH: Final = 64


@dataclass(frozen=True)
class ImagePredictions:
    """What runs say of images: `probabilities` float64 (N, C) of the N that could be read, `names` (N) their names.

    `bad`: (name, reason) of those that could not. `temperatures`: what the logits of each run were divided by.
    `deployed`: what became of each run's network where the deployed form predicted.
    """

    classes: tuple[str, ...]
    names: tuple[str, ...]
    probabilities: NDArray[np.float64]
    bad: tuple[tuple[str, str], ...] = ()
    temperatures: tuple[float, ...] = field(default=(1.0,))
    deployed: tuple[Account, ...] = ()

    def top(self, count: int = 5) -> list[list[tuple[str, float]]]:
        """Of each image the `count` likeliest classes and their probabilities, likeliest first; of equals the first.

        Raises UserError for a count below 1.
        """
        if count < 1:
            raise UserError(f"the {count} likeliest classes of an image are none\ngive 1 or more")
        order = np.argsort(-self.probabilities, axis=1, kind="stable")[:, :count]
        return [
            [(self.classes[place], float(row[place])) for place in places]
            for row, places in zip(self.probabilities, order, strict=True)
        ]


def predict(
    runs: Sequence[FinishedRun],
    images: Sequence[Picture],
    *,
    names: Sequence[str] | None = None,
    batch_size: int = BATCH,
    device: str = "auto",
    temperatures: Sequence[float] | None = None,
    progress: OnProgress | None = None,
    deploy: bool = False,
) -> ImagePredictions:
    """Class probabilities of `images`, of several runs their mean (an ensemble).

    Every run sees an image through its own size, fit and normalisation, in its own precision, and its logits are
    divided by its temperature: `temperatures`, else that of its folder's calibration, else 1. With `deploy` its network
    predicts in the form that does nothing else, made with the first batch. Images that cannot be read are named in
    `bad`, and the others go on.
    Raises UserError for runs of other classes, or of the same in another order, for one image in place of several, and
    for names or temperatures that are not as many as what they belong to.
    """
    classes = _classes_of_all(runs)
    _check_many(images, names, runs, temperatures, batch_size)
    given = names if names is not None else [_name(image, row) for row, image in enumerate(images)]
    temperatures = tuple(map(_calibrated, runs) if temperatures is None else temperatures)
    target = choose_device(device)
    with current_device(target):
        pairs = zip(runs, temperatures, strict=True)
        seers = [_Seer(run, target, temperature, deploy) for run, temperature in pairs]
        read, bad, parts = list[str](), list[tuple[str, str]](), [np.zeros((0, len(classes)))]
        waiting: list[list[Tensor]] = []

        def see(least: int) -> None:
            """Predict what waits, in batches, as long as `least` or more images do."""
            while len(waiting) >= least and waiting:
                some, waiting[:batch_size] = waiting[:batch_size], []
                parts.append(np.mean([seer.see([views[n] for views in some]) for n, seer in enumerate(seers)], axis=0))

        def views(rows: range) -> list[list[Tensor] | str]:
            return [_views(images[row], seers) for row in rows]

        for rows, some in in_threads(len(images), views):
            for row, one in zip(rows, some, strict=True):
                if isinstance(one, str):
                    bad.append((given[row], one))
                else:
                    read.append(given[row])
                    waiting.append(one)
            see(batch_size)
            if progress is not None:
                progress("predicting", rows.stop, len(images))
        see(1)
    forms = tuple(seer.form.account for seer in seers if seer.form is not None)
    return ImagePredictions(classes, tuple(read), np.concatenate(parts), tuple(bad), temperatures, forms)


class _Seer:
    """A run's network on a device, and how it takes an image."""

    def __init__(self, run: FinishedRun, target: torch.device, temperature: float, deploy: bool) -> None:
        spec, size = run.spec, run.spec.model.image_size
        assert size is not None
        self.target, self.temperature, self.size_px = target, temperature, size
        self.network: nn.Module
        self.network, self.dtype, form = network_on(run, target)
        self.deploy = deploy
        self.form: DeployedNetwork | None = None
        described = run.folder.description()
        self.transform: EvalTransform = build_eval_transform(
            spec.recipe.augment, size, described["mean"], described["std"], memory_format=form
        )
        self.fit = Fit(spec.data.fit, spec.data.resize_px or size, spec.data.interpolation)

    def view(self, pixels: Pixels) -> Tensor:
        """uint8 (1, 3, size, size) of RGB pixels (H, W, 3)."""
        fitted = torch.from_numpy(self.fit.apply(pixels).transpose(2, 0, 1).copy()).unsqueeze(0)
        return centre_crop(fitted, self.size_px)

    @torch.inference_mode()
    def see(self, views: list[Tensor]) -> NDArray[np.float64]:
        """Probabilities (n, C) of some views."""
        images = to_device(self.transform(torch.cat(views)), self.target)
        if self.deploy and self.form is None:
            self.form = deployed(self.network, images, self.dtype)
        with torch.autocast(self.target.type, self.dtype, enabled=self.dtype != torch.float32):
            logits = (self.form or self.network)(images).float()
        probabilities: NDArray[np.float64] = (logits / self.temperature).softmax(1).cpu().numpy().astype(np.float64)
        return probabilities


def _views(image: Any, seers: Sequence[_Seer]) -> list[Tensor] | str:
    """The image as each run takes it, or why it cannot be read."""
    if isinstance(image, np.ndarray) and (
        image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size
    ):
        return f"{image.dtype} {image.shape} is no image; give uint8 (H, W, 3)"
    if not isinstance(image, (*_ONE, np.ndarray)):
        return f"a {type(image).__name__} is no image; give a path, a file's bytes, a PIL image or uint8 (H, W, 3)"
    try:
        pixels = decode(Path(image) if isinstance(image, str) else image)[0]
    except BadImageError as error:
        return str(error)
    except OSError as error:
        return error.strerror or str(error)
    return [seer.view(pixels) for seer in seers]


def _check_many(
    images: Any, names: Sequence[str] | None, runs: Sequence[FinishedRun],
    temperatures: Sequence[float] | None, batch_size: int,
) -> None:  # fmt: skip
    """Raise UserError for one image given as if it were several, and for counts that do not fit."""
    one = isinstance(images, _ONE) or (isinstance(images, np.ndarray) and images.ndim == 3)
    if one or not hasattr(images, "__len__"):
        what = "one image" if one else type(images).__name__
        raise UserError(f"predict takes a list of images, and this is {what}\ngive a list, as [image]")
    if batch_size < 1:
        raise UserError(f"a batch of {batch_size} images is none\ngive 1 or more")
    for what, given, of in (("names", names, images), ("temperatures", temperatures, runs)):
        if given is not None and len(given) != len(of):
            raise UserError(f"{len(given)} {what} are given for {len(of)} of them\ngive one for each, or none at all")
    if wrong := [each for each in temperatures or () if not 0 < each < float("inf")]:
        raise UserError(f"temperature {wrong[0]:g} is no divisor of logits\ngive numbers above 0")


def _calibrated(run: FinishedRun) -> float:
    """The temperature of a run's calibration; 1 where it has none."""
    calibration = run.folder.calibration()
    return 1.0 if calibration is None else float(calibration["temperature"])


def _name(image: Picture, row: int) -> str:
    return str(image) if isinstance(image, (str, Path)) else f"#{row}"


def _classes_of_all(runs: Sequence[FinishedRun]) -> tuple[str, ...]:
    if not runs:
        raise UserError("no run to predict with; give the folder of a finished run")
    first = runs[0]
    for run in runs[1:]:
        if run.classes != first.classes:
            raise UserError(
                f"{run.folder.path} knows other classes than {first.folder.path}, or in another order\n"
                "an ensemble is of runs on the same data"
            )
    return first.classes
