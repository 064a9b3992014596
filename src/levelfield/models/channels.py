"""How many channels the layers of a network have, and channels taken out of them.

Convolutions (whole ones and depthwise ones), linear layers and BatchNorm. The channels of a depthwise convolution and
of a norm are its outputs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from levelfield.errors import UserError
from levelfield.spec import Channels

Side = Literal["inputs", "outputs"]
OF_NORM: Final = ("weight", "bias", "running_mean", "running_var")


def counts(layer: nn.Module) -> dict[Side, int]:
    """The channels of each side of a layer; none where channels cannot be taken out of it (grouped convolutions)."""
    if isinstance(layer, _BatchNorm):
        return {"outputs": layer.num_features}
    if not isinstance(layer._parameters.get("weight"), nn.Parameter):  # computed anew at each call, from other ones
        return {}
    if isinstance(layer, nn.Linear):
        return {"inputs": layer.in_features, "outputs": layer.out_features}
    if not isinstance(layer, _ConvNd) or isinstance(layer, _ConvTransposeNd):
        return {}
    if layer.groups == 1:
        return {"inputs": layer.in_channels, "outputs": layer.out_channels}
    return {"outputs": layer.out_channels} if layer.groups == layer.in_channels == layer.out_channels else {}


def tensors(layer: nn.Module, side: Side) -> dict[str, int]:
    """The names of a layer's tensors that have its channels on this side, and along which dimension."""
    if side == "inputs":
        return {"weight": 1}
    names = OF_NORM if isinstance(layer, _BatchNorm) else ("weight", "bias")
    return {name: 0 for name in names if getattr(layer, name) is not None}


@torch.no_grad()
def keep(layer: nn.Module, side: Side, kept: Tensor) -> None:
    """Leave the channels at the positions `kept` (int64), in their order, on one side of a layer, in place."""
    depthwise = isinstance(layer, _ConvNd) and layer.groups > 1
    for name, dimension in tensors(layer, side).items():
        tensor: Tensor = getattr(layer, name)
        left = tensor.detach().index_select(dimension, kept.to(tensor.device))
        if isinstance(tensor, nn.Parameter):
            setattr(layer, name, nn.Parameter(left, tensor.requires_grad))
        else:
            setattr(layer, name, left)
    if isinstance(layer, _BatchNorm):
        layer.num_features = len(kept)
    elif isinstance(layer, nn.Linear):
        setattr(layer, "in_features" if side == "inputs" else "out_features", len(kept))
    elif depthwise:
        layer.in_channels = layer.out_channels = layer.groups = len(kept)  # type: ignore[assignment]
    else:
        setattr(layer, "in_channels" if side == "inputs" else "out_channels", len(kept))


def take_out(model: nn.Module, removed: Mapping[tuple[str, Side], Iterable[int]]) -> None:
    """Take the channels at these positions out of a network's layers, by layer and side, in place."""
    for (name, side), positions in removed.items():
        layer = model.get_submodule(name)
        gone = set(positions)
        keep(layer, side, torch.tensor([at for at in range(counts(layer)[side]) if at not in gone]))


def narrow(model: nn.Module, channels: Mapping[str, Channels]) -> None:
    """Give the layers of `model` these numbers of channels, in place: of weights that are replaced afterwards.

    Raises UserError for a layer that the network does not have, and for more channels than it has.
    """
    layers = dict(model.named_modules())
    for name, wanted in channels.items():
        have = counts(layers[name]) if name in layers else {}
        for side, count in wanted.of_sides().items():
            if count > have.get(side, 0):
                there = f"has {have[side]} of them" if side in have else "is none of this network that has such"
                raise UserError(
                    f"model.channels.{name}.{side} is {count}, and {name} {there}\n"
                    "take model.channels from the run.json of a run of the same network"
                )
            keep(layers[name], side, torch.arange(count))


def fewer(model: nn.Module, whole: nn.Module) -> dict[str, Channels]:
    """The layers of `model` that have other channels than in the `whole` network of the same kind, and how many."""
    layers, found = dict(whole.named_modules()), {}
    for name, layer in model.named_modules():
        before = counts(layers[name])
        if changed := {side: count for side, count in counts(layer).items() if count != before[side]}:
            found[name] = Channels(**changed)
    return found
