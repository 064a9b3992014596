"""Random one-layer networks and inverted bottlenecks, whose features' rank the study measures (arXiv 2007.00992).

A network maps a random map X of d_in channels and side S to features of d_out channels, read as a matrix (d_out, S·S):

    1x1        f(norm(W x))                                        W (d_out, d_in)
    3x3        f(norm(W * x))                                      W (d_out, d_in, 3, 3), zero padding
    ib_3x3     norm(W3 f(norm(W2 * f(norm(W1 x)))))                W1 (e·d_in, d_in), W2 3x3 dense, W3 (d_out, e·d_in)
    ib_3x3dw   the same with W2 a 3x3 depthwise convolution

`*` is a real convolution over the map: its patches overlap, its border is padded with zeros. Everything is float64.
What the paper leaves open is a field of `Setting`, and docs/rank-study.md says why each default was taken.

The random numbers of network i are a function of (seed, kind, ratio, i) alone, so that neither the number of networks,
nor batching, nor the order of points, nor the other settings can change them; the eight non-linearities of a point are
measured on the same networks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Annotated, Final, Literal, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator
from torch import Generator, Tensor

from levelfield import randomness
from levelfield.analysis.feature_ranks.rank_measures import default_tolerance
from levelfield.spec.values import Value

KINDS: Final = {
    "1x1": "one 1x1 convolution",
    "3x3": "one 3x3 convolution",
    "ib_3x3": "inverted bottleneck, 3x3 convolution",
    "ib_3x3dw": "inverted bottleneck, 3x3 depthwise convolution",
}
NONLINEARITIES: Final[dict[str, Callable[[Tensor], Tensor]]] = {
    "linear": lambda x: x,
    "ReLU": F.relu,
    "ReLU6": F.relu6,
    "LeakyReLU": F.leaky_relu,
    "ELU": F.elu,
    "SoftPlus": F.softplus,
    "hard swish": F.hardswish,
    "SiLU": F.silu,
}


class Setting(Value):
    """What the paper's notes do not state.

    `d_out_min`, `d_out_max`: d_out is uniform on the integers between, d_in = max(1, round(ratio · d_out)).
    `map_side`: S in px; a feature matrix has N = S·S columns. `inputs`: N(0, 1) or U[0, 1). `weights`: N(0, 2/fan_in)
    (He), U(±1/sqrt(fan_in)) (torch's own), or N(0, 1) unscaled. `normalisation`: by the map's own mean and variance
    per channel (BatchNorm when training), `batch_norm_eps` being added to the variance, or none (a fresh BatchNorm in
    evaluation mode). `tolerance`: relative to the largest singular value; None: max(d_out, N) x float64's epsilon.
    `expansion`: e of the inverted bottlenecks.
    `final_activation`: whether a non-linearity follows the last convolution of an inverted bottleneck.
    """

    d_out_min: PositiveInt = 8
    d_out_max: PositiveInt = 64
    map_side: PositiveInt = 16
    inputs: Literal["normal", "uniform"] = "normal"
    weights: Literal["he_normal", "torch_uniform", "unit_normal"] = "he_normal"
    normalisation: Literal["batch", "none"] = "batch"
    batch_norm_eps: NonNegativeFloat = 1e-5
    tolerance: Annotated[float, Field(gt=0.0, lt=1.0)] | None = None
    expansion: PositiveFloat = 6.0
    final_activation: bool = False

    @property
    def relative_tolerance(self) -> float:
        """The share of the largest singular value up to which one counts as zero."""
        return self.tolerance or default_tolerance(self.d_out_max, self.map_side**2)

    @model_validator(mode="after")
    def _sizes(self) -> Setting:
        if self.d_out_min > self.d_out_max:
            raise ValueError(f"d_out_min {self.d_out_min} is above d_out_max {self.d_out_max}")
        if self.d_out_max >= self.map_side**2:
            raise ValueError(
                f"N = map_side² = {self.map_side**2} must be above d_out_max = {self.d_out_max}; raise map_side"
            )
        return self


class Networks(NamedTuple):
    """A batch of G random networks of equal sizes: input (G, d_in, N) and weights by layer, float64."""

    kind: str
    inputs: Tensor
    weights: tuple[Tensor, ...]


def sizes(setting: Setting, seed: int, networks: int) -> Tensor:
    """d_out of networks 0 .. networks - 1, int64 (networks,); the same for every kind, ratio and non-linearity."""
    index = torch.arange(networks, dtype=torch.int64)
    span = setting.d_out_max - setting.d_out_min + 1
    return setting.d_out_min + randomness.integers(seed, "rank/d_out", 0, index, span)[:, 0]


def input_width(ratio: float, d_out: int) -> int:
    """d_in for a nominal `ratio` d_in / d_out: rounded, at least one channel."""
    return max(1, round(ratio * d_out))


def draw(kind: str, setting: Setting, seed: int, ratio: float, d_out: int, index: list[int]) -> Networks:
    """The networks with numbers `index`, all of width `d_out`, stacked."""
    drawn = [_draw_one(kind, setting, seed, ratio, d_out, i) for i in index]
    inputs = torch.stack([one[0] for one in drawn])
    weights = tuple(torch.stack(layer) for layer in zip(*(one[1] for one in drawn), strict=True))
    return Networks(kind, inputs, weights)


def _draw_one(
    kind: str, setting: Setting, seed: int, ratio: float, d_out: int, index: int
) -> tuple[Tensor, list[Tensor]]:
    key = randomness.key(seed, f"rank/{kind}/{ratio:.4f}", index)
    generator = Generator().manual_seed(key & 0x7FFFFFFFFFFFFFFF)
    d_in = input_width(ratio, d_out)
    hidden = max(1, round(setting.expansion * d_in))
    shapes = {
        "1x1": [(d_out, d_in)],
        "3x3": [(d_out, 9 * d_in)],
        "ib_3x3": [(hidden, d_in), (hidden, 9 * hidden), (d_out, hidden)],
        "ib_3x3dw": [(hidden, d_in), (hidden, 9), (d_out, hidden)],
    }[kind]
    shape = (d_in, setting.map_side**2)
    sample = torch.randn if setting.inputs == "normal" else torch.rand
    x: Tensor = sample(shape, dtype=torch.float64, generator=generator)
    return x, [_weight(setting, generator, rows, fan_in) for rows, fan_in in shapes]


def _weight(setting: Setting, generator: Generator, rows: int, fan_in: int) -> Tensor:
    if setting.weights == "torch_uniform":
        uniform: Tensor = torch.rand(rows, fan_in, dtype=torch.float64, generator=generator)
        return (2.0 * uniform - 1.0) / math.sqrt(fan_in)
    normal: Tensor = torch.randn(rows, fan_in, dtype=torch.float64, generator=generator)
    return normal * (math.sqrt(2.0 / fan_in) if setting.weights == "he_normal" else 1.0)


def features(networks: Networks, setting: Setting, nonlinearities: list[str]) -> Iterator[tuple[str, Tensor]]:
    """For each non-linearity its name and the networks' feature matrices, float64 (G, d_out, N)."""
    kind, x, weights = networks
    if kind in ("1x1", "3x3"):
        before = _normalise(weights[0] @ (x if kind == "1x1" else patches(x)), setting)
        for name in nonlinearities:
            yield name, NONLINEARITIES[name](before)
        return
    expand, spatial, project = weights
    expanded = _normalise(expand @ x, setting)
    for name in nonlinearities:
        f = NONLINEARITIES[name]
        hidden = f(expanded)
        hidden = spatial @ patches(hidden) if kind == "ib_3x3" else depthwise(hidden, spatial)
        out = _normalise(project @ f(_normalise(hidden, setting)), setting)
        yield name, f(out) if setting.final_activation else out


def _normalise(x: Tensor, setting: Setting) -> Tensor:
    if setting.normalisation == "none":
        return x
    variance, mean = torch.var_mean(x, dim=-1, correction=0, keepdim=True)
    return (x - mean) * torch.rsqrt(variance + setting.batch_norm_eps)


def patches(x: Tensor) -> Tensor:
    """The 3x3 patches of square maps `x` (G, C, S·S), zero padded, as (G, 9·C, S·S): channel-major, then row-major."""
    groups, channels, positions = x.shape
    side = round(positions**0.5)
    unfolded: Tensor = F.unfold(x.view(groups, channels, side, side), 3, padding=1)
    return unfolded


def depthwise(x: Tensor, weight: Tensor) -> Tensor:
    """3x3 depthwise convolution of square maps `x` (G, C, S·S) with `weight` (G, C, 9), zero padding."""
    groups, channels, positions = x.shape
    side = round(positions**0.5)
    padded = F.pad(x.view(groups, channels, side, side), (1, 1, 1, 1))
    out = torch.zeros(groups, channels, side, side, dtype=x.dtype)
    for offset in range(9):
        row, column = divmod(offset, 3)
        tap = weight[:, :, offset, None, None]
        out.addcmul_(padded[:, :, row : row + side, column : column + side], tap)
    return out.view(groups, channels, positions)
