"""BatchNorm over the global batch, on the CPU too (torch's SyncBatchNorm takes CUDA tensors only)."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F


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


class GlobalBatchNorm2d(nn.BatchNorm2d):
    """BatchNorm2d whose statistics are those of the global batch, weighted by each rank's own count."""

    def forward(self, x: Tensor) -> Tensor:
        """(b, C, H, W) of this rank -> the same shape; equal to BatchNorm2d over the ranks' concatenated batches."""
        if not self.training or not dist.is_initialized():
            return super().forward(x)
        wide = x.float()
        own = torch.cat([wide.sum((0, 2, 3)), wide.new_tensor([x.numel() / self.num_features])])
        total: Tensor = _SumOverRanks.apply(own)  # type: ignore[no-untyped-call]
        count = total[-1].detach()
        mean = total[:-1] / count
        centred = wide - mean[:, None, None]
        spread: Tensor = _SumOverRanks.apply(centred.square().sum((0, 2, 3)))  # type: ignore[no-untyped-call]
        variance = spread / count
        if self.track_running_stats and self.running_mean is not None and self.running_var is not None:
            with torch.no_grad():
                assert self.num_batches_tracked is not None
                self.num_batches_tracked += 1
                share = self.momentum if self.momentum is not None else 1.0 / float(self.num_batches_tracked)
                self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
                self.running_var.lerp_((variance * count / (count - 1)).to(self.running_var.dtype), share)
        x_hat = centred * torch.rsqrt(variance + self.eps)[:, None, None]
        if self.weight is not None:
            x_hat = x_hat * self.weight[:, None, None] + self.bias[:, None, None]
        return x_hat.to(x.dtype)


def synchronise_batchnorm(model: nn.Module, device: torch.device) -> nn.Module:
    """Replace every BatchNorm2d by one over the global batch; weights, buffers and names stay."""
    if device.type == "cuda":
        converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
        return converted
    for module in model.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = GlobalBatchNorm2d
        elif isinstance(module, nn.BatchNorm2d) and _is_fused_activation(module):
            module.forward = _with_global_statistics(module)  # type: ignore[method-assign, assignment]
    return model


def _is_fused_activation(module: nn.BatchNorm2d) -> bool:
    """timm's BatchNormAct2d: BatchNorm, then `drop` and `act` in one module."""
    return hasattr(module, "act") and hasattr(module, "drop")


def _with_global_statistics(module: nn.BatchNorm2d) -> Callable[[Tensor], Tensor]:
    norm = GlobalBatchNorm2d.forward

    def forward(x: Tensor) -> Tensor:
        if not module.training:
            x = F.batch_norm(
                x, module.running_mean, module.running_var, module.weight, module.bias, False, 0.0, module.eps
            )
        else:
            x = norm(module, x)  # type: ignore[arg-type]
        return module.act(module.drop(x))  # type: ignore[no-any-return, operator]

    return forward
