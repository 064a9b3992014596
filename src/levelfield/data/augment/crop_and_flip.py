"""Crops and flips of a whole batch at once: every sample has its own window, and may be mirrored.

A window is given by its top left corner in the coordinates of the stored image; it may reach over the border by the
padding, which is filled with zeros or by reflection.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from levelfield import native, randomness
from levelfield.data.to_device import to_device
from levelfield.errors import UserError
from levelfield.spec.augment import Crop, PadCrop

Flip = Literal["random", "alternate", "none"]


class Windows(NamedTuple):
    """Where to crop: `top` and `left` (B,) int64 in px of the padded image, `flip` (B,) bool."""

    top: Tensor
    left: Tensor
    flip: Tensor


def draw_flips(flip: Flip, sample_index: Tensor, epoch: int, seed: int) -> Tensor:
    """Which samples are mirrored, bool (B,). `alternate`: the side of epoch 0 is drawn, then it changes every epoch."""
    if flip == "none":
        return torch.zeros(len(sample_index), dtype=torch.bool, device=sample_index.device)
    drawn_in = 0 if flip == "alternate" else epoch
    side = randomness.integers(seed, "augment.flip", drawn_in, sample_index, 2)[:, 0]
    if flip == "alternate":
        side = (side + epoch) & 1
    return side.bool()


def check_crop(crop: Crop | None, side_px: int) -> None:
    """Raise UserError where `crop` cannot be taken from training images stored at `side_px`."""
    if isinstance(crop, PadCrop) and crop.fill == "reflect" and side_px <= crop.padding_px:
        raise UserError(
            f"pad_crop cannot reflect {crop.padding_px} px of an image of {side_px} px: images must be larger "
            "than the padding\n"
            "set recipe.augment.crop.fill=zero, lower recipe.augment.crop.padding_px, or raise --image-size"
        )


def draw_windows(
    crop: Crop | None, flip: Flip, stored: tuple[int, int], size: int, sample_index: Tensor, epoch: int, seed: int
) -> Windows:
    """The windows of one batch for images of `stored` (height, width) px, for a crop that does not resize.

    `crop` None is the centre. Raises UserError when the stored (padded) image is smaller than the window.
    """
    check_crop(crop, min(stored))
    padding = crop.padding_px if isinstance(crop, PadCrop) else 0
    room = [extent + 2 * padding - size for extent in stored]
    if min(room) < 0:
        raise UserError(
            f"images of {stored[0]}x{stored[1]} px cannot be cropped to {size} px; "
            "store them larger (data.resize_px) or use the crop random_resized_crop"
        )
    if crop is None:
        top, left = (torch.full_like(sample_index, _centre(extent)) for extent in room)
    else:
        top, left = (
            randomness.integers(seed, "augment.crop", epoch, sample_index, extent + 1, 2)[:, axis]
            for axis, extent in enumerate(room)
        )
    return Windows(top, left, draw_flips(flip, sample_index, epoch, seed))


def _centre(room: int) -> int:
    return round(room / 2)  # halves to even, as torchvision's center_crop rounds


def take_windows(images: Tensor, windows: Windows, size: int, padding: int, fill: str) -> Tensor:
    """Crop `size` x `size` windows out of uint8 (B,3,H,W), one per sample; returns uint8 (B,3,size,size)."""
    if fill == "reflect":
        images, padding = F.pad(images, (padding,) * 4, mode="reflect"), 0
    batch, channels, height, width = images.shape
    if native.usable_on_bytes(images):
        return _windows_in_bytes(images, windows.top - padding, windows.left - padding, windows.flip, (size, size))
    if padding == 0 and images.device.type == "cpu":  # to mirror only what asks for it moves fewer bytes
        cut = _cut(images.contiguous(), torch.zeros_like(windows.top), windows.top, windows.left, size, size)
        mirrored = windows.flip.nonzero()[:, 0]
        return cut.index_copy_(0, mirrored, cut.index_select(0, mirrored).flip(3))
    both = images.new_zeros(2, batch, channels, height + 2 * padding, width + 2 * padding)
    inside = both[..., padding : padding + height, padding : padding + width]
    inside[0], inside[1] = images, images.flip(3)
    left = torch.where(windows.flip, both.shape[-1] - size - windows.left, windows.left)
    return _cut(both, windows.flip * batch, windows.top, left, size, size)


def shift(images: Tensor, down_px: Tensor, right_px: Tensor) -> Tensor:
    """Move uint8 (n,3,H,W) by whole px, int64 (n,) each; what comes from outside the image becomes black."""
    height, width = images.shape[2:]
    if native.usable_on_bytes(images):
        stay = torch.zeros(len(images), dtype=torch.bool)
        return _windows_in_bytes(images, -down_px, -right_px, stay, (height, width))
    margin_y, margin_x = (min(int(by.abs().max()), extent) for by, extent in ((down_px, height), (right_px, width)))
    framed = F.pad(images, (margin_x, margin_x, margin_y, margin_y))
    top = to_device(margin_y - down_px.clamp(-margin_y, margin_y), images.device)
    left = to_device(margin_x - right_px.clamp(-margin_x, margin_x), images.device)
    return _cut(framed, torch.zeros_like(top), top, left, height, width)


def _windows_in_bytes(images: Tensor, top: Tensor, left: Tensor, flip: Tensor, size: tuple[int, int]) -> Tensor:
    """The windows from (`top`, `left`) on, inside the images or not, in C++; what lies outside is black."""
    out = images.new_empty(len(images), 3, *size)
    native.call_on_bytes(
        "lf_take_windows", images, top.contiguous(), left.contiguous(), flip.contiguous(), out,
        len(images), *images.shape[2:], *size,
    )  # fmt: skip
    return out


def _cut(images: Tensor, skip: Tensor, top: Tensor, left: Tensor, height: int, width: int) -> Tensor:
    """One window each from the images number 0 + skip[0], 1 + skip[1], ... of contiguous (..., 3, H, W).

    A row of a window is `width` bytes on end, so that cropping is to select among all runs of that length.
    """
    channels, rows, columns = images.shape[-3:]
    runs = images.as_strided((images.numel() - width + 1, width), (1, 1))
    image = torch.arange(top.shape[0], device=images.device) + skip
    corner = image * (channels * rows * columns) + top * columns + left
    planes = torch.arange(channels, device=images.device)[:, None] * (rows * columns)
    start = corner[:, None, None] + planes + torch.arange(height, device=images.device) * columns
    return runs.index_select(0, start.view(-1)).view(top.shape[0], channels, height, width)


def centre_crop(images: Tensor, size: int) -> Tensor:
    """The central `size` x `size` px of (B,3,H,W), cut as by torchvision's center_crop. Raises UserError if smaller."""
    height, width = images.shape[-2:]
    if min(height, width) < size:
        raise UserError(
            f"images of {height}x{width} px cannot be cropped to {size} px; store them larger (data.resize_px)"
        )
    top, left = _centre(height - size), _centre(width - size)
    return images[..., top : top + size, left : left + size]
