"""Operations that look at several channels or pixels at once: saturation, sharpness, hue and cutout.

All take uint8 images (n,3,H,W) and an argument per image, float64 (n,) on the CPU. Saturation and sharpness blend with
a degraded image (grey, smoothed): a factor of 0 gives that, 1 the image itself, more exaggerates. The first three equal
torchvision.transforms.v2.functional (hue within one level).
"""

from __future__ import annotations

import torch
from torch import Tensor

from levelfield import native
from levelfield.data.augment.level_operations import grey_levels
from levelfield.data.to_device import to_device


def saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Blend with the image's grey levels."""
    own, rest = _per_image(factor, images), _per_image(torch.rsub(factor, 1), images)
    if native.usable_on_bytes(images):
        out = torch.empty_like(images)
        native.call_on_bytes("lf_saturate", images, own, rest, out, len(images), images[0, 0].numel())
        return out
    grey = grey_levels(images).mul_(rest)
    return (images * own).add_(grey).clamp_(0, 255).to(torch.uint8)


def sharpness(images: Tensor, factor: Tensor) -> Tensor:
    """Blend with the image smoothed by (1 1 1, 1 5 1, 1 1 1) / 13; the outermost pixels stay."""
    if min(images.shape[2:]) <= 2:
        return images
    rest = _per_image(torch.rsub(factor, 1), images)
    if native.usable_on_bytes(images):
        out = torch.empty_like(images)
        native.call_on_bytes("lf_sharpen", images, rest, out, len(images), *images.shape[2:])
        return out
    levels = images.to(torch.int16)
    inner = levels[:, :, 1:-1, 1:-1]
    columns = (levels[:, :, :-2] + levels[:, :, 1:-1]).add_(levels[:, :, 2:])
    total = (columns[..., :-2] + columns[..., 1:-1]).add_(columns[..., 2:]).add_(inner, alpha=4)
    change = total.to(torch.float32).div_(13).round_().sub_(inner)
    out = images.clone()
    sharpened = change.mul_(rest).add_(inner)
    out[:, :, 1:-1, 1:-1] = sharpened.clamp_(0, 255).to(torch.uint8)
    return out


def hue(images: Tensor, turn: Tensor) -> Tensor:
    """Turn the hue by `turn` (n,) in [-0.5, 0.5] of the colour circle; saturation and value stay."""
    red, green, blue = (images.to(torch.float32) / 255).unbind(1)
    value = torch.maximum(torch.maximum(red, green), blue)
    chroma = value - torch.minimum(torch.minimum(red, green), blue)
    divisor = torch.where(chroma == 0, 1.0, chroma)
    sextant = torch.where(
        value == red,
        (green - blue) / divisor,
        torch.where(value == green, 2 + (blue - red) / divisor, 4 + (red - green) / divisor),
    )
    turned = sextant + 6 * _per_image(turn, images)[:, 0]
    channels = []
    for offset in (5, 3, 1):  # the sextants in which red, green and blue are at their lowest begin here
        k = torch.remainder(turned + offset, 6)
        channels.append(value - chroma * torch.minimum(k, 4 - k).clamp_(0, 1))
    return torch.stack(channels, dim=1).mul_(255.999).clamp_(0, 255).to(torch.uint8)


def cut_out(images: Tensor, side_px: Tensor, place: Tensor) -> Tensor:
    """Cover a square of `side_px` (n,) in each of uint8 (n,3,H,W) with the mean colour of ImageNet, (125, 123, 114).

    It starts half a side before `place` (n,2) (y and x as shares of the image) and is clipped to the image.
    """
    inside = torch.ones(images.shape[0], 1, 1, 1, dtype=torch.bool, device=images.device)
    for axis, extent in enumerate(images.shape[2:]):
        start = (place[:, axis].double() * extent - side_px / 2).clamp(min=0).floor()
        stop = (start + side_px).floor()  # the last px is covered too
        px = torch.arange(extent, device=images.device).view((1, 1, -1, 1) if axis == 0 else (1, 1, 1, -1))
        edges = to_device(torch.stack([start, stop]), images.device).view(2, -1, 1, 1, 1)
        inside = inside & (px >= edges[0]) & (px <= edges[1])
    colour = to_device(torch.tensor([125, 123, 114], dtype=torch.uint8), images.device).view(1, 3, 1, 1)
    return torch.where(inside, colour, images)


def _per_image(argument: Tensor, images: Tensor) -> Tensor:
    return to_device(argument.to(torch.float32), images.device).view(-1, 1, 1, 1)
