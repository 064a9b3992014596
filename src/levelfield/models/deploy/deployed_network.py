"""From a trained network to its deployed form: found, replaced, held to the network's own numbers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from levelfield.errors import UserError
from levelfield.models.deploy.fold_norms import Absorbed, absorbed
from levelfield.models.deploy.fuse_calls import fused_forward
from levelfield.models.deploy.packed_layers import MapMean, PackedConv2d, PackedLinear, can_pack, post_operation
from levelfield.models.deploy.reads import Reads, watch
from levelfield.models.deploy.same_numbers import largest_difference, same
from levelfield.models.kernels.may_replace import is_as_its_class
from levelfield.models.watch_calls import watching
from levelfield.module_mode import averaged_twin, evaluation_mode

WATCHED: Final = 2
"""Images of the pass that is watched: more would show the same calls."""
WORTH_PACKING: Final = 2**23
"""Multiplications below which a linear layer in float32 is left to torch: to call oneDNN takes 15 microseconds more."""
FURTHER: Final = 4.0
SHARE: Final = 1e-3
AT_MOST: Final = 0.1
"""Deployed logits may lie FURTHER times as far from float32's as the network's own in that precision, or SHARE of the
largest logit; and never farther than AT_MOST of it, however far the network's own are."""


@dataclass(frozen=True)
class Account:
    """What became of a network: BatchNorms `folded`, activations and sums `fused` into the layer before them, `means`
    over maps by the faster kernel, layers `packed`, and `layers` whose weights were made ready in all.

    `logits_off`: the largest difference of its logits to the network's own in the same precision on `images` images,
    as a share of the largest logit; `own_off`: that of the network's own to float32's.
    """

    folded: int
    fused: int
    means: int
    packed: int
    layers: int
    logits_off: float
    own_off: float
    images: int


class DeployedNetwork(nn.Module):
    """A network that only predicts: float32 images (B, 3, H, W) of the size that it was made with to logits.

    It computes in `dtype` by itself, whether autocast is on around it or not. What became of the network's parts is its
    `account`. Its weights are in a form of this machine's: it is made anew where it is wanted, not copied or saved.
    """

    account: Account

    def __init__(self, network: nn.Module, shape: tuple[int, ...], dtype: torch.dtype) -> None:
        super().__init__()
        self.network = network
        self.shape = shape
        self.dtype = dtype

    def forward(self, images: Tensor) -> Tensor:
        if tuple(images.shape[1:]) != self.shape:
            raise UserError(
                f"this deployed network takes images of shape {self.shape} and got {tuple(images.shape[1:])}\n"
                "make it with images of that shape: deployed(model, images, dtype)"
            )
        if images.device.type == "cpu":
            images = images.contiguous(memory_format=torch.channels_last)
        with _computing_in(self.dtype, images.device):
            logits: Tensor = self.network(images)
        return logits


def deployed(model: nn.Module, images: Tensor, dtype: torch.dtype) -> DeployedNetwork:
    """The form of `model` that predicts fastest in `dtype` on the device where it is; `model` stays as it is.

    `images`: (B, 3, H, W), float32, on that device, as the network will be given them and as many as it will be given
    at a time: they are what the form is found with and held to. What it computes is what `model` computes in evaluation
    mode under autocast, but for rounding; `account` says how far that was off. Raises UserError for a network with lazy
    modules that no image went through, for one that cannot be copied, and for one whose deployed form is not found to
    compute the same.
    """
    if any(is_lazy(each) for each in (*model.parameters(), *model.buffers())):
        raise UserError(f"{type(model).__name__} has lazy modules that no image went through yet\nrun it on one first")
    with torch.inference_mode(False), torch.no_grad(), torch.autocast(images.device.type, enabled=False):
        images = images.clone()
        form = DeployedNetwork(_copied(model), tuple(images.shape[1:]), dtype)
        with _computing_in(dtype, images.device):
            seen = watch(form.network, images[:WATCHED])
        counted, packed = _replace_layers(form.network, seen, len(images))
        counted += _fuse_calls(form.network, seen, dtype)
        off, own = _held_to(model, form, images, {new: len(seen.calls[old]) for new, old in packed.items()})
    counts = {name: counted[name] for name in ("folded", "fused", "means", "packed", "layers")}
    form.account = Account(**counts, logits_off=off, own_off=own, images=len(images))
    return form


def _copied(model: nn.Module) -> nn.Module:
    try:
        return averaged_twin(model)
    except (RuntimeError, TypeError) as error:  # weights that are computed anew at every call, what holds a file, ...
        said = str(error).splitlines()[0]
        raise UserError(f"{type(model).__name__} cannot be copied: {said[:200]}\nuse the network as it is") from error


def _computing_in(dtype: torch.dtype, device: torch.device) -> torch.autocast:
    return torch.autocast(device.type, dtype, enabled=dtype is not torch.float32)


