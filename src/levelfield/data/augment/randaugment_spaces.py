"""Which operations an automatic augmentation chooses from, and how strong each is at a level.

RandAugment (Cubuk et al., arXiv 1909.13719) in the three forms that published results used, and TrivialAugment-Wide
(Mueller and Hutter, arXiv 2103.10158).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import torch
from torch import Tensor

from levelfield.data.augment.operations import Argument, Entry, Space

BINS: Final = 31
"""Levels of torchvision's forms: 0..30."""

_Arguments = Callable[[Argument], Tensor]


def _bins(first: float, last: float) -> Tensor:
    """torchvision's magnitudes, float64 (31,): the float32 steps of `torch.linspace`, counted from the nearer end.

    Each product and each sum is rounded by itself; `torch.linspace` rounds them together where the processor can.
    """
    low, high = np.float32(first), np.float32(last)
    step = (high - low) / np.float32(BINS - 1)
    number = np.arange(BINS, dtype=np.float32)
    upwards, downwards = low + number * step, high - (BINS - 1 - number) * step
    return torch.from_numpy(np.where(number < BINS // 2, upwards, downwards).astype(np.float64))


def _at(table: Tensor, given: Argument) -> Tensor:
    return table[given.level.long()]


def _torchvision(shear: float, shift: _Arguments, shift_y: _Arguments, turn: float, blend: float, bits: int) -> Space:
    """torchvision's fourteen operations (the fourteenth is to leave the image alone) up to the given strengths."""

    def signed(last: float, around: float = 0.0) -> _Arguments:
        table = _bins(0.0, last)
        return lambda given: around + given.sign * _at(table, given)

    kept = (8 - torch.arange(BINS) / ((BINS - 1) / bits)).round().double()
    thresholds = 255.0 * _bins(1.0, 0.0)
    return Space(
        [
            Entry("Brightness", signed(blend, 1.0)),
            Entry("Contrast", signed(blend, 1.0)),
            Entry("Posterize", lambda given: _at(kept, given)),
            Entry("Solarize", lambda given: _at(thresholds, given)),
            Entry("AutoContrast"),
            Entry("Equalize"),
            Entry("ShearX", signed(shear)),
            Entry("TranslateX", shift),
            Entry("ShearY", signed(shear)),
            Entry("TranslateY", shift_y),
            Entry("Rotate", signed(turn)),
            Entry("Color", signed(blend, 1.0)),
            Entry("Sharpness", signed(blend, 1.0)),
            Entry("Identity"),
        ],
        bins=BINS,
    )


def torchvision_space() -> Space:
    """torchvision's RandAugment: levels 0..30, nearest interpolation, black outside."""

    def shift(extent: Callable[[Argument], int]) -> _Arguments:
        return lambda given: (given.sign * _at(_bins(0.0, 150.0 / 331.0 * extent(given)), given)).trunc()

    return _torchvision(0.3, shift(lambda given: given.width), shift(lambda given: given.height), 30.0, 0.9, 4)


def trivial_space() -> Space:
    """TrivialAugment-Wide as torchvision has it: the same operations, up to greater strengths; shifts up to 32 px."""
    table = _bins(0.0, 32.0)

    def shift(given: Argument) -> Tensor:
        return (given.sign * _at(table, given)).trunc()

    return _torchvision(0.99, shift, shift, 135.0, 0.99, 6)


def _signed(levels: int, last: float) -> _Arguments:
    """A strength that grows with the level to `last` at `levels`, and may point either way."""
    return lambda given: given.sign * given.level / levels * last


def timm_space(increasing: bool, fill: tuple[int, int, int]) -> Space:
    """timm's fifteen operations: levels 0..10, bilinear or bicubic interpolation, the data's mean colour outside.

    `increasing`: the strength of posterise, solarise, colour, contrast, brightness and sharpness grows with the level.
    """

    def enhance(given: Argument) -> Tensor:
        if increasing:
            return (1 + given.sign * given.level / 10 * 0.9).clamp(min=0.1)
        return given.level / 10 * 1.8 + 0.1

    def bits(given: Argument) -> Tensor:
        kept = (given.level / 10 * 4).floor()
        return 4 - kept if increasing else kept

    def threshold(given: Argument) -> Tensor:
        level = (given.level / 10 * 256).floor().clamp(max=256)
        return 256 - level if increasing else level

    return Space(
        [
            Entry("AutoContrast"),
            Entry("Equalize"),
            Entry("Invert"),
            Entry("Rotate", _signed(10, 30)),
            Entry("Posterize", bits),
            Entry("Solarize", threshold),
            Entry("SolarizeAdd", lambda given: (given.level / 10 * 110).floor().clamp(max=128)),
            *(Entry(name, enhance) for name in ("Color", "Contrast", "Brightness", "Sharpness")),
            Entry("ShearX", _signed(10, 0.3)),
            Entry("ShearY", _signed(10, 0.3)),
            Entry("TranslateX", lambda given: -given.sign * given.level / 10 * 0.45 * given.width),
            Entry("TranslateY", lambda given: -given.sign * given.level / 10 * 0.45 * given.height),
        ],
        smooth=True,
        fill=fill,
    )


def uda_space() -> Space:
    """The sixteen operations of the first PyTorch RandAugment (ildoonet's, after TensorFlow's): levels 0..30.

    Shifts and cutout are in px whatever the image's size; posterise keeps 0 to 4 bits and is black below level 7.5.
    """

    def between(low: float, high: float) -> _Arguments:
        return lambda given: given.level / 30 * (high - low) + low

    return Space(
        [
            Entry("AutoContrast"),
            Entry("Equalize"),
            Entry("Invert"),
            Entry("Rotate", _signed(30, 30)),
            Entry("Posterize", lambda given: between(0, 4)(given).floor()),
            Entry("Solarize", between(0, 256)),
            Entry("AddAndSolarize", between(0, 110)),
            *(Entry(name, between(0.1, 1.9)) for name in ("Color", "Contrast", "Brightness", "Sharpness")),
            Entry("ShearX", _signed(30, 0.3)),
            Entry("ShearY", _signed(30, 0.3)),
            Entry("Cutout", between(0, 40)),
            Entry("TranslateX", _signed(30, -100)),
            Entry("TranslateY", _signed(30, -100)),
        ]
    )
