"""A streaming accumulator over batches of logits: sums and integer counts, divided once at the end.

A short last batch, a split over ranks or another batch size therefore cannot change a score. The accumulator stays on
the device of the logits and never waits for it before `scores()`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
import torch
from torch import Tensor

from levelfield.evaluation.scores import Scores
from levelfield.evaluation.tally import BINS, TOP, Tally


class Counts:
    """What is known after some batches: correct in the first 1, 3, 5; confusion; sums of loss, Brier and confidence.

    `num_classes` at least 1. `device`: where the batches are. Counts of disjoint shards add up: `a + b`, or pack,
    all-reduce (sum), unpack.
    """

    def __init__(self, num_classes: int, device: torch.device | str = "cpu") -> None:
        self.num_classes = num_classes
        device = torch.device(device)
        self.correct = torch.zeros(len(TOP), dtype=torch.int64, device=device)
        self.confusion = torch.zeros(num_classes * num_classes, dtype=torch.int64, device=device)
        self.bin_count = torch.zeros(BINS, dtype=torch.int64, device=device)
        self.bin_correct = torch.zeros(BINS, dtype=torch.int64, device=device)
        self.bin_confidence = torch.zeros(BINS, dtype=torch.float64, device=device)
        self.sums = torch.zeros(2, dtype=torch.float64, device=device)  # cross-entropy, Brier

    @torch.no_grad()
    def update(self, logits: Tensor, labels: Tensor) -> Self:
        """Add a batch: `logits` (B, C) of any float dtype (computed in float32), `labels` (B,) int64 in [0, C).

        Of equal logits the lower class comes first. A logit that is not a number never makes a prediction right.
        """
        if logits.ndim != 2 or logits.shape[1] != self.num_classes or labels.shape != logits.shape[:1]:
            raise ValueError(
                f"logits {tuple(logits.shape)}, labels {tuple(labels.shape)} do not fit (B, {self.num_classes}), (B,)"
            )
        if not len(labels):
            return self
        logits = logits.float()
        own = logits.gather(1, labels[:, None])
        classes = torch.arange(self.num_classes, device=logits.device)
        ahead = ~(logits <= own) | ((logits == own) & (classes < labels[:, None]))
        rank = ahead.sum(1)
        self.correct += torch.stack([(rank < k).sum() for k in TOP])

        predicted = logits.argmax(1)
        self.confusion += torch.bincount(labels * self.num_classes + predicted, minlength=self.num_classes**2)

        log_p = logits.log_softmax(1)
        p = log_p.exp()
        self.sums += torch.stack(
            [
                -log_p.gather(1, labels[:, None]).sum(dtype=self.sums.dtype),
                (p.square().sum(1) - 2 * p.gather(1, labels[:, None])[:, 0] + 1).sum(dtype=self.sums.dtype),
            ]
        )
        confidence = p.amax(1)
        bins = (confidence * BINS).ceil().long().sub(1).clamp(0, BINS - 1)  # bin b holds (b / BINS, (b + 1) / BINS]
        self.bin_count += torch.bincount(bins, minlength=BINS)
        self.bin_correct += torch.bincount(bins[rank == 0], minlength=BINS)
        self.bin_confidence.index_add_(0, bins, confidence.to(self.bin_confidence.dtype))
        return self

    @property
    def _parts(self) -> tuple[Tensor, ...]:
        return (self.correct, self.confusion, self.bin_count, self.bin_correct, self.bin_confidence, self.sums)

    def pack(self) -> Tensor:
        """All of it as one flat float64 tensor (exact below 2**53), to be summed over ranks by one all-reduce."""
        return torch.cat([part.to(self.sums.dtype) for part in self._parts])

    @classmethod
    def unpack(cls, packed: Tensor, num_classes: int) -> Self:
        """The counts that `pack` (or a sum of several) holds."""
        counts = cls(num_classes, packed.device)
        start = 0
        for part in counts._parts:
            values = packed[start : start + part.numel()]
            part.copy_(values if part.is_floating_point() else values.round())
            start += part.numel()
        return counts

    def __add__(self, other: Counts) -> Counts:
        """The counts of both shards together."""
        return Counts.unpack(self.pack() + other.pack().to(self.sums.device), self.num_classes)

    def tally(self) -> Tally:
        """What was counted so far, on the host."""
        return Tally(
            correct=tuple(int(right) for right in self.correct),
            confusion=self.confusion.view(self.num_classes, self.num_classes).cpu().numpy(),
            bin_count=self.bin_count.cpu().numpy(),
            bin_correct=self.bin_correct.cpu().numpy(),
            bin_confidence=self.bin_confidence.cpu().numpy().astype(np.float64),
            sums=(float(self.sums[0]), float(self.sums[1])),
        )

    def scores(self, classes: Sequence[str] | None = None) -> Scores:
        """Divide once. `classes`: C names for the report (None: "0", "1", ...). Raises ValueError before any image."""
        return self.tally().scores(classes)


def evaluate_logits(logits: Tensor, labels: Tensor, classes: Sequence[str] | None = None) -> Scores:
    """The scores of `logits` (N, C) against `labels` (N,) int64."""
    return Counts(logits.shape[1], logits.device).update(logits, labels).scores(classes)
