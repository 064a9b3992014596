"""Structured pruning: whole channels are taken out of the network that a run starts from, those that weigh least.

torch-pruning (DepGraph; Fang et al., arXiv 2301.12900) finds by tracing which layers share channels, and what each
channel weighs: the mean over its layers of its weights' sum of squares. Of each group of layers the same share goes,
the smallest that reaches the goal; of channels that weigh the same the first.

What tracing says is not taken on trust. Channels of a group go only where the network without two of them computes what
it computes with their weights at zero, in float64 with random weights; at the end all that goes is held to the same.
Channels under a LayerNorm, which counts them, heads of attention and classes fail that, and stay.
"""

from __future__ import annotations

import copy
import warnings
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from io import StringIO
from typing import Any, Final

import torch
from torch import Tensor, nn

from levelfield.cost import count_macs, count_parameters
from levelfield.errors import UserError
from levelfield.models.channels import Side, counts, take_out, tensors
from levelfield.module_mode import only_evaluated
from levelfield.spec import PruneChannels
from levelfield.units import short

Places = dict[tuple[str, Side], list[int]]
"""Positions of channels, by layer and side."""
Group = list[Places]
"""Where each channel lies that some layers share, in the order in which they go."""

KEY: Final = "recipe.prune_channels"
WHAT: Final = {"macs": "multiply-accumulates", "params": "parameters"}
STEPS: Final = 128
"""Shares of the channels that are tried: so many, equally far from each other."""
EQUAL: Final = 1e-9
"""How far outputs in float64 may differ, as a share of the largest."""


def prune_channels(model: nn.Module, prune: PruneChannels, image_size: int) -> str:
    """Take channels out of `model`, in place, until `prune.share` of what it says is gone; what is left, in words.

    Raises UserError where torch-pruning is not installed or cannot trace the network, and where the share cannot be
    reached while every layer keeps a channel.
    """
    groups = removable(model, image_size)

    def left(step: int) -> int:
        network = copy.deepcopy(model)
        take_out(network, _removed(groups, step))
        return count_macs(network, image_size).total if prune.of == "macs" else count_parameters(network).total

    before, what = left(0), WHAT[prune.of]
    step = bisect_left(range(STEPS), True, key=lambda step: left(step) <= (1 - prune.share) * before)
    if step == STEPS:
        most = 1 - left(STEPS - 1) / before
        raise UserError(
            f"{KEY}.share {prune.share:g} cannot be reached: {most:.3f} of the {what} are gone when one channel is "
            "left of each group that can be cut\ngive a smaller share"
        )
    removed = _removed(groups, step)
    if not _same_without(_with_random_weights(model), removed, image_size):
        raise UserError(f"{KEY}: this network computes something else without its channels than with them at zero")
    take_out(model, removed)
    return f"channels removed: {short(left(0))} of {short(before)} {what} are left"


def removable(model: nn.Module, image_size: int) -> list[Group]:
    """The channels that can be taken out of `model`, which stays as it is. Raises UserError, see `prune_channels`."""
    network = copy.deepcopy(model).double()
    with torch.enable_grad(), warnings.catch_warnings(), redirect_stdout(StringIO()):
        warnings.simplefilter("ignore")
        try:
            groups = list(_groups(network, image_size))
        except UserError:
            raise
        except Exception as error:  # whatever the library meets in a network that is not made for it
            why = next(iter(str(error).splitlines()), "") or type(error).__name__
            raise UserError(f"{KEY}: torch-pruning cannot trace this network: {why}") from error
    if not groups:
        raise UserError(f"{KEY}: no channel of this network can be taken out by itself\nuse recipe.prune")
    return groups


