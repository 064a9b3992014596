"""The compiled forms of inner loops, of networks and of augmentation: whether one may compute, and the call.

`library()` is None where there is none (`libraries.py`); callers then compute the same in plain torch.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from levelfield.native.libraries import build, library, library_path

__all__ = [
    "as_layers_get_it", "build", "call", "call_on_bytes", "computed_in", "float32_on_cpu", "has_wide_vectors",
    "library", "library_path", "unobserved", "usable", "usable_as_operator", "usable_on_bytes",
]  # fmt: skip

SOURCE: Final = Path(__file__).with_name("outgrid.cpp")
NAME_ENDS: Final = {torch.float32: "", torch.bfloat16: "_bf16"}
"""How the name of a C++ function ends, by what the maps are stored in."""
MAX_TOKENS: Final = 64
MAX_HEADS: Final = 64


def has_wide_vectors() -> bool:
    """Whether the library was built for a processor with 512-bit registers."""
    found = library()
    return found is not None and bool(found.lf_has_wide_vectors())


def _built() -> bool:
    """Whether there is a library: the compiler, which cannot follow the search for it, asks once."""
    return library() is not None


# The mark that torch.compiler.assume_constant_result leaves; calling that would load the compiler for every program.
_built._dynamo_marked_constant = True  # type: ignore[attr-defined]


def computed_in(x: Tensor) -> torch.dtype | None:
    """The dtype that a layer computes in on a CPU, given x: autocast's where it is on, else that of x.

    None where x is elsewhere, or where autocast would change its dtype on the way.
    """
    if x.device.type != "cpu":
        return None
    if torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") is not x.dtype:
        return None
    return x.dtype


def as_layers_get_it(x: Tensor) -> Tensor:
    """x as a convolution or a linear layer gets it on a CPU: in autocast's dtype where that is on."""
    if x.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
        return x.to(torch.get_autocast_dtype("cpu"))
    return x


def float32_on_cpu(x: Tensor) -> bool:
    """Whether x is float32 on a CPU, and what is computed from it stays so."""
    return computed_in(x) is torch.float32


def usable_as_operator(x: Tensor) -> bool:
    """Whether a C++ form that is an operator of torch's may compute on x: `usable`, or in a network being compiled.

    Not where it is exported: that program is plain torch, to be loaded without levelfield.
    """
    if not torch.compiler.is_compiling():
        return usable(x)
    return not torch.compiler.is_exporting() and computed_in(x) in NAME_ENDS and x.numel() > 0 and _built()


def usable(x: Tensor) -> bool:
    """Whether a C++ form may compute on x: built, a plain float32 or bfloat16 CPU tensor that is not empty and whose
    dtype autocast leaves alone, and nobody traces or watches.
    """
    return computed_in(x) in NAME_ENDS and unobserved(x) and library() is not None


def usable_on_bytes(images: Tensor) -> bool:
    """Whether a C++ form may compute on uint8 images: built, and they lie on a CPU, in order, and are not empty."""
    return images.device.type == "cpu" and images.is_contiguous() and unobserved(images) and library() is not None


def unobserved(x: Tensor) -> bool:
    """Whether x is a plain tensor that is not empty, and nobody traces or watches what is computed of it."""
    return (
        not torch.compiler.is_compiling()
        and type(x) is Tensor
        and x.numel() > 0
        and not torch.jit.is_tracing()  # type: ignore[attr-defined,no-untyped-call]
        and not torch._C._are_functorch_transforms_active()
        and torch._C._len_torch_dispatch_stack() == 0
        and torch._C._len_torch_function_stack() == 0
    )


def call(name: str, *arguments: Tensor | int | float | None) -> None:
    """Call the library's function `name` with contiguous tensors and numbers, on torch's number of threads.

    The first argument is a map, and its dtype says of which: all maps are of it, other tensors float32.
    """
    found = library()
    assert found is not None and isinstance(arguments[0], Tensor)
    _run(getattr(found, name + NAME_ENDS[arguments[0].dtype]), arguments)


def call_on_bytes(name: str, *arguments: Tensor | int) -> None:
    """Call the library's function `name` of images in bytes with contiguous tensors and numbers, as `call` does."""
    _run(getattr(library(), name), arguments)


def _run(function: Callable[..., object], arguments: Iterable[Tensor | int | float | None]) -> None:
    function(*map(_as_c, arguments), ctypes.c_int(torch.get_num_threads()))


def _as_c(value: Tensor | int | float | None) -> ctypes.c_int | ctypes.c_float | ctypes.c_void_p:
    if isinstance(value, int):
        return ctypes.c_int(value)
    if isinstance(value, float):
        return ctypes.c_float(value)
    return ctypes.c_void_p(None if value is None else value.data_ptr())
