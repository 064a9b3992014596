"""Rank and nuclear norm of a network's features, layer by layer, on real images.

A layer (`layers`) is a convolution or linear map with the norm and the non-linearity that are called straight
after it on its output alone: the f(WX) of the random study. Its features over images and positions are a matrix
F (d_out, N); of the positions of all images, a seeded random sample of about `COLUMNS` is measured.

Features are float32, so F's Gram matrix is summed in float64 and its eigenvalues are taken; singular values below
`tolerance` (1e-3 of the largest) are not counted. F is not centred, as in arXiv 2007.00992. The nuclear norm is that of
F / sqrt(N), so that it does not grow with the number of images.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn

from levelfield import randomness
from levelfield.analysis.feature_ranks.layers import Layer, calls, find_layers
from levelfield.analysis.feature_ranks.rank_measures import (
    effective_rank,
    nuclear_norm,
    numerical_rank,
    singular_values_from_gram,
)
from levelfield.module_mode import evaluation_mode

TOLERANCE: Final = 1e-3
COLUMNS: Final = 8192
"""Positions measured per layer, all of them where there are fewer."""


@dataclass(frozen=True)
class LayerRank:
    """One layer's features.

    `positions_per_image`: h · w or tokens; `positions`: columns N measured; `input_rank`: rank of what
    enters (d_in rows).
    """

    name: str
    kind: str
    d_in: int
    d_out: int
    positions_per_image: int
    positions: int
    input_rank: int
    rank: int
    nuclear_norm: float
    effective_rank: float

    @property
    def ratio(self) -> float:
        """d_in / d_out."""
        return self.d_in / self.d_out

    @property
    def share(self) -> float:
        """rank / d_out."""
        return self.rank / self.d_out

    @property
    def lost(self) -> int:
        """Directions that came in, would have had room, and do not come out."""
        return max(0, min(self.input_rank, self.d_out) - self.rank)

    @property
    def judged(self) -> bool:
        """Whether this is a feature map, and measured at positions enough for the rank to be its own, not the sample's.

        Squeeze-excite and classifiers have a single position an image.
        """
        return self.positions_per_image > 1 and self.positions >= 2 * max(self.d_in, self.d_out)


@dataclass
class _Moments:
    """The running Gram matrix of one feature matrix, over `columns` positions."""

    gram: Tensor | None = None
    columns: int = 0
    per_image: int = 0

    def add(self, matrix: Tensor, per_image: int) -> None:
        gram = matrix @ matrix.mT
        self.gram = gram if self.gram is None else self.gram + gram
        self.columns += matrix.shape[1]
        self.per_image = per_image


class Sample:
    """Which positions are measured: for every batch a random draw without replacement among those of all its images.

    Layers with equally many positions are measured at the same ones.
    """

    def __init__(self, images: int, seed: int) -> None:
        self.images = images
        self.seed = seed
        self.batch = 0
        self.batch_images = 0
        self._drawn: dict[int, Tensor] = {}

    def next_batch(self, images: int) -> None:
        """Draw anew for the next batch, of so many `images`."""
        self.batch += 1
        self.batch_images = images
        self._drawn = {}

    def of(self, positions: int, device: torch.device) -> Tensor:
        """The places measured among `positions` of a batch, int64."""
        if positions not in self._drawn:
            wanted = min(positions, math.ceil(COLUMNS * self.batch_images / self.images))
            shuffled = randomness.permutation(positions, self.seed, "rank/positions", self.batch)
            self._drawn[positions] = shuffled[:wanted].to(device)
        return self._drawn[positions]


def sampled_matrix(features: Tensor, axis: int, sample: Sample) -> Tensor:
    """What goes into or comes out of a layer, channels on `axis`, as a float64 matrix (channels, sampled positions)."""
    features = features.movedim(axis, -1)
    shape = features.shape[:-1]
    places = torch.unravel_index(sample.of(math.prod(shape), features.device), shape)
    return features[places].T.to(torch.float64)


def measure_network(
    model: nn.Module,
    batches: Callable[[], Iterator[Tensor]],
    images: int,
    tolerance: float = TOLERANCE,
    advance: Callable[[int], None] = lambda images: None,
    seed: int = 0,
) -> list[LayerRank]:
    """Measure every layer of `model` in evaluation mode.

    `batches()` yields normalised float32 images (B, 3, H, W) on the model's device, `images` in all; `advance` is
    called with the images done; `seed` draws the positions. Every layer is measured; `LayerRank.judged` says which
    ranks mean something.
    """
    with evaluation_mode(model):
        found = find_layers(model, next(batches())[:1])
    measured = {layer.name: (_Moments(), _Moments()) for layer in found}
    starts = {number: layer for layer in found for number in layer.starts}
    ends = {number: (layer, axis) for layer in found for number, axis in layer.ends.items()}
    sample = Sample(images, seed)

    def add(moments: _Moments, features: Tensor, axis: int) -> None:
        per_image = features.numel() // features.shape[axis] // sample.batch_images
        moments.add(sampled_matrix(features, axis, sample), per_image)

    def called(number: int, what: nn.Module | str, inputs: tuple[Any, ...], output: Any) -> None:
        if number in starts:
            layer = starts[number]
            assert what is layer.module
            add(measured[layer.name][0], inputs[0], 1 if isinstance(what, nn.Conv2d) else inputs[0].ndim - 1)
        if number in ends:
            layer, axis = ends[number]
            add(measured[layer.name][1], output, axis)

    with evaluation_mode(model), torch.inference_mode():
        for batch in batches():
            sample.next_batch(len(batch))
            with calls(model, called):
                model(batch)
            advance(len(batch))
    return [_result(layer, *measured[layer.name], tolerance) for layer in found]


def _kind(module: nn.Module) -> str:
    if not isinstance(module, nn.Conv2d):
        return "linear"
    size = "x".join(str(side) for side in module.kernel_size)
    if module.groups == 1:
        return size
    return f"{size} depthwise" if module.groups == module.in_channels else f"{size} grouped"


def _result(layer: Layer, incoming: _Moments, outgoing: _Moments, tolerance: float) -> LayerRank:
    assert incoming.gram is not None and outgoing.gram is not None
    values = singular_values_from_gram(outgoing.gram / outgoing.columns)
    return LayerRank(
        name=layer.name,
        kind=_kind(layer.module),
        d_in=len(incoming.gram),
        d_out=len(outgoing.gram),
        positions_per_image=outgoing.per_image,
        positions=outgoing.columns,
        input_rank=int(numerical_rank(singular_values_from_gram(incoming.gram), tolerance)),
        rank=int(numerical_rank(values, tolerance)),
        nuclear_norm=float(nuclear_norm(values)),
        effective_rank=float(effective_rank(values)),
    )


def calibrate_batch_norm(model: nn.Module, images: Tensor) -> None:
    """Set every BatchNorm's running statistics to those of `images` (B, 3, H, W), all other modules in evaluation mode.

    For untrained networks, whose statistics are still 0 and 1 and would let features shrink or grow layer by layer.
    """
    norms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    with evaluation_mode(model, but=norms), torch.no_grad():
        model(images)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
