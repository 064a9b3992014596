"""Seeing the forward calls of modules while a network computes as ever."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn


@contextmanager
def watching(
    modules: Iterable[nn.Module],
    after: Callable[[nn.Module, tuple[Any, ...], Any], None],
    before: Callable[[nn.Module, tuple[Any, ...]], None] | None = None,
) -> Iterator[None]:
    """Within the context, every forward call of `modules` is told to `before` and `after` it."""
    handles = []
    for module in modules:
        if before is not None:
            handles.append(module.register_forward_pre_hook(before))
        handles.append(module.register_forward_hook(after))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