def _replace_layers(network: nn.Module, seen: Reads, batch: int) -> tuple[Counter[str], dict[nn.Module, nn.Module]]:
    """Put every layer's ready form in its place in `network`; the counts, and each packed layer with what it was."""
    owners = Counter(id(each) for module in network.modules() for each in module.parameters(recurse=False))
    places: dict[nn.Module, list[tuple[nn.Module, str]]] = {}
    for parent in network.modules():
        for name, child in parent.named_children():
            places.setdefault(child, []).append((parent, name))
    counted: Counter[str] = Counter()
    packed: dict[nn.Module, nn.Module] = {}
    candidates = [
        module for module in seen.calls if not any(_reads_inside(parent) for parent, _ in places.get(module, []))
    ]
    parts = [part for module in candidates if (part := absorbed(module, seen, owners)) is not None]
    for part in parts:
        ready = _packed(part, batch)
        replaced: dict[nn.Module, nn.Module] = {} if part.norm is None or part.rest is None else {part.norm: part.rest}
        if ready is None:
            part.layer.weight = nn.Parameter(part.weight.to(part.dtype), requires_grad=False)
            bias = part.bias
            part.layer.bias = None if bias is None else nn.Parameter(bias.to(part.dtype), requires_grad=False)
        else:
            replaced[part.layer] = ready
            packed[ready] = part.layer
            if part.act is not None:
                replaced[part.norm if part.act is part.rest and part.norm is not None else part.act] = nn.Identity()
        _put(replaced, places)
        counted += Counter(
            layers=1, packed=ready is not None, folded=part.norm is not None,
            fused=ready is not None and part.act is not None,
        )  # fmt: skip
    pools = {module: MapMean() for module in network.modules() if _pools_to_one(module)}
    _put(dict(pools), places)
    return counted + Counter(means=len(pools)), packed


def _put(replaced: dict[nn.Module, nn.Module], places: dict[nn.Module, list[tuple[nn.Module, str]]]) -> None:
    for old, new in replaced.items():
        for parent, name in places[old]:
            setattr(parent, name, new)


def _pools_to_one(module: nn.Module) -> bool:
    """Whether `module` is torch's average pool to one pixel, which nobody watches."""
    whole = type(module) is nn.AdaptiveAvgPool2d and module.output_size in (1, (1, 1))
    return whole and is_as_its_class(module)


def _reads_inside(parent: nn.Module) -> bool:
    """Whether torch's own module reads the weights of layers in it, past them, where nobody watches."""
    return isinstance(parent, nn.TransformerEncoderLayer | nn.TransformerDecoderLayer | nn.MultiheadAttention)


def _packed(part: Absorbed, batch: int) -> PackedConv2d | PackedLinear | None:
    """The layer with its weights in oneDNN's form, where that computes the same; None where it cannot."""
    dtype = part.dtype
    if not can_pack(part.weight.device, dtype):
        return None
    x = part.given.to(dtype)
    rows = batch * (x.shape[:-1].numel() // len(x))
    linear = isinstance(part.layer, nn.Linear)
    if linear and dtype is torch.float32 and rows * part.weight.numel() < WORTH_PACKING:
        return None
    ready: PackedConv2d | PackedLinear
    try:
        if linear:
            ready = PackedLinear(part.weight, part.bias, dtype, rows)
        else:
            assert isinstance(part.layer, nn.Conv2d)
            ready = PackedConv2d(part.layer, part.weight, part.bias, dtype, (batch, *x.shape[1:]))
        found = ready(x)
    except (RuntimeError, NotImplementedError):  # another build of torch, another processor
        return None
    if not same(part.plain(x), found):
        return None
    if part.act is not None:
        ready.activation = post_operation(part.act) or ready.activation
    return ready


def _fuse_calls(network: nn.Module, seen: Reads, dtype: torch.dtype) -> Counter[str]:
    """Let packed layers compute the sums and ReLUs in the code of the modules around them; how many of each."""
    counted: Counter[str] = Counter()
    for module in list(network.modules()):
        calls = seen.calls.get(module, [])
        if not calls or calls[0].given is None or not is_as_its_class(module):
            continue
        found = fused_forward(module)
        if found is None:
            continue
        forward, fused, means = found
        kind = type(module)
        expected = _made_of(module, calls[0].given, dtype)
        module.__class__ = type(kind.__name__, (kind,), {"forward": forward, "__module__": kind.__module__})
        made = _made_of(module, calls[0].given, dtype)
        if expected is not None and made is not None and same(expected, made):
            counted += Counter(fused=fused, means=means)
        else:
            module.__class__ = kind
    return counted


def _made_of(module: nn.Module, given: Tensor, dtype: torch.dtype) -> Tensor | None:
    """What `module` makes of `given`; None where it fails or that is no tensor."""
    try:
        with _computing_in(dtype, given.device):
            made: Any = module(given.clone())
    except Exception:  # a stranger's code, called as it was not written
        return None
    return made if isinstance(made, Tensor) else None


def _held_to(
    model: nn.Module, form: DeployedNetwork, images: Tensor, calls: dict[nn.Module, int]
) -> tuple[float, float]:
    """How far the logits of `form` are off those of `model`, and these off float32's. Raises UserError where that is
    more than rounding, or packed layers are not called as often as `calls` says what they replace was.
    """
    name = type(model).__name__
    called: Counter[nn.Module] = Counter()
    try:
        with watching(calls, lambda module, inputs, output: called.update([module])):
            found = form(images)
    except Exception as error:  # its code asks for what the layers had that were replaced
        raise UserError(f"{name} fails in its deployed form: {str(error)[:200]}\nuse the network as it is") from error
    with evaluation_mode(model):
        exact = model(images)
        own = exact
        if form.dtype is not torch.float32:
            with _computing_in(form.dtype, images.device):
                own = model(images)
    own_off, off = largest_difference(exact, own), largest_difference(exact, found)
    allowed = min(max(FURTHER * own_off, SHARE), AT_MOST)
    if not off <= allowed or any(called[layer] != times for layer, times in calls.items()):
        raise UserError(
            f"no deployed form of {name} was found to compute what it does: on {len(images)} images "
            f"its logits are off by {off:.1e} of the largest ({own_off:.1e} without)\nuse the network as it is"
        )
    return largest_difference(own, found), own_off
