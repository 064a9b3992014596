"""The projection of AdamP and SGDP (Heo et al., arXiv 2006.08217) without asking the device for a decision.

An update loses its part along the weights where these look scale-invariant: where the gradient is almost orthogonal to
them, channel by channel, else as a whole. timm decides so in Python for each kernel, and on a GPU the host then waits
for every one of them. Here both candidates are computed and chosen among on the device; a CPU keeps timm's own form.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor

Projection = Callable[..., tuple[Tensor, float | Tensor]]
DECIDED_BY_THE_HOST: Final = ("cpu",)
"""Devices whose values the host holds: it computes only what is needed."""


def projection_by_device(timms: Any) -> Projection:
    """timm's `projection` (of its module `timms`) where the host holds the values, or for its `caution`; else ours."""
    own: Projection = timms.projection

    def projection(
        p: Tensor, grad: Tensor, perturb: Tensor, delta: float, wd_ratio: float, eps: float, caution: bool = False
    ) -> tuple[Tensor, float | Tensor]:
        if caution or p.device.type in DECIDED_BY_THE_HOST:
            return own(p, grad, perturb, delta, wd_ratio, eps, caution)
        return projection_on_device(p, grad, perturb, delta, wd_ratio, eps)

    return projection


def projection_on_device(
    p: Tensor, grad: Tensor, perturb: Tensor, delta: float, wd_ratio: float, eps: float
) -> tuple[Tensor, Tensor]:
    """The update and the share of weight decay, both on the device: `perturb` (of the shape of `p`) and `wd_ratio` ()
    where the weights are scale-invariant, else 1."""
    expanded = (-1,) + (1,) * (p.ndim - 1)
    found, decided = perturb, torch.zeros((), dtype=torch.bool, device=p.device)
    for rows in (p.shape[0], 1):  # channel by channel, then as a whole
        weights = p.reshape(rows, -1)
        cosine = F.cosine_similarity(grad.reshape(rows, -1), weights, dim=1, eps=eps).abs_()
        near = (cosine.max() < delta / math.sqrt(weights.shape[1])) & ~decided
        unit = p / weights.norm(p=2, dim=1).add_(eps).reshape(expanded)
        along = (unit * perturb).reshape(rows, -1).sum(dim=1).reshape(expanded)
        found = torch.where(near, perturb - unit * along, found)
        decided = decided | near
    return found, torch.where(decided, wd_ratio, 1.0)
