"""BatchNorm folded into the layer before it, and the activation that may be computed as the layer writes.

In evaluation BatchNorm is y * s + t with s = weight / sqrt(running variance + eps), t = bias - running mean * s, so
that a layer W x + b and a norm after it are the layer (s W) x + (s b + t). That holds where what the layer made is what
the norm reads and nobody else does; `absorbed` asks the watched pass, and then the numbers.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from levelfield.models.deploy.packed_layers import CONVOLUTIONS, LINEAR, post_operation
from levelfield.models.deploy.reads import Reads
from levelfield.models.deploy.same_numbers import same
from levelfield.models.kernels.may_replace import is_as_its_class


@dataclass(frozen=True)
class Absorbed:
    """A layer with the weights (float32) that compute `norm` too, where one could be folded.

    `given`: what the layer was given in the watched pass; `dtype`: what it computed in there. `act`: an activation
    after it that nobody else reads before, a module called once (None where there is none that oneDNN knows). `rest`:
    what stays of `norm`.
    """

    layer: nn.Conv2d | nn.Linear
    given: Tensor
    dtype: torch.dtype
    weight: Tensor
    bias: Tensor | None
    norm: nn.Module | None = None
    rest: nn.Module | None = None
    act: nn.Module | None = None

    def plain(self, x: Tensor) -> Tensor:
        """What the layer makes of x with the new weights, by torch's own operators in the dtype of x."""
        weight, bias = self.weight.to(x.dtype), None if self.bias is None else self.bias.to(x.dtype)
        if isinstance(self.layer, nn.Linear):
            return F.linear(x, weight, bias)
        layer = self.layer
        return F.conv2d(x, weight, bias, layer.stride, layer.padding, layer.dilation, layer.groups)


def absorbed(layer: nn.Module, seen: Reads, owners: dict[int, int]) -> Absorbed | None:
    """`layer` with all that goes into its weights; None for one that is left alone: of a class that is not known to
    compute its weights' map and nothing else, watched by hooks, never called with a tensor, or with weights that are
    not its own (`owners`: how often each parameter, by `id`, is part of the network) or that others read too.
    """
    if type(layer) not in (*CONVOLUTIONS, *LINEAR) or not is_as_its_class(layer):
        return None
    assert isinstance(layer, nn.Conv2d | nn.Linear)
    own = list(layer.parameters(recurse=False))
    calls = seen.calls.get(layer, [])
    theirs = any(owners[id(each)] > 1 or seen.readers(each) - {layer} for each in own)
    if theirs or not calls or any(call.given is None for call in calls) or layer.weight.dtype is not torch.float32:
        return None
    if isinstance(layer, nn.Conv2d) and (layer.padding_mode != "zeros" or isinstance(layer.padding, str)):
        return None
    given, dtypes = calls[0].given, {call.made.dtype for call in calls}
    assert given is not None
    if (given.dim() != 4 and isinstance(layer, nn.Conv2d)) or len(dtypes) > 1:
        return None
    part = Absorbed(
        layer, given, dtypes.pop(), layer.weight.detach(), None if layer.bias is None else layer.bias.detach()
    )
    return _with_activation(_with_norm(part, seen), seen)


def _with_norm(part: Absorbed, seen: Reads) -> Absorbed:
    call = seen.once(part.layer)
    for reader in seen.only_readers(call) if call is not None else ():
        norm = reader.module
        if not _foldable(part.layer, norm):
            continue
        scale, shift = _as_affine(norm)
        bias = 0.0 if part.bias is None else part.bias.double()
        weight = part.weight.double() * scale.view(-1, *(1,) * (part.weight.dim() - 1))
        made = (bias * scale + shift).float()
        folded = replace(part, weight=weight.float(), bias=made, norm=norm, rest=_rest_of(norm))
        x = part.given.float()
        if same(norm(part.layer(x)), folded.rest(folded.plain(x))):  # type: ignore[misc]
            return folded
    return part


def _foldable(layer: nn.Module, norm: Any) -> bool:
    """Whether `norm` is a BatchNorm over what `layer` makes, with its own statistics and no hook."""
    timm: Any = sys.modules.get("timm.layers")
    acting = timm is not None and type(norm) is timm.BatchNormAct2d and type(norm.drop) is nn.Identity
    kind = nn.BatchNorm1d if isinstance(layer, nn.Linear) else nn.BatchNorm2d
    if not (type(norm) is kind or (acting and kind is nn.BatchNorm2d)) or not is_as_its_class(norm):
        return False
    statistics = norm.running_mean is not None and norm.running_var is not None
    return statistics and norm.track_running_stats and not norm.training


def _as_affine(norm: Any) -> tuple[Tensor, Tensor]:
    """The factor and the summand of each channel, in float64."""
    scale = (norm.running_var.double() + norm.eps).rsqrt()
    if norm.weight is not None:
        scale = scale * norm.weight.detach().double()
    shift = -norm.running_mean.double() * scale
    return scale, shift if norm.bias is None else shift + norm.bias.detach().double()


def _rest_of(norm: Any) -> nn.Module:
    """What `norm` does beside being a BatchNorm: timm's may have an activation."""
    rest: nn.Module = nn.Identity() if type(norm) in (nn.BatchNorm1d, nn.BatchNorm2d) else norm.act
    return rest


def _with_activation(part: Absorbed, seen: Reads) -> Absorbed:
    if part.rest is not None and type(part.rest) is not nn.Identity:
        known = post_operation(part.rest) is not None and is_as_its_class(part.rest)
        return replace(part, act=part.rest) if known else part
    call = seen.once(part.layer if part.norm is None else part.norm)
    for reader in seen.only_readers(call) if call is not None else ():
        act = reader.module
        if post_operation(act) is not None and is_as_its_class(act):
            return replace(part, act=act)
    return part
