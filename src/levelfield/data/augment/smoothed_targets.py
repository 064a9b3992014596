"""The target distribution: label, partner's label, label smoothing (Szegedy et al., arXiv 1512.00567) in one place."""

from __future__ import annotations

import torch
from torch import Tensor

from levelfield.data.to_device import to_device


def soft_targets(
    labels: Tensor,
    partner_labels: Tensor | None,
    lam: Tensor | None,
    num_classes: int,
    smoothing: float = 0.0,
    smoothing_with_mix: bool = True,
) -> Tensor:
    """The distribution that the loss compares with, float32 (B, num_classes), each row summing to one:

    ``(1 - s) * (lam * onehot(label) + (1 - lam) * onehot(partner)) + s / num_classes``

    `labels` and `partner_labels` are int64 (B,), `lam` float32 (B,). Without partners (an unmixed batch) lam is 1.
    `s` is `smoothing`, except that `smoothing_with_mix=False` makes it 0 in a mixed batch. The result lies where
    `labels` does.
    """
    if partner_labels is not None and not smoothing_with_mix:
        smoothing = 0.0
    keep = 1.0 - smoothing
    targets = torch.full((len(labels), num_classes), smoothing / num_classes, device=labels.device)
    if partner_labels is None or lam is None:
        return targets.scatter_add_(1, labels[:, None], targets.new_full((len(labels), 1), keep))
    own = to_device(lam.to(torch.float32), labels.device)[:, None]
    targets.scatter_add_(1, labels[:, None], own * keep)
    return targets.scatter_add_(1, to_device(partner_labels, labels.device)[:, None], (1.0 - own) * keep)
