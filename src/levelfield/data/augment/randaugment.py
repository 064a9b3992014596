"""RandAugment and TrivialAugment: which operations each sample undergoes, drawn from (seed, epoch, sample index)."""

from __future__ import annotations

import torch
from torch import Tensor

from levelfield import randomness
from levelfield.data.augment.operations import Layer
from levelfield.data.augment.randaugment_spaces import BINS, timm_space, torchvision_space, trivial_space, uda_space
from levelfield.errors import UserError
from levelfield.spec.augment import RandAugment, TrivialAugment


class PolicyAugment:
    """A policy over uint8 batches. `fill` is the colour (levels) outside timm's maps: the mean of the data."""

    def __init__(self, policy: RandAugment | TrivialAugment, fill: tuple[int, int, int]) -> None:
        self.policy = policy
        if isinstance(policy, TrivialAugment):
            self.space, self.layers, self.probability = trivial_space(), 1, 1.0
            return
        _check(policy)
        self.layers = policy.ops
        if policy.form == "timm":
            self.space, default = timm_space(policy.increasing, fill), 0.5
        else:
            self.space, default = (uda_space() if policy.form == "uda" else torchvision_space()), 1.0
        self.probability = default if policy.probability is None else policy.probability

    def __call__(self, images: Tensor, sample_index: Tensor, epoch: int, seed: int) -> Tensor:
        """uint8 `images` (B,3,H,W) of `sample_index` (B,) int64 on the CPU after the drawn operations."""
        return self.space.apply(images, self.draw(sample_index, epoch, seed))

    def draw(self, sample_index: Tensor, epoch: int, seed: int) -> list[Layer]:
        """The layers in order; each tensor has one value per sample."""
        count, entries = self.layers, len(self.space.entries)
        draws = randomness.uniform(seed, "augment.policy", epoch, sample_index, 6 * count).view(-1, 6, count)
        coin, pick, side, y, x, kind = draws.unbind(1)
        choice = torch.where(coin < self.probability, (pick * entries).long(), entries)
        sign = torch.where(side < 0.5, -1.0, 1.0).double()
        place, cubic = torch.stack([y, x], dim=2), kind < 0.5
        level = self._levels(sample_index, epoch, seed)
        return [Layer(choice[:, k], level[:, k], sign[:, k], place[:, k], cubic[:, k]) for k in range(count)]

    def _levels(self, sample_index: Tensor, epoch: int, seed: int) -> Tensor:
        """How strong each operation is, float64 (B, layers)."""
        if isinstance(self.policy, TrivialAugment):
            return randomness.integers(seed, "augment.policy.level", epoch, sample_index, BINS).double()
        level = torch.full((len(sample_index), self.layers), float(self.policy.magnitude), dtype=torch.float64)
        if self.policy.form == "timm":
            noise = randomness.normal(seed, "augment.policy.level", epoch, sample_index, self.layers)
            level = (level + self.policy.magnitude_std * noise).clamp_(0, 10)
        return level


def _check(policy: RandAugment) -> None:
    if policy.form != "timm" and (policy.magnitude_std > 0 or policy.increasing):
        raise UserError(
            f"magnitude_std and increasing belong to RandAugment's form timm, not to {policy.form!r}; "
            "leave them out or set form: timm"
        )
    if policy.form == "torchvision" and policy.magnitude != int(policy.magnitude):
        raise UserError(
            f"torchvision's RandAugment has the magnitudes 0, 1, ..., 30, not {policy.magnitude}; give a whole number"
        )
