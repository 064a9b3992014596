"""BatchNorm over the global batch: every rank's norms take the statistics of all ranks' values.

A norm is converted by giving it another class, and nothing else: its weights, buffers, name, hooks and (timm's
`BatchNormAct2d`) its dropout and activation stay, a copy of it is converted too, and its state dict reads back into the
network as it was. On CUDA the class is torch's `SyncBatchNorm` or timm's form of it with the activation; torch's takes
CUDA tensors only, so CPUs have classes of their own.
"""

from __future__ import annotations

from typing import Final

import torch
import torch.distributed as dist
from timm.layers import BatchNormAct2d, SyncBatchNormAct
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from levelfield.errors import UserError
from levelfield.module_mode import keeps_statistics


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
        return normalise_over_ranks(self, x) if _over_ranks(self) else super().forward(x)


class GlobalBatchNorm1d(_OverRanks, nn.BatchNorm1d):
    """BatchNorm1d whose statistics are those of the global batch."""


class GlobalBatchNorm2d(_OverRanks, nn.BatchNorm2d):
    """BatchNorm2d whose statistics are those of the global batch."""


class GlobalBatchNorm3d(_OverRanks, nn.BatchNorm3d):
    """BatchNorm3d whose statistics are those of the global batch."""


class GlobalBatchNormAct2d(BatchNormAct2d):  # type: ignore[misc]
    """timm's BatchNorm with dropout and activation in one module, its statistics those of the global batch."""

    def forward(self, x: Tensor) -> Tensor:
        if not _over_ranks(self):
            return super().forward(x)  # type: ignore[no-any-return]
        return self.act(self.drop(normalise_over_ranks(self, x)))  # type: ignore[no-any-return]


def _over_ranks(norm: _BatchNorm) -> bool:
    return norm.training and dist.is_initialized()


_ON_CPUS: Final[dict[type[nn.Module], type[nn.Module]]] = {
    nn.BatchNorm1d: GlobalBatchNorm1d,
    nn.BatchNorm2d: GlobalBatchNorm2d,
    nn.BatchNorm3d: GlobalBatchNorm3d,
    BatchNormAct2d: GlobalBatchNormAct2d,
}
_ON_CUDA: Final[dict[type[nn.Module], type[nn.Module]]] = {
    nn.BatchNorm1d: nn.SyncBatchNorm,
    nn.BatchNorm2d: nn.SyncBatchNorm,
    nn.BatchNorm3d: nn.SyncBatchNorm,
    BatchNormAct2d: SyncBatchNormAct,
}


def synchronise_batchnorm(model: nn.Module, device: torch.device) -> nn.Module:
    """Let every norm of `model` take its statistics over all ranks, in place; weights, buffers and names stay.

    Raises UserError for a layer that keeps statistics of the batch and is none of torch's BatchNorms nor timm's: what
    its own code does with them cannot be known.
    """
    classes = _ON_CUDA if device.type == "cuda" else _ON_CPUS
    done = (*_ON_CPUS.values(), *_ON_CUDA.values())
    for name, module in model.named_modules():
        kind = type(module)
        if kind in classes:
            module.__class__ = classes[kind]
            if device.type == "cuda":
                module.process_group = None  # the whole world: what SyncBatchNorm's constructor sets
        elif keeps_statistics(module) and kind not in done:
            raise UserError(
                f"{name} is a {kind.__name__}, whose statistics of the batch cannot be taken over several processes\n"
                "set recipe.batchnorm=local (each process then takes its own), or train in one process"
            )
    return model
