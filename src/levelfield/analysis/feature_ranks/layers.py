"""A network's layers as they are called: a convolution or linear map, and where its features leave it.

A layer ends after its non-linearity: with the last of what is called straight after the map on its output alone (norm,
non-linearity, dropout), be it a module or a function. So a network that calls `F.relu` and one that holds an `nn.ReLU`
have the same layers, and so has one whose norm holds its activation. Permuting axes in between changes nothing. A sum,
a product of two features or a pool ends a layer before it.

Calls are numbered in the order of the forward pass, which is the same for every batch in evaluation mode: the layers
are found on one image, and read at the same numbers on all others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from levelfield.models.layers import NONLINEARITIES

NORMS: Final = {"batch_norm", "group_norm", "instance_norm", "layer_norm", "rms_norm"}
_MOVES: Final = {"contiguous", "flatten", "permute", "transpose"}
_FUNCTIONS: Final = NONLINEARITIES | NORMS | _MOVES
_NORM_MODULES = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm)
_LINEAR_MODULES = (nn.Conv2d, nn.Linear)


@dataclass
class Layer:
    """`starts`: numbers of the calls of `module`. `ends`: number of the call that ends the layer -> channel axis.

    `end` names what ends it: the function, or the class of the module.
    """

    name: str
    module: nn.Module
    end: str
    starts: set[int] = field(default_factory=set)
    ends: dict[int, int] = field(default_factory=dict)


@dataclass
class _Tail:
    """The tensor that a layer so far ends with, kept so that no id is used twice; its version counts changes in place.

    `number` is of the call that gave the layer its end, `axis` that of the channels.
    """

    tensor: Tensor
    version: int
    layer: Layer
    number: int
    axis: int


Before = Callable[[tuple[Any, ...]], None]
"""What is told before a call: its arguments."""
After = Callable[[int, nn.Module | str, tuple[Any, ...], Any], None]
"""What is told of a call: its number, the module or the function's name, its arguments, its output."""


class _Functions(TorchFunctionMode):
    """Sees calls of functions; `after` gets the name without the underscore of in-place forms."""

    def __init__(self, before: Before, after: Callable[[str, tuple[Any, ...], Any], None]) -> None:
        super().__init__()
        self.before, self.after = before, after

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "").rstrip("_")
        if name not in _FUNCTIONS:
            return func(*args, **kwargs)
        given = (*args, *kwargs.values())
        self.before(given)
        output = func(*args, **kwargs)
        self.after(name, given, output)
        return output


@contextmanager
def calls(model: nn.Module, after: After, before: Before = lambda inputs: None) -> Iterator[None]:
    """Within the context `after` (and `before`) see every call that could start or end a layer, in order.

    Modules: convolutions, linear maps, norms and all without children. Functions: norms, non-linearities, and those
    that move axes. Fused forms step aside for hooks, so the calls are the same with and without them.
    """
    numbers = count(1)

    def restart(module: nn.Module, inputs: Any) -> None:
        nonlocal numbers
        numbers = count(1)

    def leaving(what: nn.Module | str, inputs: tuple[Any, ...], output: Any) -> None:
        moved = isinstance(what, str) and what in _MOVES  # a fast form may lay a map out anew, which ends nothing
        after(0 if moved else next(numbers), what, inputs, output)

    handles = [model.register_forward_pre_hook(restart)]
    for module in _watched(model):
        handles.append(module.register_forward_pre_hook(lambda module, inputs: before(inputs)))
        handles.append(module.register_forward_hook(leaving))
    try:
        with _Functions(before, leaving):
            yield
    finally:
        for handle in handles:
            handle.remove()


def _watched(model: nn.Module) -> list[nn.Module]:
    inside_norms = {
        inner for module in model.modules() if isinstance(module, _NORM_MODULES) for inner in module.children()
    }
    return [
        module
        for module in model.modules()
        if isinstance(module, (*_LINEAR_MODULES, *_NORM_MODULES))
        or (not any(module.children()) and module not in inside_norms)
    ]


def find_layers(model: nn.Module, example: Tensor) -> list[Layer]:
    """The layers of `model`, in the order in which they are first called on `example` (1, 3, H, W)."""
    names = {module: name for name, module in model.named_modules()}
    found: dict[nn.Module, Layer] = {}
    tails: dict[int, _Tail] = {}

    def before(inputs: tuple[Any, ...]) -> None:
        tail = tails.get(id(inputs[0])) if inputs else None
        if tail is not None and tail.tensor._version != tail.version:  # a sum was taken in place: no longer it alone
            del tails[id(inputs[0])]

    def after(number: int, what: nn.Module | str, inputs: tuple[Any, ...], output: Any) -> None:
        if not isinstance(output, Tensor) or not inputs or not isinstance(inputs[0], Tensor):
            return
        if isinstance(what, _LINEAR_MODULES):
            layer = found.setdefault(what, Layer(names[what], what, type(what).__name__))
            layer.starts.add(number)
            axis = 1 if isinstance(what, nn.Conv2d) else output.ndim - 1
            layer.ends[number] = axis
            tails[id(output)] = _Tail(output, output._version, layer, number, axis)
            return
        tail = tails.get(id(inputs[0]))
        if tail is None or (output is inputs[0] and output._version == tail.version):
            return
        del tails[id(inputs[0])]
        if isinstance(what, str) and what in _MOVES:
            moved = moved_axis(tail.axis, what, inputs)
            if moved is not None:
                tails[id(output)] = _Tail(output, output._version, tail.layer, tail.number, moved)
        elif output.shape == inputs[0].shape:
            del tail.layer.ends[tail.number]
            tail.layer.ends[number] = tail.axis
            tail.layer.end = what if isinstance(what, str) else type(what).__name__
            tails[id(output)] = _Tail(output, output._version, tail.layer, number, tail.axis)

    with calls(model, after, before), torch.no_grad():
        model(example)
    return list(found.values())


def moved_axis(axis: int, function: str, arguments: tuple[Any, ...]) -> int | None:
    """Where `axis` of the first of `arguments` is in the output of `function`; None where it is merged with others."""
    ndim: int = arguments[0].ndim
    places = [place % ndim for place in _flat(arguments[1:]) if isinstance(place, int)]
    if function == "permute":
        return places.index(axis)
    if function == "transpose":
        one, other = places
        return {one: other, other: one}.get(axis, axis)
    if function == "flatten":
        start, end = (*places, *(0, ndim - 1)[len(places) :])
        if axis < start or start == end:
            return axis
        return axis - (end - start) if axis > end else None
    return axis


def _flat(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """`x.permute((0, 2, 1))` as `x.permute(0, 2, 1)`."""
    return tuple(arguments[0]) if len(arguments) == 1 and isinstance(arguments[0], (tuple, list)) else arguments
