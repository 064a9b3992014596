"""Rank and nuclear norm of a network's features, layer by layer, on real images.

A layer here is a convolution or linear map together with what is called straight after it on its output alone (norm,
non-linearity): the f(WX) of the random study. Its features over all images and positions are a matrix F (d_out, N).

Features are float32, so F's Gram matrix is summed in float64 and its eigenvalues are taken; singular values below
`tolerance` (1e-3 of the largest) are not counted. F is not centred, as in arXiv 2007.00992. The nuclear norm is that of
F / sqrt(N), so that it does not grow with the number of images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn

from levelfield.analysis.measures import effective_rank, nuclear_norm, numerical_rank, singular_values_from_gram

TOLERANCE: Final = 1e-3
COLUMNS: Final = 8192
"""Positions measured per layer: more are thinned out evenly."""

_NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm)
_LINEAR = (nn.Conv2d, nn.Linear)


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
class _Layer:
    name: str
    module: nn.Module
    end: nn.Module


@dataclass
class _Moments:
    """The running Gram matrix of one feature matrix, thinned out to about COLUMNS columns over `images` images."""

    images: int
    gram: Tensor | None = None
    columns: int = 0
    per_image: int = 0

    def add(self, matrix: Tensor, batch: int) -> None:
        self.per_image = matrix.shape[1] // batch
        matrix = matrix[:, :: max(1, self.per_image * self.images // COLUMNS)]
        gram = matrix @ matrix.mT
        self.gram = gram if self.gram is None else self.gram + gram
        self.columns += matrix.shape[1]


@dataclass
class _Measured:
    incoming: _Moments
    outgoing: _Moments


def as_matrix(features: Tensor, module: nn.Module) -> Tensor:
    """What goes into or comes out of `module` as a float64 matrix (channels, positions).

    A convolution has its channels on axis 1, (B, C, h, w); a linear map on the last, (B, ..., C).
    """
    if isinstance(module, nn.Conv2d):
        features = features.movedim(1, -1)
    return features.reshape(-1, features.shape[-1]).T.to(torch.float64)


def layers(model: nn.Module, example: Tensor) -> list[_Layer]:
    """The layers of `model`, as called on `example` (1, 3, H, W), each with the module that ends it."""
    found: dict[nn.Module, _Layer] = {}
    # By the output's id: the tensor (kept so that no id is used twice), its version (in-place changes count it up),
    # and the layer that it is so far the end of.
    tails: dict[int, tuple[Tensor, int, _Layer]] = {}
    names = {module: name for name, module in model.named_modules()}

    def calling(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        tail = tails.get(id(inputs[0])) if inputs else None
        if tail is not None and tail[0]._version != tail[1]:  # a sum was taken in place: no longer this layer alone
            del tails[id(inputs[0])]

    def called(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if not isinstance(output, Tensor) or not inputs or not isinstance(inputs[0], Tensor):
            return
        if isinstance(module, _LINEAR):
            layer = found.setdefault(module, _Layer(names[module], module, module))
        elif id(inputs[0]) in tails and output.shape == inputs[0].shape:
            layer = tails.pop(id(inputs[0]))[2]
            layer.end = module
        else:
            return
        tails[id(output)] = (output, output._version, layer)

    inside_norms = {inner for module in names if isinstance(module, _NORMS) for inner in module.children()}
    watched = [
        module
        for module in names
        if isinstance(module, (*_LINEAR, *_NORMS)) or (not any(module.children()) and module not in inside_norms)
    ]
    before = [module.register_forward_pre_hook(calling) for module in watched]
    with _hooked([(module, called) for module in watched]), torch.no_grad():
        model(example)
    for handle in before:
        handle.remove()
    return list(found.values())


@contextmanager
def _hooked(hooks: list[tuple[nn.Module, Callable[..., None]]]) -> Iterator[None]:
    handles = [module.register_forward_hook(hook) for module, hook in hooks]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def measure_network(
    model: nn.Module,
    batches: Callable[[], Iterator[Tensor]],
    images: int,
    tolerance: float = TOLERANCE,
    advance: Callable[[int], None] = lambda images: None,
) -> list[LayerRank]:
    """Measure every layer of `model` in evaluation mode.

    `batches()` yields normalised float32 images (B, 3, H, W) on the model's device, `images` in all; `advance` is
    called with the images done. Every layer is measured; `LayerRank.judged` says which ranks mean something.
    """
    model.eval()
    first = next(batches())
    found = layers(model, first[:1])
    measured = {layer.name: _Measured(_Moments(images), _Moments(images)) for layer in found}
    hooks: list[tuple[nn.Module, Callable[..., None]]] = []
    for layer in found:
        moments, base = measured[layer.name], layer.module

        def enter(
            module: nn.Module,
            inputs: tuple[Tensor, ...],
            output: Tensor,
            moments: _Measured = moments,
            base: nn.Module = base,
        ) -> None:
            moments.incoming.add(as_matrix(inputs[0], base), len(inputs[0]))

        def leave(
            module: nn.Module, inputs: Any, output: Tensor, moments: _Measured = moments, base: nn.Module = base
        ) -> None:
            moments.outgoing.add(as_matrix(output, base), len(output))

        hooks += [(layer.module, enter), (layer.end, leave)]
    with _hooked(hooks), torch.inference_mode():
        for batch in batches():
            model(batch)
            advance(len(batch))
    return [_result(layer, measured[layer.name], tolerance) for layer in found]


def _widths(module: nn.Module) -> tuple[int, int]:
    if isinstance(module, nn.Conv2d):
        return module.in_channels, module.out_channels
    assert isinstance(module, nn.Linear)
    return module.in_features, module.out_features


def _kind(module: nn.Module) -> str:
    if not isinstance(module, nn.Conv2d):
        return "linear"
    size = "x".join(str(side) for side in module.kernel_size)
    if module.groups == 1:
        return size
    return f"{size} depthwise" if module.groups == module.in_channels else f"{size} grouped"


def _result(layer: _Layer, measured: _Measured, tolerance: float) -> LayerRank:
    incoming, outgoing = measured.incoming, measured.outgoing
    assert incoming.gram is not None and outgoing.gram is not None
    values = singular_values_from_gram(outgoing.gram / outgoing.columns)
    d_in, d_out = _widths(layer.module)
    return LayerRank(
        name=layer.name,
        kind=_kind(layer.module),
        d_in=d_in,
        d_out=d_out,
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
    model.eval()
    norms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    with torch.no_grad():
        model(images)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.eval()
