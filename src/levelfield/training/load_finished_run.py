"""A finished run read back: its model with its weights, its classes, and the preprocessing that belongs to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from PIL import Image
from torch import Tensor, nn

from levelfield.data.augment import build_eval_transform
from levelfield.data.sources.decode import read_image
from levelfield.data.store.resize import Fit
from levelfield.data.store.splits import centre_crop
from levelfield.errors import UserError
from levelfield.runs import RunFolder, place
from levelfield.spec import RunSpec
from levelfield.spec.hub_source import HUB
from levelfield.training.build_model import build_model, load_plugins, own_builder
from levelfield.training.predict_images import BATCH, ImagePredictions, Picture, predict
from levelfield.training.restore_global_settings import host_unchanged
from levelfield.training.result_in_html import result_in_html


@dataclass(frozen=True)
class LoadedRun:
    """A run's model in evaluation mode on the CPU.

    `classes`: names in the order of the logits. `preprocess`: an image (PIL, path or encoded bytes) -> float32
    (1,3,H,W), decoded, fitted and normalised as the run's test images were. `spec`: the resolved configuration.
    `result`: the content of result.json.
    """

    model: nn.Module
    classes: tuple[str, ...]
    preprocess: Callable[[Image.Image | str | Path | bytes], Tensor]
    spec: RunSpec
    result: dict[str, Any]
    folder: RunFolder

    def predict(self, images: Sequence[Picture], *, batch_size: int = BATCH, device: str = "auto") -> ImagePredictions:
        """What the run says of images: paths, encoded bytes, PIL images or uint8 (H, W, 3) arrays.

        Probabilities are calibrated where the run is (`levelfield eval RUN --calibrate`). An ensemble:
        `levelfield.training.predict_images.predict`.
        """
        return predict([self], images, batch_size=batch_size, device=device)

    @property
    def own_data(self) -> bool:
        """Whether it was trained on images that no name stands for."""
        return bool(self.folder.description()["data"].get("own", False))

    def _repr_html_(self) -> str:
        """As of the run that has just been trained."""
        return result_in_html(self.result, self.folder)


def load_run(path: str | Path, factory: Callable[..., nn.Module] | None = None) -> LoadedRun:
    """Read a finished run: a folder, or `hub:OWNER/NAME[@REVISION]` on the Hugging Face Hub.

    `factory` builds the network where the run trained the caller's own module. Raises UserError for a place without a
    finished run and for weights that do not fit the network.
    """
    folder = RunFolder(place(str(path)))
    description = folder.description()
    result = folder.result()
    folder.check_has_weights()
    assert result is not None
    spec = folder.spec()
    if spec.plugins and str(path).startswith(HUB):
        name = Path(spec.plugins[0].path).name
        raise UserError(f"{path} is the run of a plugin, {name}\nnothing that a repository names is ever run as code")
    load_plugins(spec.plugins)
    own = description["reproducible"] != "by name" and "digest" in spec.model.options
    if own and factory is None and own_builder(spec) is None:
        raise UserError(f"{path} trained a module of your own ({spec.model.name})\npass factory=... that builds it")
    with host_unchanged():
        model = build_model(spec.changed({"model.start_from": None}), factory)
    try:
        model.load_state_dict(safetensors.torch.load_file(folder.weights))
    except (OSError, safetensors.SafetensorError) as error:
        raise UserError(f"{folder.weights} cannot be read: {error}\ntrain the run again") from None
    except RuntimeError as error:
        raise UserError(
            f"{folder.weights} does not fit {spec.model.name}: {str(error).splitlines()[-1].strip()}"
        ) from None
    size = spec.model.image_size
    assert size is not None
    transform = build_eval_transform(spec.recipe.augment, size, tuple(description["mean"]), tuple(description["std"]))

    fit = Fit(spec.data.fit, spec.data.resize_px or size, spec.data.interpolation)

    def preprocess(image: Image.Image | str | Path | bytes) -> Tensor:
        pixels = fit.apply(read_image(image))
        image_px = torch.from_numpy(pixels.transpose(2, 0, 1).copy()).unsqueeze(0)
        return transform(centre_crop(image_px, size))

    return LoadedRun(model.eval(), tuple(description["classes"]), preprocess, spec, result, folder)
