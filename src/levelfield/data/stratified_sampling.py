"""A part of some samples in which every class keeps its share."""

from __future__ import annotations

import torch
from torch import Tensor

from levelfield import randomness


def stratified(labels: Tensor, index: Tensor, count: int, *, seed: int, stream: str) -> Tensor:
    """Positions (sorted, int64) of `count` of the samples, each class in its share, drawn by (seed, index).

    Classes get the whole part of their share, and those with the largest remainders one more (ties: lower class).
    `labels` and `index` are int64 (N,); `index` is the identity of each sample.
    """
    total = len(labels)
    classes = int(labels.max()) + 1
    sizes = torch.bincount(labels, minlength=classes)
    exact = sizes.to(torch.float64) * (count / total)
    take = exact.floor().to(torch.int64)
    largest = torch.argsort(exact - take, descending=True, stable=True)
    take[largest[: count - int(take.sum())]] += 1
    draw = randomness.bits(seed, stream, 0, index)[:, 0]
    chosen = []
    for label in range(classes):
        members = torch.nonzero(labels == label)[:, 0]
        chosen.append(members[torch.argsort(draw[members], stable=True)[: int(take[label])]])
    return torch.sort(torch.cat(chosen)).values
