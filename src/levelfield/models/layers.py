"""Layers that families share: linear maps at every pixel, LayerNorm over channels, squeeze and excite."""

from __future__ import annotations

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from levelfield.models.kernels.channel_gate import PooledGate
from levelfield.models.kernels.dense import multiplied
from levelfield.models.kernels.depthwise import KERNELS, depthwise
from levelfield.models.kernels.layer_norm import layer_norm
from levelfield.models.kernels.linear import linear
from levelfield.models.kernels.may_replace import may_replace
from levelfield.models.kernels.memory_layout import laid_out_for_kernels
from levelfield.models.kernels.norm_silu import norm_silu
from levelfield.models.kernels.pointwise import channel_linear, pointwise
from levelfield.native import as_layers_get_it

NONLINEARITIES: Final = {
    "celu", "elu", "gelu", "hardsigmoid", "hardswish", "hardtanh", "leaky_relu", "logsigmoid", "mish", "prelu", "relu",
    "relu6", "rrelu", "selu", "sigmoid", "silu", "softplus", "softsign", "tanh",
}  # fmt: skip
"""Names of torch's functions that are non-linearities, without the underscore of those in place."""


def truncated_normal(model: nn.Module) -> None:
    """Initialise convolutions and linear layers from a truncated normal (0.02), their biases with zeros."""
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.trunc_normal_(module.weight, std=0.02)
    zero_biases(model)


def he_normal(model: nn.Module) -> None:
    """Initialise convolutions as before a ReLU (arXiv 1502.01852), by what goes out; biases stay as they are."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def zero_biases(model: nn.Module) -> None:
    """Set the biases of convolutions and linear layers to zero."""
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)) and module.bias is not None:
            nn.init.zeros_(module.bias)


def lowered_to(x: Tensor, parameter: Tensor) -> Tensor:
    """`parameter`, in bfloat16 where x is: under autocast a float32 factor or summand would make x, and with it the
    network's whole residual stream, float32. (float16, whose smallest numbers are larger, is left to be promoted.)
    """
    return parameter.to(x.dtype) if x.dtype is torch.bfloat16 else parameter


class TokenNorm(nn.LayerNorm):
    """LayerNorm over the channels of (..., C)."""

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__(channels, eps=eps)

    def forward(self, x: Tensor) -> Tensor:
        return layer_norm(x, self.weight, self.bias, self.eps)


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of a map (B, C, H, W), each pixel by itself."""

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__(channels, eps=eps)

    def forward(self, x: Tensor) -> Tensor:
        return layer_norm(x.permute(0, 2, 3, 1), self.weight, self.bias, self.eps).permute(0, 3, 1, 2)


class Pointwise(nn.Conv2d):
    """A 1x1 convolution on (B, C, H, W), and GELU after it where asked for."""

    computes_gelu = True

    def __init__(self, inputs: int, outputs: int, bias: bool = True) -> None:
        super().__init__(inputs, outputs, 1, bias=bias)

    def forward(self, x: Tensor, gelu: bool = False) -> Tensor:
        return pointwise(x, self.weight, self.bias, gelu)


def _is_ordinary(layer: nn.Conv2d) -> bool:
    """Whether a layer's geometry is what torch's own constructor leaves: pairs, nothing dilated, padded with zeros."""
    pairs = all(type(value) is tuple and len(value) == 2 for value in (layer.stride, layer.padding))
    return pairs and layer.dilation == (1, 1) and layer.padding_mode == "zeros"


class Convolution(nn.Conv2d):
    """A dense convolution on (B, C, H, W), in training a product of matrices where that is sooner."""

    def _conv_forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if self.training and self.groups == 1 and _is_ordinary(self):
            y = multiplied(x, weight, bias, self.stride, self.padding)  # type: ignore[arg-type]
            if y is not None:
                return y
        return super()._conv_forward(x, weight, bias)


class PlainPointwise(Convolution):
    """A 1x1 convolution on (B, C, H, W); a product of matrices in bfloat16."""

    def __init__(self, inputs: int, outputs: int, bias: bool = True) -> None:
        super().__init__(inputs, outputs, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type == "cpu" and as_layers_get_it(x).dtype is torch.bfloat16:
            return pointwise(x, self.weight, self.bias)
        return super().forward(x)


class Depthwise(nn.Conv2d):
    """A depthwise convolution on (B, C, H, W), at stride 1 as large a map going out as coming in."""

    def __init__(self, channels: int, kernel: int, bias: bool = True, stride: int = 1) -> None:
        super().__init__(channels, channels, kernel, stride, padding=kernel // 2, groups=channels, bias=bias)

    def _conv_forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if is_depthwise(self) and x.dim() == 4 and x.shape[1] == self.in_channels:
            return depthwise(x, weight, bias, self.stride[0])
        return super()._conv_forward(x, weight, bias)


def is_depthwise(layer: nn.Conv2d) -> bool:
    """Whether it computes what `depthwise` does: a kernel a channel, padded by half on all sides."""
    kernel = layer.kernel_size[0]
    return (
        layer.groups == layer.in_channels == layer.out_channels
        and _is_ordinary(layer)
        and layer.kernel_size == (kernel, kernel)
        and kernel in KERNELS
        and layer.stride[0] == layer.stride[1]
        and layer.padding == (kernel // 2, kernel // 2)
    )


class ChannelLinear(nn.Linear):
    """A linear layer on (B, H, W, C), and GELU after it where asked for."""

    computes_gelu = True

    def forward(self, x: Tensor, gelu: bool = False) -> Tensor:
        return channel_linear(x, self.weight, self.bias, gelu)


class TokenLinear(nn.Linear):
    """A linear layer on (..., C), and GELU after it where asked for."""

    computes_gelu = True

    def forward(self, x: Tensor, gelu: bool = False) -> Tensor:
        return linear(x, self.weight, self.bias, gelu)


class MLP(nn.Sequential):
    """Two layers of a kind, the first to `wide` channels and the second back, with GELU between them."""

    def __init__(self, layer: type[Pointwise | ChannelLinear | TokenLinear], channels: int, wide: int) -> None:
        super().__init__(layer(channels, wide), nn.GELU(), layer(wide, channels))

    def forward(self, x: Tensor) -> Tensor:
        widen, act, narrow = self
        if may_replace(widen, act):
            y: Tensor = narrow(widen(x, gelu=True))
        else:
            y = narrow(act(widen(x)))
        return y


class ConvNormSiLU(nn.Sequential):
    """3x3 convolution without bias, BatchNorm, SiLU."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        convolution = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        super().__init__(convolution, nn.BatchNorm2d(outputs), nn.SiLU())

    def forward(self, x: Tensor) -> Tensor:
        convolution, norm, act = self
        return norm_silu(convolution(laid_out_for_kernels(x)), norm, act)


class SqueezeExcite(PooledGate):
    """x times channel gates from the pooled map (arXiv 1709.01507): 1x1, SiLU, 1x1, sigmoid."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.reduce = Pointwise(channels, squeezed)
        self.expand = Pointwise(squeezed, channels)

    def gates(self, pooled: Tensor) -> Tensor:
        return self.expand(F.silu(self.reduce(pooled))).sigmoid()
