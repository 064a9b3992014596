"""Who reads what in a forward pass: every call of a module, and every operator that is given a tensor."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from levelfield.models.watch_calls import watching
from levelfield.without_compiler import put_off_mark


@dataclass
class Call:
    """A call of `module` with one tensor, or with something else (`given` None), between two moments of the pass."""

    module: nn.Module
    given: Tensor | None
    begin: int
    end: int = 0
    made: Any = None


@dataclass
class Reads:
    """What `watch` saw: the calls of each module, in order; by `id` of a tensor the moments at which an operator was
    given it, each with the innermost module that called the operator (None outside of all).
    """

    calls: dict[nn.Module, list[Call]] = field(default_factory=dict)
    of: dict[int, list[tuple[int, nn.Module | None]]] = field(default_factory=dict)

    def once(self, module: nn.Module) -> Call | None:
        """The call of `module`, with one tensor and making one, where there was exactly one."""
        calls = self.calls.get(module, [])
        plain = len(calls) == 1 and calls[0].given is not None and isinstance(calls[0].made, Tensor)
        return calls[0] if plain else None

    def only_readers(self, call: Call) -> Iterator[Call]:
        """Calls of modules that are called once and read what `call` made, which nothing outside of them reads.

        More than one where a call lies inside another. What a module wrote over what it was given is another value.
        """
        moments = [when for when, _ in self.of.get(id(call.made), []) if when > call.end]
        for calls in self.calls.values():
            for each in calls:
                over = each.made is call.made
                alone = all(each.begin < when < each.end or (over and when > each.end) for when in moments)
                if each.given is call.made and each.begin > call.end and alone and self.once(each.module) is each:
                    yield each

    def readers(self, tensor: Tensor) -> set[nn.Module | None]:
        """The modules whose own operators were given `tensor`."""
        return {module for _, module in self.of.get(id(tensor), [])}


class _Operators(TorchDispatchMode):
    """Tells every tensor that an operator is given."""

    def __init__(self, told: Callable[[Tensor], None]) -> None:
        super().__init__()
        put_off_mark(_Operators.__torch_dispatch__)
        self._told = told

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        for value in tree_leaves((args, dict(kwargs or {}))):
            if isinstance(value, Tensor):
                self._told(value)
        return func(*args, **(kwargs or {}))


def watch(model: nn.Module, images: Tensor) -> Reads:
    """What is read in a forward pass of `model` in its present mode. Every tensor that a module was given or made is
    kept, so that none takes the place of another in memory. While it is watched, no fast form of ours computes.
    """
    seen = Reads()
    inside: list[Call] = []
    clock = itertools.count()

    def enter(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        given = inputs[0] if len(inputs) == 1 and isinstance(inputs[0], Tensor) else None
        inside.append(Call(module, given, next(clock)))

    def leave(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        call = inside.pop()
        call.end, call.made = next(clock), output
        seen.calls.setdefault(module, []).append(call)

    def read(tensor: Tensor) -> None:
        seen.of.setdefault(id(tensor), []).append((next(clock), inside[-1].module if inside else None))

    with watching(model.modules(), leave, enter), _Operators(read):
        logits = model(images)
    for tensor in tree_leaves(logits):
        if isinstance(tensor, Tensor):
            read(tensor)  # by whoever asked for it
    return seen
