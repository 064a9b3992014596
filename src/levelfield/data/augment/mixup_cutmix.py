"""Mixup (Zhang et al., arXiv 1710.09412) and CutMix (Yun et al., arXiv 1905.04899), per batch or per element.

What is mixed with what is planned over the global batch from (seed, epoch, step) alone; a rank that holds some of its
rows, with their partners' images, gets exactly what one process gets. Partners are a permutation: a batch may be odd.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from levelfield import randomness
from levelfield.data.to_device import to_device
from levelfield.errors import UserError
from levelfield.spec import Mix


@dataclass(frozen=True)
class MixPlan:
    """How a global batch of N is mixed; every tensor lies on the CPU.

    `partner` (N,) int64: the row mixed into each row. `lam` (N,) float32: the share of the row's own label (1: not
    mixed), which for CutMix is that of the pixels outside the clipped box. `box` (N,4) int64: CutMix's rows y0..y1 and
    columns x0..x1 in px, empty where none is cut. `mixed`: False if no row is mixed. `uniform`: all rows are alike.
    """

    partner: Tensor
    lam: Tensor
    box: Tensor
    mixed: bool
    uniform: bool

    def weights(self, rows: Tensor | None, height: int, width: int, device: torch.device | str = "cpu") -> Tensor:
        """The share of each row's own pixels, float32 (b,1,1,1) or (b,1,H,W) on `device`; b is 1 where all rows are
        alike. CutMix's map is made there from the corners of the boxes. `rows` (b,) int64 lie on the CPU.
        """
        chosen = slice(0, 1) if self.uniform else slice(None) if rows is None else rows
        box, device = self.box[chosen], torch.device(device)
        lam = to_device(self.lam[chosen], device).view(-1, 1, 1, 1)
        if not ((box[:, 1] > box[:, 0]) & (box[:, 3] > box[:, 2])).any():
            return lam
        y0, y1, x0, x1 = (edge.view(-1, 1, 1, 1) for edge in to_device(box, device).unbind(1))
        cut = (y1 > y0) & (x1 > x0)
        y = torch.arange(height, device=device).view(1, 1, -1, 1)
        x = torch.arange(width, device=device).view(1, 1, 1, -1)
        inside = (y >= y0) & (y < y1) & (x >= x0) & (x < x1)
        return torch.where(cut, 1.0 - inside.to(torch.float32), lam)


class BatchMix:
    """The mixing of one recipe for images of `image_size` px (CutMix's boxes and its lambda depend on it)."""

    def __init__(self, mix: Mix, image_size: int) -> None:
        self.mix = mix
        self.image_size = image_size

    def plan(self, batch: int, seed: int, epoch: int, step: int) -> MixPlan:
        """Decide how the global batch of `batch` samples at `step` (of the run or of the epoch) is mixed."""
        per_batch = self.mix.mode == "batch"
        count = 1 if per_batch else batch
        where = torch.tensor([step], dtype=torch.int64)
        coin, switch, level, cy, cx = (
            randomness.uniform(seed, f"mix.{name}", epoch, where, count)[0].to(torch.float64)
            for name in ("coin", "switch", "lambda", "centre_y", "centre_x")
        )
        mixed = (coin < self.mix.probability) & self.mix.active
        if self.mix.mixup_alpha == 0 or self.mix.cutmix_alpha == 0:
            cutmix = torch.full_like(mixed, self.mix.cutmix_alpha > 0)
        else:
            cutmix = switch < self.mix.switch_probability
        lam = torch.where(cutmix, _beta(self.mix.cutmix_alpha, level), _beta(self.mix.mixup_alpha, level))
        lam = torch.where(mixed, lam, 1.0)
        box = torch.where((mixed & cutmix)[:, None], cutmix_box(lam, cy, cx, self.image_size, self.image_size), 0)
        outside = 1.0 - ((box[:, 1] - box[:, 0]) * (box[:, 3] - box[:, 2])).to(torch.float64) / self.image_size**2
        lam = torch.where(cutmix, outside, lam).to(torch.float32)
        partner = (
            randomness.permutation(batch, seed, f"mix.partner/{step}", epoch)
            if bool(mixed.any())
            else torch.arange(batch)
        )
        return MixPlan(partner, lam.expand(batch), box.expand(batch, 4), bool(mixed.any()), per_batch)

    def apply(self, x: Tensor, plan: MixPlan, partners: Tensor | None = None, rows: Tensor | None = None) -> Tensor:
        """Mix float images `x` (b,3,H,W), the rows `rows` (b,) int64 of the global batch (None: all of it, in order).

        `rows` lie on the CPU. `partners` (b,3,H,W) are the images of `plan.partner[rows]`; None takes them from `x`,
        which then has to be the whole batch. Returns a new tensor, or `x` itself where nothing is mixed.
        """
        if not plan.mixed:
            return x
        if partners is None:
            if rows is not None or len(x) != len(plan.partner):
                raise UserError(f"{len(x)} of {len(plan.partner)} rows need their partners' images to be mixed")
            partners = x[to_device(plan.partner, x.device)]
        own = plan.weights(rows, x.shape[2], x.shape[3], x.device).to(x.dtype)
        return x.mul(own).add_(partners.mul(1 - own))


build_mix = BatchMix


def cutmix_box(lam: Tensor, cy: Tensor, cx: Tensor, height: int, width: int) -> Tensor:
    """CutMix's boxes (n,4) int64 as y0, y1, x0, x1, clipped to the image (equation 2 of the paper).

    `lam` (n,) float64 is the share to keep; `cy` and `cx` (n,) in [0, 1) place the centre.
    """
    edges = []
    for centre, extent in ((cy, height), (cx, width)):
        side = (extent * torch.sqrt(1 - lam)).long()
        start = (centre * extent).long() - side // 2
        edges += [start.clamp(0, extent), (start + side).clamp(0, extent)]
    return torch.stack(edges, dim=1)


def _beta(alpha: float, u: Tensor) -> Tensor:
    """Beta(alpha, alpha) float64 by its inverse distribution function at `u`; ones for an alpha of zero.

    Multiples of 2**-16, so coarse that the last bits, in which processors' logarithms and powers differ, are gone.
    """
    if alpha == 0:
        return torch.ones_like(u)
    if alpha == 1:
        return u
    from scipy.special import betaincinv  # which takes as long to import as a short training begins

    return torch.from_numpy(betaincinv(alpha, alpha, u.numpy())).mul_(65_536).round_().div_(65_536)
