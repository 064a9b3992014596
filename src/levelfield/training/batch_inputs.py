"""From a uint8 batch to what the loss sees: augmented, normalised, mixed images and their targets."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final, NamedTuple

import torch
from torch import Tensor

from levelfield.data import ImageData, Loader, Split, make_loader
from levelfield.data.augment import EvalTransform, build_augment, build_eval_transform, build_mix, soft_targets
from levelfield.data.ragged_images import joined
from levelfield.data.to_device import to_device
from levelfield.spec import Recipe, RunSpec
from levelfield.training.processes import World

AHEAD_VALUES: Final = 1 << 22
"""On a GPU so many values (16 MiB) are augmented at a time: 21 batches of 64 images of 32 px, one of 64 at 224 px."""


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
        part = -(-recipe.batch_size // loader.world)
        self.ahead = max(1, AHEAD_VALUES // (part * 3 * image_size**2)) if loader.device.type == "cuda" else 1

    def epoch(self, epoch: int, from_step: int) -> Iterator[Batch]:
        """The batches of `epoch` from its step `from_step` on, where the network is."""
        for x, labels, targets, size in self._batches(epoch, from_step):
            there = to_device(labels, self.loader.target)
            wanted = there if targets is labels else to_device(targets, self.loader.target)
            yield Batch(to_device(x, self.loader.target), there, wanted, size)

    def _batches(self, epoch: int, from_step: int) -> Iterator[Batch]:
        for step, (x, labels) in enumerate(self._augmented(epoch, from_step), start=from_step):
            first = step * self.loader.batch_size
            size = min(self.loader.batch_size, len(self.loader.split) - first)
            plan = None if self.mix is None else self.mix.plan(size, self.seed, epoch, step)
            if self.mix is None or plan is None or not plan.mixed:
                plain = self.smoothing == 0
                targets = labels if plain else soft_targets(labels, None, None, self.classes, self.smoothing)
                yield Batch(x, labels, targets, size)
                continue
            # A rank augments its partners' images itself: they look as they look on their own rank.
            rows = torch.arange((self.loader.rank - first) % self.loader.world, size, self.loader.world)
            whole = self.loader.world == 1
            if whole:
                partners, partner_labels = None, labels[to_device(plan.partner, labels.device)]
            else:
                positions = self.loader.global_positions(epoch, step)[plan.partner[rows]]
                images, partner_labels, index = self.loader.fetch(positions)
                partners = self.augment(images, index, epoch, self.seed)
            x = self.mix.apply(x, plan, partners, None if whole else rows)
            targets = soft_targets(
                labels, partner_labels, plan.lam[rows], self.classes, self.smoothing, self.smoothing_with_mix
            )
            yield Batch(x.contiguous(memory_format=self.layout), labels, targets, size)

    def _augmented(self, epoch: int, from_step: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Augmented images and labels by batch, `ahead` batches augmented in one go.

        What becomes of an image depends on (seed, epoch, sample) alone, so this changes nothing but the time: on a GPU
        the fifty or so small operations of an augmentation cost the same for 64 images as for a thousand.
        """
        batches = self.loader.epoch(epoch, from_step)
        while group := list(islice(batches, self.ahead)):
            if len(group) == 1:
                images, labels, index = group[0]
                yield self.augment(images, index, epoch, self.seed), labels
                continue
            images, index = joined([batch[0] for batch in group]), torch.cat([batch[2] for batch in group])
            together = self.augment(images, index, epoch, self.seed)
            parts = torch.split(together, [len(batch[0]) for batch in group])
            yield from ((x, labels) for x, (_, labels, _) in zip(parts, group, strict=True))


def evaluation_transform(recipe: Recipe, data: ImageData, image_size: int, channels_last: bool) -> EvalTransform:
    """What validation and test images go through: uint8 (B,3,H,W) -> float32 (B,3,image_size,image_size)."""
    layout = torch.channels_last if channels_last else torch.contiguous_format
    return build_eval_transform(recipe.augment, image_size, data.mean, data.std, memory_format=layout)


def run_loader(
    spec: RunSpec, split: Split, batch_size: int, device: torch.device, world: World, *, shuffle: bool = False
) -> Loader:
    """This rank's loader of `split` in batches of `batch_size` images over all ranks, as the run's execution asks."""
    execution = spec.execution
    return make_loader(
        split,
        batch_size=batch_size,
        seed=spec.seed,
        shuffle=shuffle,
        device=device,
        kind=execution.loader,
        workers=execution.workers,
        resident_budget_mib=execution.resident_budget_mib,
        rank=world.rank,
        world=world.size,
    )
