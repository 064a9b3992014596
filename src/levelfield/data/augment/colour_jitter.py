"""Colour jitter: brightness, contrast, saturation and hue by drawn amounts, in an order drawn per sample."""

from __future__ import annotations

import torch
from torch import Tensor

from levelfield import randomness
from levelfield.data.augment.operations import Entry, Layer, Space
from levelfield.spec.augment import ColorJitter


class Jitter:
    """torchvision's ColorJitter over uint8 batches, each sample with factors and an order of its own."""

    def __init__(self, jitter: ColorJitter) -> None:
        ranges = {
            "Brightness": (max(0.0, 1 - jitter.brightness), 1 + jitter.brightness),
            "Contrast": (max(0.0, 1 - jitter.contrast), 1 + jitter.contrast),
            "Color": (max(0.0, 1 - jitter.saturation), 1 + jitter.saturation),
            "Hue": (-jitter.hue, jitter.hue),
        }
        self.space = Space([Entry(name, lambda given: given.level) for name, (lo, hi) in ranges.items() if lo < hi])
        self.ranges = [ranges[entry.name] for entry in self.space.entries]

    def __call__(self, images: Tensor, sample_index: Tensor, epoch: int, seed: int) -> Tensor:
        """uint8 `images` (B,3,H,W) of `sample_index` (B,) int64 on the CPU after the drawn operations."""
        return self.space.apply(images, self.draw(sample_index, epoch, seed))

    def draw(self, sample_index: Tensor, epoch: int, seed: int) -> list[Layer]:
        """One layer per operation that is on; each tensor has one value per sample."""
        count = len(self.ranges)
        if count == 0:
            return []
        low, high = torch.tensor(self.ranges, dtype=torch.float64).unbind(1)
        amount = randomness.uniform(seed, "augment.jitter.amount", epoch, sample_index, count).double()
        amount = low + amount * (high - low)
        order = randomness.bits(seed, "augment.jitter.order", epoch, sample_index, count).argsort(1)
        unused = torch.zeros(len(sample_index), 2)
        return [
            Layer(choice, amount.gather(1, choice[:, None])[:, 0], unused[:, 0].double(), unused, unused[:, 0].bool())
            for choice in order.unbind(1)
        ]
