"""Whether a fused form may compute in the place of calls of modules: nobody would see the difference."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.modules.module import _has_any_global_hook

from levelfield.models.kernels.channel_gate import PooledGate


def may_replace(*modules: nn.Module) -> bool:
    """Whether each of these is what the fused forms know, with its own forward, and has no hook, which fires only where
    it is called.

    They know an affine BatchNorm2d with running statistics in float32, SiLU, ReLU and exact GELU (no subclasses), a
    `PooledGate`, and our linear layers, whose forward computes GELU as well when it is asked to.
    """
    return not _has_any_global_hook() and all(_known(module) and not _own_hooks(module) for module in modules)


def _known(module: nn.Module) -> bool:
    kind = type(module)
    if _put_in_place(module):
        return False
    if kind is nn.BatchNorm2d:
        assert isinstance(module, nn.BatchNorm2d)
        return module.affine and module.track_running_stats and module.weight.dtype is torch.float32
    if kind is nn.GELU:
        return module.approximate == "none"
    return kind in (nn.SiLU, nn.ReLU) or kind.forward is PooledGate.forward or "computes_gelu" in vars(kind)


def is_as_its_class(module: nn.Module) -> bool:
    """Whether `module` computes what its class says, and nobody is told of its calls, nor of every module's."""
    return not (_has_any_global_hook() or _own_hooks(module) or _put_in_place(module))


def _put_in_place(module: nn.Module) -> bool:
    """Whether it has a method of its own in the place of its class's, or of the part of it that pads and convolves."""
    return not {"forward", "_conv_forward"}.isdisjoint(vars(module))


def _own_hooks(module: nn.Module) -> bool:
    return bool(
        module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks
    )
