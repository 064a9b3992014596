"""Multiply-accumulates of one image: convolutions, linear layers and both attention products, on every device.

One multiply-accumulate (MAC) is two FLOPs. The products are counted where torch dispatches them, so it does not matter
how a model spells them: a `Conv2d`, `F.linear`, `@`, `einsum` or a fused attention kernel of any backend. Element-wise
work, norms, pooling, softmax and sums over a neighbourhood (the Outlooker's nine taps) are not products of matrices and
are not counted. Formulas: an output element of a convolution takes C_in / groups * k_h * k_w MACs, one of a product of
(M, K) and (K, N) takes K; attention over L queries and S keys of width E with values of width V takes L * S * (E + V)
per head.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from levelfield.module_mode import evaluation_mode
from levelfield.without_compiler import compiler_is_loaded, put_off_mark

KINDS: Final = ("convolution", "depthwise_convolution", "linear", "attention")
"""Spatial convolutions; those with one input channel a group; linear layers and 1x1 convolutions (a linear layer at
every pixel, whichever way it is written); products of two activations."""

QUICK: Final = 10**12
"""Parameters times pixels up to which one image is computed sooner than the compiler is loaded. Networks compute a 15th
of that or less in multiply-accumulates: a second on one core at the most, mostly milliseconds."""


@dataclass(frozen=True)
class MacCount:
    """Raw multiply-accumulates: `total`, and `by_kind` with the keys of `KINDS` (kinds that do not occur are 0)."""

    total: int
    by_kind: dict[str, int]

    @property
    def flops(self) -> int:
        """Floating-point operations: two a multiply-accumulate."""
        return 2 * self.total


def _convolution(args: tuple[Any, ...], out: Tensor) -> tuple[str, int]:
    x, weight, transposed, groups = args[0], args[1], args[6], args[8]
    taps = math.prod(weight.shape[2:])
    if transposed:
        macs = x.numel() * weight.shape[1] * taps
    else:
        macs = out.numel() * weight.shape[1] * taps
    if groups > 1 and weight.shape[1] == 1:
        return "depthwise_convolution", macs
    return ("linear" if taps == 1 else "convolution"), macs


def _product(first: int) -> Callable[[tuple[Any, ...], Tensor], tuple[str, int]]:
    """A product (..., M, K) x (..., K, N) whose factors are arguments `first` and `first` + 1.

    Matrices, or a factor that is a view of a weight, make a linear layer; two batches of activations make attention.
    """

    def count(args: tuple[Any, ...], out: Tensor) -> tuple[str, int]:
        left, right = args[first : first + 2]
        weighted = any(isinstance(factor._base, nn.Parameter) for factor in (left, right))
        return ("linear" if left.dim() < 3 or weighted else "attention"), out.numel() * left.shape[-1]

    return count


def _inner(args: tuple[Any, ...], out: Tensor) -> tuple[str, int]:
    return "linear", args[0].numel()


def _attention(args: tuple[Any, ...], out: object) -> tuple[str, int]:
    query, key, value = args[:3]  # (B, heads, L, E), (B, heads, S, E), (B, heads, S, V)
    batch, heads, length, width = query.shape
    return "attention", batch * heads * length * key.shape[-2] * (width + value.shape[-1])


_FORMULAS: Final[Mapping[str, Callable[[tuple[Any, ...], Any], tuple[str, int]]]] = {
    "convolution": _convolution,
    "mm": _product(0),
    "bmm": _product(0),
    "addmm": _product(1),
    "_addmm_activation": _product(1),
    "baddbmm": _product(1),
    "addbmm": lambda args, out: ("attention", args[1].numel() * args[2].shape[-1]),
    "mv": _product(0),
    "addmv": _product(1),
    "dot": _inner,
    "vdot": _inner,
    "_scaled_dot_product_flash_attention": _attention,
    "_scaled_dot_product_flash_attention_for_cpu": _attention,
    "_scaled_dot_product_efficient_attention": _attention,
    "_scaled_dot_product_cudnn_attention": _attention,
    "_scaled_dot_product_fused_attention_overrideable": _attention,
}


class MacCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Context that counts the multiply-accumulates of whatever runs inside (any batch; gradients off).

    Example: ``with MacCounter() as counter: model(x)`` and then ``counter.count()``.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        put_off_mark(MacCounter.__torch_dispatch__)
        self._by_kind = dict.fromkeys(KINDS, 0)

    def count(self) -> MacCount:
        """What was counted so far."""
        return MacCount(sum(self._by_kind.values()), dict(self._by_kind))

    def __enter__(self) -> MacCounter:
        # With gradients and inference mode off, torch splits composite operators (conv2d, linear, matmul, einsum,
        # attention) into the few that have formulas. The fast path of nn.MultiheadAttention is one opaque operator:
        # switched off.
        self._outside = ExitStack()
        self._outside.callback(torch.backends.mha.set_fastpath_enabled, torch.backends.mha.get_fastpath_enabled())
        torch.backends.mha.set_fastpath_enabled(False)
        self._outside.enter_context(torch.inference_mode(False))
        self._outside.enter_context(torch.no_grad())
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        self._outside.close()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if func.namespace == "aten" and (formula := _FORMULAS.get(func._opname)) is not None:
            kind, macs = formula(args, out)
            self._by_kind[kind] += macs
        return out


def count_macs(model: nn.Module, image_size: int) -> MacCount:
    """Count the multiply-accumulates of `model` on one image (1, 3, image_size, image_size), in evaluation mode.

    Runs on the meta device (shapes only: no arithmetic), or, where a model's path hangs on values, on its own device.
    torch computes shapes by what its compiler does so with, which takes longer to load than a small network to run: as
    long as nobody has loaded it, a network that is `QUICK` runs on its own device first. Neither the model's mode nor
    its buffers nor the state of torch's generators change. Errors of the forward itself are raised.
    """
    model = getattr(model, "_orig_mod", model)  # a compiled model's own code is opaque
    floating = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0))
    parameters, buffers = _slots(model, "_parameters"), _slots(model, "_buffers")
    shape = (1, 3, image_size, image_size)

    def on_meta() -> MacCount:
        meta = _each_once(parameters, lambda p: nn.Parameter(p.to("meta"), False))
        meta |= _each_once(buffers, lambda buffer: buffer.to("meta"))
        return _count(model, meta, torch.empty(shape, dtype=floating.dtype, device="meta"))

    def on_its_own() -> MacCount:
        own = parameters | _each_once(buffers, Tensor.clone)
        with torch.random.fork_rng([floating.device] if floating.device.type == "cuda" else []):
            return _count(model, own, torch.zeros(shape, dtype=floating.dtype, device=floating.device))

    quick = sum(p.numel() for p in model.parameters()) * image_size**2 <= QUICK
    first, second = (on_its_own, on_meta) if quick and not compiler_is_loaded() else (on_meta, on_its_own)
    with evaluation_mode(model):
        try:
            return first()
        except (RuntimeError, TypeError):  # a value was asked for, a tensor that is no buffer met the meta device, or
            return second()  # the device has no such operator


def _slots(model: nn.Module, kind: str) -> dict[str, Tensor]:
    """Every place that holds a parameter (`_parameters`) or a buffer (`_buffers`), under one name each.

    A module that hangs in the network twice has one place, which swapped twice would not get its own tensor back; a
    tensor that is tied has several, all of which have to be swapped.
    """
    return {
        f"{prefix}.{key}" if prefix else key: tensor
        for prefix, module in model.named_modules()
        for key, tensor in getattr(module, kind).items()
        if tensor is not None
    }


def _each_once(tensors: dict[str, Tensor], change: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
    """`change` of every tensor; tied ones stay tied."""
    changed = {id(tensor): change(tensor) for tensor in tensors.values()}
    return {name: changed[id(tensor)] for name, tensor in tensors.items()}


def _count(model: nn.Module, state: dict[str, Tensor], image: Tensor) -> MacCount:
    with MacCounter() as counter:
        torch.func.functional_call(model, state, (image,), tie_weights=False)
    return counter.count()
