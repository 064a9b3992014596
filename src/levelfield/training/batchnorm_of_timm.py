"""timm's BatchNorm with dropout and activation in one module, over the global batch. Imported where timm is loaded."""

from __future__ import annotations

from timm.layers import BatchNormAct2d, SyncBatchNormAct
from torch import Tensor

from levelfield.training.batchnorm_over_processes import normalise_over_ranks, takes_all_ranks

__all__ = ["BatchNormAct2d", "GlobalBatchNormAct2d", "SyncBatchNormAct"]


class GlobalBatchNormAct2d(BatchNormAct2d):  # type: ignore[misc]
    """timm's norm whose statistics are those of the global batch."""

    def forward(self, x: Tensor) -> Tensor:
        if not takes_all_ranks(self):
            return super().forward(x)  # type: ignore[no-any-return]
        return self.act(self.drop(normalise_over_ranks(self, x)))  # type: ignore[no-any-return]
