"""A layer of operations over a batch: each image undergoes the one that was chosen for it.

Images are grouped by what their operations have in common, so that a layer costs a few passes whatever was chosen: one
look-up for all level operations, one gather for all affine maps along the same axes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final, Literal, NamedTuple, get_args

import torch
from torch import Tensor

from levelfield.data.augment import affine_operations as affine
from levelfield.data.augment import colour_sharpness_cutout as colour
from levelfield.data.augment import level_operations as levels
from levelfield.data.augment.crop_and_flip import shift
from levelfield.data.to_device import to_device

Kind = Literal["none", "lookup", "shift", "x", "y", "xy", "blend", "box"]
"""The groups, in the order in which they are worked on."""


class Operation(NamedTuple):
    """What an operation computes (signatures: see the three files), and with which it is grouped."""

    kind: Kind
    run: Callable[..., Tensor]


OPERATIONS: Final[dict[str, Operation]] = {
    "Identity": Operation("none", lambda images, _: images),
    "Brightness": Operation("lookup", levels.brightness),
    "Contrast": Operation("lookup", levels.contrast),
    "Posterize": Operation("lookup", levels.posterize),
    "Solarize": Operation("lookup", levels.solarize),
    "SolarizeAdd": Operation("lookup", levels.solarize_add),
    "AddAndSolarize": Operation("lookup", levels.add_and_solarize),
    "AutoContrast": Operation("lookup", levels.autocontrast),
    "Equalize": Operation("lookup", levels.equalize),
    "Invert": Operation("lookup", levels.invert),
    "ShearX": Operation("x", affine.shear_x),
    "TranslateX": Operation("shift", affine.translate_x),
    "ShearY": Operation("y", affine.shear_y),
    "TranslateY": Operation("shift", affine.translate_y),
    "Rotate": Operation("xy", affine.rotate),
    "Color": Operation("blend", colour.saturation),
    "Sharpness": Operation("blend", colour.sharpness),
    "Hue": Operation("blend", colour.hue),
    "Cutout": Operation("box", colour.cut_out),
}


class Argument(NamedTuple):
    """What decides an operation's argument, per image: float64 `level` and `sign` (1 or -1), and the size in px."""

    level: Tensor
    sign: Tensor
    height: int
    width: int


@dataclass(frozen=True)
class Entry:
    """An operation of a space, and how its argument, float64 (n,), follows from the level; None: it has none."""

    name: str
    argument: Callable[[Argument], Tensor] | None = None


class Layer(NamedTuple):
    """What was drawn for each image of a batch; every tensor on the CPU.

    `choice` (B,) int64: index into the space's entries; their number stands for "leave it alone". `level` and `sign`
    (B,) float64. `place` (B,2) float32 in [0, 1): where a cutout lies. `cubic` (B,) bool: how smooth maps interpolate.
    """

    choice: Tensor
    level: Tensor
    sign: Tensor
    place: Tensor
    cubic: Tensor


