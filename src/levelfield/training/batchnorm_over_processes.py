"""BatchNorm over the global batch: torch's norms, with the statistics of all ranks' values."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class _SumOverRanks(torch.autograd.Function):
    """All-reduce (sum) whose gradient is the all-reduce of the gradient."""

    @staticmethod
    def forward(ctx: object, value: Tensor) -> Tensor:
        result = value.clone()
        dist.all_reduce(result)
        return result

    @staticmethod
    def backward(ctx: object, *grads: Tensor) -> Tensor:
        result = grads[0].clone()
        dist.all_reduce(result)
        return result


def normalise_over_ranks(norm: _BatchNorm, x: Tensor) -> Tensor:
    """`norm` in training on this rank's x (b, C, ...), with mean and variance over the values of all ranks.

    Equal to `norm` on the ranks' concatenated batches; each rank weighs by its own count. The running statistics move
    as torch's do. Computes in float32 at least. Raises ValueError, as torch does, for one value a channel in all.
    """
    over = [axis for axis in range(x.ndim) if axis != 1]
    shape = [1, -1] + [1] * (x.ndim - 2)
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    own = torch.cat([wide.sum(over), wide.new_tensor([x.numel() / x.shape[1]])])
    total: Tensor = _SumOverRanks.apply(own)  # type: ignore[no-untyped-call]
    count = total[-1].detach()
    if count <= 1:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {tuple(x.shape)}")
    mean = total[:-1] / count
    centred = wide - mean.view(shape)
    spread: Tensor = _SumOverRanks.apply(centred.square().sum(over))  # type: ignore[no-untyped-call]
    variance = spread / count
    if norm.track_running_stats and norm.running_mean is not None and norm.running_var is not None:
        with torch.no_grad():
            assert norm.num_batches_tracked is not None
            norm.num_batches_tracked += 1
            share = norm.momentum if norm.momentum is not None else 1.0 / float(norm.num_batches_tracked)
            norm.running_mean.lerp_(mean.to(norm.running_mean.dtype), share)
            norm.running_var.lerp_((variance * count / (count - 1)).to(norm.running_var.dtype), share)
    y = centred * torch.rsqrt(variance + norm.eps).view(shape)
    if norm.weight is not None:
        y = y * norm.weight.view(shape)
    if norm.bias is not None:
        y = y + norm.bias.view(shape)
    return y.to(x.dtype)


class _OverRanks(_BatchNorm):
    """torch's BatchNorm, of any number of dimensions, with the statistics of the global batch."""

    def forward(self, x: Tensor) -> Tensor:
        return normalise_over_ranks(self, x) if takes_all_ranks(self) else super().forward(x)


class GlobalBatchNorm1d(_OverRanks, nn.BatchNorm1d):
    """BatchNorm1d whose statistics are those of the global batch."""


class GlobalBatchNorm2d(_OverRanks, nn.BatchNorm2d):
    """BatchNorm2d whose statistics are those of the global batch."""


class GlobalBatchNorm3d(_OverRanks, nn.BatchNorm3d):
    """BatchNorm3d whose statistics are those of the global batch."""


def takes_all_ranks(norm: _BatchNorm) -> bool:
    """Whether `norm` takes its statistics over ranks now: in training, where there are several."""
    return norm.training and dist.is_initialized()
