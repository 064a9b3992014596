"""A finished run's network with all that belongs to it, as one program: uint8 images to probabilities and logits."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from enum import StrEnum

import torch
from torch import Tensor, nn

from levelfield.data.augment.normalize import Normalize
from levelfield.data.store.resize import Fit
from levelfield.errors import UserError
from levelfield.exports.pillow_in_graph import PillowInGraph
from levelfield.training.fake_quantisation import marked_for_onnx
from levelfield.training.load_finished_run import LoadedRun


class Layout(StrEnum):
    """The order of the axes of images: (B, H, W, 3), as decoders give them, or (B, 3, H, W)."""

    NHWC = "nhwc"
    NCHW = "nchw"


class ImageProgram(nn.Module):
    """uint8 RGB images of any one size to probabilities (B, C) and logits (B, C), float32.

    Fit, centre crop and normalisation are those of the run's test. Logits are divided by `temperature` before the
    softmax; those that are given back are the network's own.
    """

    scale: Tensor
    shift: Tensor

    def __init__(
        self, network: nn.Module, fit: Fit, size_px: int, normalize: Normalize, temperature: float, layout: Layout,
        branches: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        self.network = network
        self.resize = PillowInGraph(fit, size_px, branches)
        self.register_buffer("scale", _per_channel([1 / (255 * each) for each in normalize.std]))
        self.register_buffer(
            "shift", _per_channel([-m / s for m, s in zip(normalize.mean, normalize.std, strict=True)])
        )
        self.temperature, self.layout = temperature, layout

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        planes = images.permute(0, 3, 1, 2) if self.layout is Layout.NHWC else images
        logits = self.network(self.resize(planes).to(torch.float32) * self.scale + self.shift)
        return (logits / self.temperature).softmax(1), logits


def program_of(run: LoadedRun, layout: Layout, branches: bool) -> ImageProgram:
    """The program of a finished run, in float32, with the temperature of its calibration where it has one."""
    spec, size, described = run.spec, run.spec.model.image_size, run.folder.description()
    assert size is not None
    fit = Fit(spec.data.fit, spec.data.resize_px or size, spec.data.interpolation)
    normalize = Normalize(spec.recipe.augment.normalize, described["mean"], described["std"], torch.contiguous_format)
    calibration = run.folder.calibration()
    temperature = 1.0 if calibration is None else float(calibration["temperature"])
    network = copy.deepcopy(marked_for_onnx(run.model)).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return ImageProgram(network, fit, size, normalize, temperature, layout, branches)


def traced(program: ImageProgram, side_px: int) -> torch.export.ExportedProgram:
    """The program as torch.export holds it, for any number of images of any size.

    Raises UserError for a network that cannot be traced so.
    """
    height, width = side_px + 3, side_px + 5
    shape = (2, height, width, 3) if program.layout is Layout.NHWC else (2, 3, height, width)
    any_size = torch.export.Dim.DYNAMIC
    sizes = {axis: any_size for axis, length in enumerate(shape) if length != 3}
    try:
        with torch.no_grad():
            return torch.export.export(
                program, (torch.zeros(shape, dtype=torch.uint8),), dynamic_shapes=({**sizes},), strict=False
            )
    except Exception as error:  # whatever a stranger's network does that cannot be traced
        said = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(
            f"{type(program.network).__name__} cannot be traced for other runtimes: {said[0][:300]}\n"
            "levelfield predict uses the run as it is"
        ) from error


def _per_channel(values: Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64).to(torch.float32).view(1, -1, 1, 1)