class Space:
    """The operations of an augmentation, in groups.

    `bins`: levels are whole numbers below it (0: any number). `smooth`: affine maps interpolate, and what comes from
    outside has the colour `fill`.
    """

    def __init__(
        self, entries: Sequence[Entry], bins: int = 0, smooth: bool = False, fill: tuple[int, int, int] = (0, 0, 0)
    ) -> None:
        self.entries = sorted(entries, key=lambda entry: get_args(Kind).index(OPERATIONS[entry.name].kind))
        kinds = [OPERATIONS[entry.name].kind for entry in self.entries]
        firsts = [(kind, kinds.index(kind)) for kind in dict.fromkeys(kinds) if kind != "none"]
        self.groups = [(kind, first, first + kinds.count(kind)) for kind, first in firsts]
        self.bins = bins
        self._tables: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}
        self.smooth = smooth
        self.fill = fill

    def apply(self, images: Tensor, layers: Sequence[Layer]) -> Tensor:
        """uint8 `images` (B,3,H,W) after the operations of the `layers`, one after the other, in a new tensor."""
        sample = torch.arange(len(images))  # whose image lies in each row
        for layer in layers:
            images, order = self._apply(images, Layer(*(drawn.index_select(0, sample) for drawn in layer)))
            sample = sample.index_select(0, order)
        return images.index_select(0, to_device(torch.argsort(sample), images.device))

    def _apply(self, images: Tensor, layer: Layer) -> tuple[Tensor, Tensor]:
        """The images after one layer, sorted by operation, and from which row each of them comes."""
        order = torch.argsort(layer.choice, stable=True)
        counts = torch.bincount(layer.choice, minlength=len(self.entries) + 1).tolist()
        starts = [0, *accumulate(counts)]
        layer = Layer(*(drawn.index_select(0, order) for drawn in layer))
        arguments, maps = self._given(layer, images.shape[2], images.shape[3])
        images = images.index_select(0, to_device(order, images.device))  # so that every group is a slice
        for kind, first, last in self.groups:
            here = slice(starts[first], starts[last])
            if here.start < here.stop:
                present = [number for number in range(first, last) if counts[number]]
                parts = [(self.entries[number], slice(starts[number], starts[number + 1])) for number in present]
                self._run(kind, images, here, parts, layer, arguments, maps)
        return images, order

    def _given(self, layer: Layer, height: int, width: int) -> tuple[Tensor, Tensor]:
        """For each image what its operation is called with, float64 (B,), and its affine map, float64 (B,6)."""
        if not self.bins:
            return self._compute(layer.choice, layer.level, layer.sign, height, width)
        if (height, width) not in self._tables:
            every = [torch.arange(number) for number in (len(self.entries) + 1, 2, self.bins)]
            choice, positive, level = torch.cartesian_prod(*every).unbind(1)
            self._tables[height, width] = self._compute(choice, level.double(), 2.0 * positive - 1, height, width)
        arguments, maps = self._tables[height, width]
        row = (2 * layer.choice + (layer.sign > 0)) * self.bins + layer.level.long()
        return arguments.index_select(0, row), maps.index_select(0, row)

    def _compute(self, choice: Tensor, level: Tensor, sign: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
        arguments, maps = level.new_zeros(len(level)), level.new_zeros(len(level), 6)
        for number, entry in enumerate(self.entries):
            rows = (choice == number).nonzero()[:, 0]
            if entry.argument is not None and len(rows):
                arguments[rows] = entry.argument(Argument(level[rows], sign[rows], height, width))
                kind, run = OPERATIONS[entry.name]
                if kind in ("shift", *get_args(affine.Axes)):
                    maps[rows] = run(arguments[rows], height, width)
        return arguments, maps

    def _run(
        self,
        kind: Kind,
        images: Tensor,
        here: slice,
        parts: list[tuple[Entry, slice]],
        layer: Layer,
        arguments: Tensor,
        maps: Tensor,
    ) -> None:
        """Let the images of the group `here` undergo their operations; `parts` says where each operation's are."""
        runs = [(OPERATIONS[entry.name].run, rows) for entry, rows in parts]
        if kind == "lookup":
            tables = [run(images[rows], arguments[rows]).expand(-1, 3, 256) for run, rows in runs]
            levels.look_up(images[here], torch.cat(tables), out=images[here])
            return
        if kind == "none" or kind == "blend" or kind == "box":
            for run, rows in runs:
                images[rows] = run(images[rows], arguments[rows], *((layer.place[rows],) if kind == "box" else ()))
            return
        if self.smooth:
            images[here] = affine.smooth(images[here], maps[here], layer.cubic[here], self.fill)
        elif kind == "shift":
            down, right = (-maps[here, column].round().long() for column in (5, 2))
            images[here] = shift(images[here], down, right)
        else:
            affine.nearest(images[here], maps[here], kind, out=images[here])
