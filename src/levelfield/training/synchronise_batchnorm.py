"""A network's norms made to take their statistics over all ranks, whether they are torch's or timm's.

A norm is converted by giving it another class, and nothing else: its weights, buffers, name, hooks and (timm's
`BatchNormAct2d`) its dropout and activation stay, a copy of it is converted too, and its state dict reads back into the
network as it was. On CUDA the class is torch's `SyncBatchNorm` or timm's form of it with the activation; torch's takes
CUDA tensors only, so CPUs have classes of their own.
"""

from __future__ import annotations

import sys
from typing import Final

import torch
from torch import nn

from levelfield.errors import UserError
from levelfield.module_mode import keeps_statistics
from levelfield.training.batchnorm_over_processes import GlobalBatchNorm1d, GlobalBatchNorm2d, GlobalBatchNorm3d

_ON_CPUS: Final[dict[type[nn.Module], type[nn.Module]]] = {
    nn.BatchNorm1d: GlobalBatchNorm1d,
    nn.BatchNorm2d: GlobalBatchNorm2d,
    nn.BatchNorm3d: GlobalBatchNorm3d,
}
_ON_CUDA: Final[dict[type[nn.Module], type[nn.Module]]] = {
    nn.BatchNorm1d: nn.SyncBatchNorm,
    nn.BatchNorm2d: nn.SyncBatchNorm,
    nn.BatchNorm3d: nn.SyncBatchNorm,
}


def _classes() -> tuple[dict[type[nn.Module], type[nn.Module]], dict[type[nn.Module], type[nn.Module]]]:
    """Which class becomes which, on CPUs and on CUDA; timm's too where timm is loaded, as else no network has it."""
    if "timm.layers" not in sys.modules:
        return _ON_CPUS, _ON_CUDA
    from levelfield.training.batchnorm_of_timm import BatchNormAct2d, GlobalBatchNormAct2d, SyncBatchNormAct

    return {**_ON_CPUS, BatchNormAct2d: GlobalBatchNormAct2d}, {**_ON_CUDA, BatchNormAct2d: SyncBatchNormAct}


def synchronise_batchnorm(model: nn.Module, device: torch.device) -> nn.Module:
    """Let every norm of `model` take its statistics over all ranks, in place; weights, buffers and names stay.

    Raises UserError for a layer that keeps statistics of the batch and is none of torch's BatchNorms nor timm's: what
    its own code does with them cannot be known.
    """
    on_cpus, on_cuda = _classes()
    classes = on_cuda if device.type == "cuda" else on_cpus
    done = (*on_cpus.values(), *on_cuda.values())
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
