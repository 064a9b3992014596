"""Taking reductions out of a network's first layers: a stride, a pool, the size of a patch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from levelfield.models.adapt_timm.find_downsampling import Reducer, Trace

_POOLS = (nn.MaxPool2d, nn.AvgPool2d)


@dataclass(frozen=True)
class Change:
    """One thing that was done to a model, and the reason."""

    what: str
    why: str


class CannotRelaxError(Exception):
    """The network's first layers do not yield the wanted factor; the message says why."""


def is_patchify(module: nn.Module) -> bool:
    """Whether it is a convolution whose windows do not overlap: a patch embedding."""
    return isinstance(module, nn.Conv2d) and module.kernel_size == module.stride and module.stride[0] > 1


def relax(model: nn.Module, trace: Trace, factor: int, stem_only: bool, why: str) -> list[Change]:
    """Take `factor` out of the first levels of `trace`, that of `model` or of its twin. Raises CannotRelaxError."""
    changes: list[Change] = []
    remaining = factor
    for place, level in enumerate(trace.levels):
        if remaining == 1 or (stem_only and place >= trace.stem):
            break
        if not stem_only and not all(_can_weaken(reducer.module) for reducer in level):
            continue
        here = min(reducer.factor for reducer in level)
        while here > 1 and remaining % here:
            here //= 2
        if here > 1:
            changes += [_weaken(model, reducer, here, why) for reducer in level]
            remaining //= here
    if remaining > 1:
        where = "before its first branch" if stem_only else "anywhere"
        raise CannotRelaxError(f"no reduction of {factor} {where} that can be taken out")
    return changes


def resize_patch(model: nn.Module, reducer: Reducer, patch: int, why: str) -> Change:
    """Give a patch embedding (kernel = stride) the size `patch`, in place."""
    old = model.get_submodule(reducer.name)
    assert isinstance(old, nn.Conv2d)
    replace_module(model, reducer.name, _with_kernel(old, patch, patch, 0))
    owner: Any = model.get_submodule(reducer.name.rpartition(".")[0])
    before = old.stride[0]
    if getattr(owner, "patch_size", None) in (before, (before, before)):
        owner.patch_size = (patch, patch) if isinstance(owner.patch_size, tuple) else patch
    return Change(f"{reducer.name}: patch {before} to {patch}", why)


def _can_weaken(module: nn.Module) -> bool:
    return isinstance(module, (nn.Conv2d, *_POOLS)) or type(module).__name__ in {"BlurPool2d", "AvgPool2dSame"}


def _weaken(model: nn.Module, reducer: Reducer, factor: int, why: str) -> Change:
    name = reducer.name
    module = model.get_submodule(name)
    if is_patchify(module):
        return resize_patch(model, reducer, reducer.factor // factor, why)
    if isinstance(module, nn.Conv2d):
        return _weaken_convolution(model, module, name, factor, why)
    if _can_weaken(module):
        if reducer.factor != factor:
            raise CannotRelaxError(f"{name} pools by {reducer.factor}, of which {factor} cannot be taken")
        replace_module(model, name, nn.Identity())
        return Change(f"{name}: pool taken out", why)
    raise CannotRelaxError(f"{name} ({type(module).__name__}) shrinks the map in a way that cannot be relaxed")


def _weaken_convolution(model: nn.Module, module: nn.Conv2d, name: str, factor: int, why: str) -> Change:
    old_stride, kernel, padding = module.stride[0], module.kernel_size[0], module.padding
    stride = old_stride // factor
    if old_stride % factor:
        raise CannotRelaxError(f"{name} has stride {old_stride}, of which {factor} cannot be taken")
    if kernel % 2 == 0 and padding != (0, 0):
        if stride % 2 == 0:  # the padding that keeps the output at side / stride
            module.stride, module.padding = (stride, stride), ((kernel - stride) // 2, (kernel - stride) // 2)
        else:
            replace_module(model, name, _with_kernel(module, kernel - 1, stride, (kernel - 2) // 2))
            return Change(f"{name}: stride {old_stride} to {stride}, kernel {kernel} to {kernel - 1}", why)
    module.stride = (stride, stride)
    return Change(f"{name}: stride {old_stride} to {stride}", why)


def _with_kernel(old: nn.Conv2d, kernel: int, stride: int, padding: int) -> nn.Conv2d:
    return nn.Conv2d(
        old.in_channels, old.out_channels, kernel, stride, padding, groups=old.groups, bias=old.bias is not None,
        device=old.weight.device, dtype=old.weight.dtype,
    )  # fmt: skip


def replace_module(model: nn.Module, name: str, new: nn.Module) -> None:
    """Put `new` in the place of the module of that dotted name."""
    parent, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(parent), leaf, new)
