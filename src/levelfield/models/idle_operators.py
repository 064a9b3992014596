"""Operators that have nothing to work on at an image size: found by running the network and looking at every call.

A network that was made for larger images may keep operators that do nothing at a small one, and nothing fails:

- attention (or any softmax) over one key: its weights are 1 whatever the input, so queries and keys are never trained;
- a stride greater than the side of the map: the map was used up before;
- a norm over one value: its output is its bias whatever the input.

BatchNorm is not among them, since its values are those of the batch too; torch itself refuses an InstanceNorm over one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from levelfield.models.watch_calls import watching
from levelfield.module_mode import evaluation_mode

ONE_KEY: Final = "attends to one key: its weights are 1 whatever the input"
BEYOND: Final = "has a stride greater than the side of its map"
ONE_VALUE: Final = "normalises one value: its output is its bias whatever the input"


@dataclass(frozen=True)
class Degenerate:
    """`place`: dotted name of the innermost module that makes the call ("" for the network); `what` is wrong."""

    place: str
    what: str


def degenerate_operators(model: nn.Module, image_size: int) -> list[Degenerate]:
    """What `model`, on its own device, does for nothing on images of `image_size` px, in the order of the calls."""
    found: list[Degenerate] = []
    device = next(model.parameters()).device
    names = {module: name for name, module in model.named_modules()}
    inside: list[str] = []

    def enter(module: nn.Module, inputs: Any) -> None:
        inside.append(names[module])

    def leave(module: nn.Module, inputs: Any, output: Any) -> None:
        inside.pop()

    calls = _Calls(lambda what: found.append(Degenerate(inside[-1], what)))
    with evaluation_mode(model), torch.no_grad(), watching(model.modules(), leave, enter), calls:
        model(torch.zeros(2, 3, image_size, image_size, device=device))
    return list(dict.fromkeys(found))


def in_words(found: Sequence[Degenerate]) -> list[str]:
    """A line for each kind: how many modules, and which comes first."""
    kinds = {what: [each.place for each in found if each.what == what] for what in (one.what for one in found)}
    return [
        f"{places[0]} {what}"
        if len(places) == 1
        else f"each of {len(places)} modules ({places[0]} is the first) {what}"
        for what, places in kinds.items()
    ]  # fmt: skip


class _Calls(TorchFunctionMode):
    """Tells `note` of every call of a function that has nothing to work on."""

    def __init__(self, note: Callable[[str], None]) -> None:
        super().__init__()
        self.note = note

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        check = _CHECKS.get(getattr(func, "__name__", "").lstrip("_"))
        if check is not None:
            what = check(args, kwargs)
            if what is not None:
                self.note(what)
        return func(*args, **kwargs)


def _argument(args: tuple[Any, ...], kwargs: dict[str, Any], place: int, name: str, default: Any = None) -> Any:
    return args[place] if len(args) > place else kwargs.get(name, default)


def _attention(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
    key: Tensor = _argument(args, kwargs, 1, "key")
    return ONE_KEY if key.shape[-2] == 1 else None


def _softmax(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
    x: Tensor = _argument(args, kwargs, 0, "input")
    dim = _argument(args, kwargs, 1, "dim")
    return ONE_KEY if isinstance(dim, int) and x.shape[dim] == 1 else None


def _strided(place: int, default: str | None = None) -> Callable[[tuple[Any, ...], dict[str, Any]], str | None]:
    """Of a function whose stride is its argument number `place`, and else 1, or argument number 1, named `default`."""

    def check(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
        x: Tensor = _argument(args, kwargs, 0, "input")
        stride = _argument(args, kwargs, place, "stride")
        if not stride:
            stride = _argument(args, kwargs, 1, default) if default else 1
        strides = (stride, stride) if isinstance(stride, int) else tuple(stride) * (2 // len(stride))
        return BEYOND if any(step > side for step, side in zip(strides, x.shape[-2:], strict=True)) else None

    return check


def _layer_norm(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
    return ONE_VALUE if math.prod(_argument(args, kwargs, 1, "normalized_shape")) == 1 else None


def _group_norm(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
    x: Tensor = _argument(args, kwargs, 0, "input")
    groups: int = _argument(args, kwargs, 1, "num_groups")
    return ONE_VALUE if x[0].numel() == groups else None


_CHECKS: Final[dict[str, Callable[[tuple[Any, ...], dict[str, Any]], str | None]]] = {
    "scaled_dot_product_attention": _attention,
    "softmax": _softmax,
    "conv2d": _strided(3),
    "max_pool2d": _strided(2, "kernel_size"),
    "avg_pool2d": _strided(2, "kernel_size"),
    "layer_norm": _layer_norm,
    "rms_norm": _layer_norm,
    "group_norm": _group_norm,
}
