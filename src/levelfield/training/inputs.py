"""From a uint8 batch to what the loss sees: augmented, normalised, mixed images and their targets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from levelfield.data import ImageData, Loader
from levelfield.data.augment import EvalTransform, build_augment, build_eval_transform, build_mix, soft_targets
from levelfield.spec import Recipe


class Batch(NamedTuple):
    """One rank's part of a global batch of `size` samples.

    `x` float32 (b,3,H,W) normalised; `labels` int64 (b,), the images' own; `targets` int64 (b,) where they are plain
    labels, else the distribution, float32 (b, classes).
    """

    x: Tensor
    labels: Tensor
    targets: Tensor
    size: int


class TrainingInputs:
    """Augments, mixes and labels the batches of `loader`: a function of (seed, epoch, step, sample) alone."""

    def __init__(
        self, loader: Loader, recipe: Recipe, data: ImageData, image_size: int, seed: int, channels_last: bool
    ) -> None:
        self.loader, self.seed, self.classes = loader, seed, len(data.classes)
        self.smoothing = recipe.regularisation.label_smoothing
        self.smoothing_with_mix = recipe.regularisation.smoothing_with_mix
        self.layout = torch.channels_last if channels_last else torch.contiguous_format
        self.augment = build_augment(recipe.augment, image_size, data.mean, data.std, memory_format=self.layout)
        self.mix = build_mix(recipe.mix, image_size) if recipe.mix.active else None

    def epoch(self, epoch: int, from_step: int) -> Iterator[Batch]:
        """The batches of `epoch` from its step `from_step` on."""
        for step, (images, labels, index) in enumerate(self.loader.epoch(epoch, from_step), start=from_step):
            first = step * self.loader.batch_size
            size = min(self.loader.batch_size, len(self.loader.split) - first)
            x = self.augment(images, index, epoch, self.seed)
            if self.mix is None:
                yield Batch(x, labels, self._targets(labels), size)
                continue
            plan = self.mix.plan(size, self.seed, epoch, step)
            if not plan.mixed:
                yield Batch(x, labels, self._targets(labels), size)
                continue
            # A rank augments its partners' images itself: they look as they look on their own rank.
            rows = torch.arange((self.loader.rank - first) % self.loader.world, size, self.loader.world)
            whole = self.loader.world == 1
            if whole:
                partners, partner_labels = None, labels[plan.partner.to(labels.device)]
            else:
                positions = self.loader.global_positions(epoch, step)[plan.partner[rows]]
                images, partner_labels, index = self.loader.fetch(positions)
                partners = self.augment(images, index, epoch, self.seed)
            x = self.mix.apply(x, plan, partners, None if whole else rows)
            targets = soft_targets(
                labels, partner_labels, plan.lam[rows], self.classes, self.smoothing, self.smoothing_with_mix
            )
            yield Batch(x.contiguous(memory_format=self.layout), labels, targets, size)

    def _targets(self, labels: Tensor) -> Tensor:
        return labels if self.smoothing == 0 else soft_targets(labels, None, None, self.classes, self.smoothing)


def evaluation_transform(recipe: Recipe, data: ImageData, image_size: int, channels_last: bool) -> EvalTransform:
    """What validation and test images go through: uint8 (B,3,H,W) -> float32 (B,3,image_size,image_size)."""
    layout = torch.channels_last if channels_last else torch.contiguous_format
    return build_eval_transform(recipe.augment, image_size, data.mean, data.std, memory_format=layout)
