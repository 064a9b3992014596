"""Optimisers by name, and the parameter groups that they get.

Every parameter is in exactly one group. Weight decay applies to matrices and kernels only: not to norms, biases, layer
scales, tokens and position tables (`decay_all` turns that off). Layer-wise decay multiplies the learning rate by
`layer_decay` once per stage from the head down (arXiv 2003.10555, 2111.06377).
"""

from __future__ import annotations

import fnmatch
import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from levelfield.errors import UserError, nearest
from levelfield.models import no_weight_decay, stage_of_parameters
from levelfield.optimizers_without_compiler import put_off_breaks, put_off_marks
from levelfield.spec import Optimizer
from levelfield.training.muon import muon
from levelfield.training.optimizers_of_timm import optimizer_of_timm

_TORCH = {
    name.lower(): getattr(torch.optim, name)
    for name in ("SGD", "Adam", "AdamW", "NAdam", "RAdam", "Adamax", "RMSprop", "Adagrad", "Adadelta", "ASGD", "Rprop")
}
"""torch.optim's own; torch's Muon takes matrices only, so `muon` is timm's (`muon.py`), which flattens kernels and
gives the rest to AdamW."""


def make_optimizer(spec: Optimizer, model: nn.Module, leave_out: frozenset[str] = frozenset()) -> torch.optim.Optimizer:
    """The optimiser of `spec` over the parameters of `model`, but for those named in `leave_out`.

    Each group carries `lr_factor`: its share of the scheduled learning rate. Raises UserError for an unknown name, an
    option that the optimiser does not have, and a pattern of `lr_factors` that matches nothing.
    """
    factory, defaults = _find(spec.name)
    settings = _settings(spec, factory, defaults)
    fusible = "fused" in inspect.signature(factory).parameters and not settings.get("dampening")
    if fusible and all(p.is_cuda for p in model.parameters()):
        settings = {"fused": True, **settings}  # one kernel a group, and no wait for fp16's overflow check
    groups = parameter_groups(spec, model, leave_out)
    if not groups:
        raise UserError("no parameter is trained: recipe.freeze.patterns matches all of them; freeze fewer")
    if "weight_decay" in inspect.signature(factory).parameters:
        settings["weight_decay"] = spec.weight_decay
    elif spec.weight_decay:
        raise UserError(f"optimizer {spec.name!r} has no weight decay; set recipe.optimizer.weight_decay to 0")
    put_off_marks()
    try:
        optimizer: torch.optim.Optimizer = factory(groups, lr=spec.lr, **settings)
    except (TypeError, ValueError) as error:
        raise UserError(f"optimizer {spec.name!r} refuses its settings: {error}\nmend recipe.optimizer") from None
    put_off_breaks(optimizer)
    if isinstance(optimizer, torch.optim.SGD) and optimizer.defaults["fused"]:
        _fill_momentum(optimizer)
    return optimizer


def _fill_momentum(optimizer: torch.optim.SGD) -> None:
    """Give a fused SGD momentum buffers of zeros, from which its first step comes out the same.

    Left to itself it allocates them in its first step, and where fp16 overflows in that very step and the kernel skips
    it, they stay unwritten: the next step adds what the memory held before.
    """
    for group in optimizer.param_groups:
        if group["momentum"] and not group["dampening"]:
            for parameter in group["params"]:
                optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)


def parameter_groups(
    spec: Optimizer, model: nn.Module, leave_out: frozenset[str] = frozenset()
) -> list[dict[str, Any]]:
    """Groups of the parameters by (lr factor, decayed or not, head or not), each with its `names`.

    The head is told apart for Muon, which leaves it to AdamW (as its author advises for classifiers).
    """
    depths = stage_of_parameters(model)
    head_depth = max(depths.values())
    undecayed = set() if spec.decay_all else no_weight_decay(model)
    matched: set[str] = set()
    groups: dict[tuple[float, bool, bool], dict[str, Any]] = {}
    for name, parameter in model.named_parameters():
        if name in leave_out:
            continue
        factor = spec.layer_decay ** (head_depth - depths[name])
        for pattern, multiplier in spec.lr_factors.items():
            if fnmatch.fnmatch(name, pattern):
                factor *= multiplier
                matched.add(pattern)
        decayed, head = name not in undecayed, "muon" in spec.name and depths[name] == head_depth
        group = groups.setdefault((factor, decayed, head), {"params": [], "names": [], "lr_factor": factor})
        group["params"].append(parameter)
        group["names"].append(name)
        group["lr"] = spec.lr * factor
        if not decayed:
            group["weight_decay"] = 0.0
        if head:
            group["use_fallback"] = True
    for pattern in spec.lr_factors:
        if pattern not in matched:
            names = [name for name, _ in model.named_parameters()]
            close = nearest(pattern.strip("*."), names, 1)
            raise UserError(
                f"recipe.optimizer.lr_factors: {pattern!r} matches no trainable parameter"
                + (f"; the nearest name is {close[0]!r}" if close else "")
            )
    return list(groups.values())


def _find(name: str) -> tuple[Callable[..., torch.optim.Optimizer], dict[str, Any]]:
    if name in _TORCH:
        return _TORCH[name], {}
    if name == "muon":
        return muon(), {}
    return optimizer_of_timm(name, list(_TORCH))


def _settings(spec: Optimizer, factory: Callable[..., Any], defaults: dict[str, Any]) -> dict[str, Any]:
    known = inspect.signature(factory).parameters
    given = {
        key: value for key in ("momentum", "nesterov", "betas", "eps") if (value := getattr(spec, key)) is not None
    }
    settings = {**{key: value for key, value in defaults.items() if key in known}, **given, **spec.options}
    for key in settings:
        if key not in known or key in ("params", "lr", "weight_decay"):
            hint = nearest(key, [name for name in known if name not in ("params", "self")], 1)
            raise UserError(
                f"optimizer {spec.name!r} has no setting {key!r} (value {settings[key]!r})"
                + (f"; did you mean {hint[0]!r}?" if hint else "; remove it from recipe.optimizer")
            )
    return settings
