"""A device that calls itself MPS, made of the CPU: tensors on it know no float64, no numpy and no tensor of the CPU.

For simulations only. It shows that a program keeps to what that device can do (the rules below are those that torch's
MPS backend states), not that Apple's kernels compute right.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode, resolve_name
from torch.utils._pytree import tree_leaves, tree_map

MPS = torch.device("mps", 0)
LACKS = (torch.float64, torch.complex128)
MOVES = {
    "to",
    "cpu",
    "copy_",
    "__set__",
    "set_",
    "__getitem__",
    "__setitem__",
    "type",
    "_has_compatible_shallow_copy_type",
}
"""Calls that may take tensors of both places."""


class OnMps(Tensor):
    """A tensor that lies on the pretended device; its values lie in the CPU's memory."""

    def __deepcopy__(self, memo: dict[int, Any]) -> OnMps:
        copied = self.detach().clone().as_subclass(OnMps).requires_grad_(self.requires_grad)
        if getattr(self, "_is_param", False):
            copied._is_param = True  # type: ignore[attr-defined]
        memo[id(self)] = copied
        return copied


class PretendedMps(TorchFunctionMode):
    """While it is entered, `mps` is a device. `lacking` collects what was refused."""

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(function, "__name__", "")
        if name in {"device", "_parse_to", "autocast"} and not any(isinstance(leaf, Tensor) for leaf in args):
            return function(*args, **kwargs)  # a name is read, and no tensor made
        leaves = tree_leaves((args, kwargs))
        tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        here = [tensor for tensor in tensors if isinstance(tensor, OnMps)]
        if resolve_name(function) == "torch.Tensor.device.__get__":
            return MPS if here else function(*args, **kwargs)
        if here and name in {"numpy", "pin_memory"}:
            raise TypeError(f"can't do {name} with a tensor on mps:0: use Tensor.cpu() first")
        elsewhere = [tensor for tensor in tensors if not isinstance(tensor, OnMps) and tensor.dim() > 0]
        if here and elsewhere and name not in MOVES:
            raise RuntimeError(f"{resolve_name(function)}: expected all tensors on one device, not mps:0 and cpu")
        wanted = [leaf for leaf in leaves if _is_mps(leaf)]
        to_cpu = name == "cpu" or (name == "to" and any(str(leaf) == "cpu" for leaf in leaves if _is_place(leaf)))
        args, kwargs = tree_map(lambda leaf: torch.device("cpu") if _is_mps(leaf) else leaf, (args, kwargs))
        with torch._C.DisableTorchFunctionSubclass():
            result = function(*args, **kwargs)
        if to_cpu:
            return tree_map(lambda leaf: leaf.as_subclass(Tensor) if isinstance(leaf, OnMps) else leaf, result)
        return tree_map(_placed, result) if here or wanted else result


def _is_place(leaf: object) -> bool:
    return isinstance(leaf, (str, torch.device))


def _is_mps(leaf: object) -> bool:
    return _is_place(leaf) and str(leaf) in ("mps", "mps:0")


def _placed(leaf: object) -> object:
    if not isinstance(leaf, Tensor):
        return leaf
    if leaf.dtype in LACKS:
        raise TypeError("Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64")
    return leaf if isinstance(leaf, OnMps) else leaf.as_subclass(OnMps)


@pytest.fixture
def mps(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The pretended device, entered; torch says that it is there."""
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "synchronize", lambda device: None)
    monkeypatch.setattr(torch.mps, "get_rng_state", lambda: None)
    monkeypatch.setattr(torch.mps, "set_rng_state", lambda state: None)
    before = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    with PretendedMps() as mode:
        yield mode
    torch.__future__.set_overwrite_module_params_on_conversion(before)
