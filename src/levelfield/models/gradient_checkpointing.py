"""Gradient checkpointing (arXiv 1604.06174) that changes no number: blocks keep their inputs and are computed again.

torch's `checkpoint` repeats the dropout of the first pass; what it leaves to the caller is state that a forward pass
moves. BatchNorm's statistics would move twice a step. Here the second pass works on the buffers as the first found
them, and what it makes of them is thrown away: gradients, weights and buffers are those of training without it, to the
bit where arithmetic is.

A block is switched by giving it another class, of the same name and with another `forward`: parameters, buffers, names
and hooks stay, and a copy of the block is switched too. In evaluation, and where no gradient is wanted, it is computed
once, as ever.
"""

from __future__ import annotations

import functools
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from levelfield.errors import UserError
from levelfield.models.network_parts import blocks


def checkpoint_gradients(model: nn.Module, enable: bool = True) -> None:
    """Trade time for memory in training: `blocks(model)` keep their inputs only and are computed again backwards.

    Exact for every network. Raises UserError for one without blocks.
    """
    parts = blocks(model)
    if enable and not parts:
        raise UserError(
            f"{type(model).__name__} has no blocks whose inputs could be kept in place of all that they compute\n"
            "leave execution.gradient_checkpointing off for it, or build it of modules that hold several layers"
        )
    for block in parts.values():
        switched = getattr(type(block), "_recomputes", None)
        if enable and switched is None:
            block.__class__ = _recomputing(type(block))  # type: ignore[arg-type]
        elif not enable and switched is not None:
            block.__class__ = switched


@functools.cache
def _recomputing(kind: type[nn.Module]) -> type[nn.Module]:
    """A class like `kind` whose training forward is recomputed; `_recomputes` is the class that it stands for."""

    def forward(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        def plain(*args: Any, **kwargs: Any) -> Any:
            return kind.forward(self, *args, **kwargs)

        if not (self.training and torch.is_grad_enabled()):
            return plain(*args, **kwargs)
        args = tuple(list(value) if isinstance(value, list) else value for value in args)  # the caller may append
        if torch.compiler.is_compiling():  # the compiler keeps what moves buffers apart from what it computes again
            return checkpoint(plain, *args, use_reentrant=False, **kwargs)
        return checkpoint(plain, *args, use_reentrant=False, context_fn=lambda: _passes(self), **kwargs)

    own = {"forward": forward, "_recomputes": kind, "__module__": kind.__module__}
    return type(kind.__name__, (kind,), own)


def _passes(block: nn.Module) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """What surrounds the first pass of `block` (nothing), and its second: the buffers as the first pass finds them."""
    found = [
        (module, name, buffer.clone())
        for module in block.modules()
        for name, buffer in module.named_buffers(recurse=False)
        if name not in module._non_persistent_buffers_set
    ]
    return nullcontext(), _Instead(found)


class _Instead(AbstractContextManager[None]):
    """Inside, each module has a copy of the given value of its buffer; afterwards its own buffer again, untouched."""

    def __init__(self, values: list[tuple[nn.Module, str, Tensor]]) -> None:
        self.values = values
        self.own: list[Tensor | None] = []

    def __enter__(self) -> None:
        self.own = [module._buffers[name] for module, name, _ in self.values]
        for module, name, value in self.values:
            module._buffers[name] = value.clone()

    def __exit__(self, *_: object) -> None:
        for (module, name, _value), buffer in zip(self.values, self.own, strict=True):
            module._buffers[name] = buffer