def _groups(network: nn.Module, image_size: int) -> Iterator[Group]:
    library = _torch_pruning()
    graph = library.DependencyGraph()
    images = torch.zeros(1, 3, image_size, image_size, dtype=torch.float64, requires_grad=True)
    graph.build_dependency(network, images)  # in evaluation mode
    weigh = library.importance.GroupMagnitudeImportance(p=2, normalizer=None)
    names = {module: name for name, module in network.named_modules()}
    random, seen = _with_random_weights(network), set()
    for root, node in list(graph.module2node.items()):
        channels = counts(root).get("outputs", 0) if isinstance(root, (nn.Linear, nn.modules.conv._ConvNd)) else 0
        # What is cut into heads at once stays; from there on the library may follow indices without end.
        if channels < 2 or root in seen or any("Reshape" in type(after.module).__name__ for after in node.outputs):
            continue
        cut = graph.get_pruner_of_module(root).prune_out_channels
        ends = graph.get_pruning_group(root, cut, [0, channels - 1])
        seen |= {dep.target.module for dep, _ in ends if graph.is_out_channel_pruning_fn(dep.handler)}
        two = _places(ends, graph, names)
        if two and _same_without(random, _together(two.values()), image_size):
            group = graph.get_pruning_group(root, cut, list(range(channels)))
            order = torch.argsort(weigh(group), stable=True).tolist()
            if all_of_it := _places(group, graph, names):
                yield [all_of_it[channel] for channel in order]


def _places(group: Any, graph: Any, names: dict[nn.Module, str]) -> dict[int, Places] | None:
    """Where each channel of the library's `group` lies, by its position in the first layer; None where it lies in
    something that channels cannot be taken out of."""
    found: defaultdict[int, Places] = defaultdict(dict)
    for item in group:
        layer = item.dep.target.module
        if not isinstance(layer, nn.Parameter) and (layer not in names or not any(True for _ in layer.parameters())):
            continue  # an operation without weights
        have = {} if isinstance(layer, nn.Parameter) else counts(layer)
        outputs = "inputs" not in have or graph.is_out_channel_pruning_fn(item.dep.handler)
        side: Side = "outputs" if outputs else "inputs"
        if side not in have or None in item.root_idxs:
            return None
        for at, channel in zip(item.idxs, item.root_idxs, strict=True):
            found[channel].setdefault((names[layer], side), []).append(at)
    return dict(found)


def _together(channels: Sequence[Places] | Any) -> Places:
    removed: defaultdict[tuple[str, Side], list[int]] = defaultdict(list)
    for channel in channels:
        for place, positions in channel.items():
            removed[place] += positions
    return dict(removed)


def _removed(groups: Sequence[Group], step: int) -> Places:
    """What goes at a step: of each group the same share of its channels, rounded down, and never all of them."""
    return _together([one for group in groups for one in group[: min(len(group) * step // STEPS, len(group) - 1)]])


def _same_without(network: nn.Module, removed: Places, image_size: int) -> bool:
    """Whether `network` computes the same without these channels as with their weights and statistics at zero."""
    silenced, without = copy.deepcopy(network), copy.deepcopy(network)
    for (name, side), positions in removed.items():
        layer = silenced.get_submodule(name)
        for tensor, dimension in tensors(layer, side).items():
            getattr(layer, tensor).detach().index_fill_(dimension, torch.tensor(positions), 0.0)
    take_out(without, removed)
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(2, 3, image_size, image_size, dtype=torch.float64, generator=generator)
    with torch.no_grad():
        try:
            wanted, given = silenced(images), without(images)
        except Exception:  # shapes that no longer fit, told in whatever way the network's own code has
            return False
    return wanted.shape == given.shape and bool(((wanted - given).abs() <= EQUAL * wanted.abs().max()).all())


def _with_random_weights(model: nn.Module) -> nn.Module:
    """A copy in float64 and evaluation mode in which no weight is zero, so that nothing hides behind one."""
    network, generator = only_evaluated(copy.deepcopy(model).double()), torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        fan_in = parameter[0].numel() if parameter.ndim > 1 else 1
        drawn: Tensor = torch.randn(parameter.shape, dtype=torch.float64, generator=generator) / fan_in**0.5
        parameter.detach().copy_(drawn)
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.reset_running_stats()
    return network


def _torch_pruning() -> Any:
    try:
        import torch_pruning
    except ModuleNotFoundError:
        raise UserError(f"{KEY} needs torch-pruning: pip install 'levelfield[prune]'") from None
    return torch_pruning
