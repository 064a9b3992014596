"""Layers whose weights were brought into oneDNN's form once, and that compute what follows them as they write.

torch's own layers convert weights to bfloat16 and bring them into the form that oneDNN multiplies at every call. After
the product oneDNN adds the bias, adds another map where there is one, and computes the activation, in float32 and
before anything is written.
"""

from __future__ import annotations

import sys
from typing import Any, Final

import torch
from torch import Tensor, nn

from levelfield.models.kernels.map_mean import map_mean
from levelfield.models.layers import ChannelLinear, Convolution, Depthwise, PlainPointwise, Pointwise, TokenLinear

CONVOLUTIONS: Final = (nn.Conv2d, Convolution, Pointwise, PlainPointwise, Depthwise)
LINEAR: Final = (nn.Linear, ChannelLinear, TokenLinear)
"""Layers that compute nothing but a convolution or a linear map of their weights: these classes, none derived."""

PostOperation = tuple[str, str]
"""oneDNN's name of an activation, and of the way to compute it."""
NOTHING: Final[PostOperation] = ("none", "")
RELU: Final[PostOperation] = ("relu", "")
GELU: Final[PostOperation] = ("gelu", "none")


def post_operation(act: nn.Module) -> PostOperation | None:
    """oneDNN's names of an activation, of exactly these classes; None for what it does not know."""
    kind = type(act)
    if kind is nn.GELU:
        assert isinstance(act, nn.GELU)
        return "gelu", act.approximate
    timm: Any = sys.modules.get("timm.layers.activations")
    if timm is not None and kind is timm.GELU:
        return GELU
    known: dict[type, PostOperation] = {nn.ReLU: RELU, nn.SiLU: ("swish", "")}
    return known.get(kind)


def can_pack(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether oneDNN multiplies in `dtype` on `device`, and this torch has what brings weights into its form."""
    operators = ("_convolution_pointwise", "_linear_pointwise", "_reorder_linear_weight")
    if device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    if not all(hasattr(torch.ops.mkldnn, name) for name in operators):
        return False
    if dtype is torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return dtype is torch.float32


class MapMean(nn.Module):
    """The mean over the map: (B, C, H, W) to (B, C, 1, 1)."""

    def forward(self, x: Tensor) -> Tensor:
        return map_mean(x)


class PackedConv2d(nn.Module):
    """A convolution with other weights and `activation` after it: (B, C, H, W) to (B, O, H', W').

    `shape` is that of the batches which it is made for; others are computed too.
    """

    computes_gelu = True

    def __init__(
        self, layer: nn.Conv2d, weight: Tensor, bias: Tensor | None, dtype: torch.dtype, shape: tuple[int, ...]
    ) -> None:
        super().__init__()
        assert not isinstance(layer.padding, str)
        self.in_channels, self.out_channels = layer.in_channels, layer.out_channels  # networks ask their layers
        self.kernel_size, self.stride, self.padding = layer.kernel_size, layer.stride, layer.padding
        self.dilation, self.groups = layer.dilation, layer.groups
        self.geometry = ([*layer.padding], [*layer.stride], [*layer.dilation], layer.groups)
        self.dtype, self.activation = dtype, NOTHING
        dense = weight.to(dtype).contiguous().to_mkldnn()
        self.weight: Tensor = torch.ops.aten.mkldnn_reorder_conv2d_weight(dense, *self.geometry, [*shape])
        self.bias = None if bias is None else bias.to(dtype)

    def forward(self, x: Tensor, gelu: bool = False, plus: Tensor | None = None, relu: bool = False) -> Tensor:
        """The convolution, then `plus` (B, O, H', W') added, then an activation: the layer's own, GELU or ReLU."""
        name, algorithm = RELU if relu else GELU if gelu else self.activation
        if plus is not None:
            return self._sum(x.to(self.dtype), plus, relu)
        out: Tensor = torch.ops.mkldnn._convolution_pointwise(
            x.to(self.dtype), self.weight, self.bias, *self.geometry, name, [], algorithm
        )
        return out

    def _sum(self, x: Tensor, plus: Tensor, relu: bool) -> Tensor:
        if plus.dtype is not self.dtype:  # a wider residual stream stays as wide
            y = self.forward(x) + plus
            return y.relu_() if relu else y
        out: Tensor = torch.ops.mkldnn._convolution_pointwise.binary(
            x, plus, self.weight, self.bias, *self.geometry, "add", 1.0, "relu" if relu else None, [], None
        )
        return out


class PackedLinear(nn.Module):
    """A linear layer with other weights and `activation` after it: (..., I) to (..., O), made for so many `rows`."""

    computes_gelu = True

    def __init__(self, weight: Tensor, bias: Tensor | None, dtype: torch.dtype, rows: int) -> None:
        super().__init__()
        self.out_features, self.in_features = weight.shape
        self.dtype, self.activation = dtype, NOTHING
        self.weight: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.to(dtype).contiguous(), rows)
        self.bias = None if bias is None else bias.to(dtype)

    def forward(self, x: Tensor, gelu: bool = False, relu: bool = False) -> Tensor:
        name, algorithm = RELU if relu else GELU if gelu else self.activation
        out: Tensor = torch.ops.mkldnn._linear_pointwise(x.to(self.dtype), self.weight, self.bias, name, [], algorithm)
        return out
