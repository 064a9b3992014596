"""The linear layer, and GELU after it.

In bfloat16 on CPUs oneDNN computes it, which adds the bias as it writes the product. torch's own layer writes the bias
to the whole output, and then adds the product to it: twice the time where the output is wide.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from levelfield import native


def linear(x: Tensor, weight: Tensor, bias: Tensor | None, gelu: bool = False) -> Tensor:
    """The linear layer (..., I) to (..., O) with weight (O, I) and bias (O), then GELU where asked for.

    Where no gradients are wanted, GELU costs no pass of its own in bfloat16.
    """
    x = native.as_layers_get_it(x)
    on_cpu = x.device.type == "cpu"
    if on_cpu and x.dtype is torch.bfloat16 and native.unobserved(x) and onednn_multiplies_bf16():
        if gelu and not torch.is_grad_enabled():
            return _product(x, weight, bias, gelu)
        y: Tensor = _Linear.apply(x, weight, bias)
    else:
        y = F.linear(x, weight, bias)
    return F.gelu(y) if gelu else y


def onednn_multiplies_bf16() -> bool:
    """Whether torch was built with oneDNN and the processor has what its bfloat16 needs."""
    return torch.backends.mkldnn.is_available() and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _product(x: Tensor, weight: Tensor, bias: Tensor | None, gelu: bool = False) -> Tensor:
    weight, bias = weight.to(x.dtype), None if bias is None else bias.to(x.dtype)
    out: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "gelu" if gelu else "none", [], "none")
    return out


def _column_sums(rows: Tensor) -> Tensor:
    if not native.usable(rows):
        return rows.sum(0)
    sums = rows.new_empty(rows.shape[1], dtype=torch.float32)
    native.call("lf_column_sums", rows.contiguous(), sums, *rows.shape)
    return sums


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        lower = weight.to(x.dtype)
        ctx.save_for_backward(x, lower)
        ctx.dtypes = weight.dtype, None if bias is None else bias.dtype
        return _product(x, lower, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        of_weight, of_bias = ctx.dtypes
        rows = grad.reshape(-1, weight.shape[0])
        dx = dweight = dbias = None
        if ctx.needs_input_grad[0]:
            dx = (rows @ weight).view(x.shape)
        if ctx.needs_input_grad[1]:
            dweight = (rows.t() @ x.reshape(-1, weight.shape[1])).to(of_weight)
        if ctx.needs_input_grad[2]:
            dbias = _column_sums(rows).to(of_bias)
        return dx, dweight, dbias
