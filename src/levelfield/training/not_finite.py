"""What is no number (NaN, infinite): told before it is logged, saved, or gone on from."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from levelfield.errors import UserError
from levelfield.training.training_state import TrainState
from levelfield.units import plain


class NonFiniteLossError(UserError):
    """The loss or the weights are no longer numbers: training cannot go on."""


def not_finite(what: str, state: TrainState) -> NonFiniteLossError:
    """The error for `what` that is no number."""
    scale = f", loss scale {state.scaler.get_scale():g}" if state.recipe.precision == "fp16" else ""
    return NonFiniteLossError(
        f"{what} is not finite at step {state.step} (learning rate {plain(float(state.updates.latest_rate))}{scale})\n"
        "lower recipe.optimizer.lr, lengthen the warm-up, set "
        "recipe.regularisation.clip_norm=1.0 or recipe.precision=fp32"
    )


def check_loss(loss: float, state: TrainState, what: str = "the loss") -> None:
    """Raise NonFiniteLossError for a `loss` that is no number."""
    if not math.isfinite(loss):
        raise not_finite(what, state)


def first_not_finite(state: dict[str, Any], infinite: frozenset[str] = frozenset()) -> str | None:
    """The name of a tensor of `state` that is not finite, None where all are. Waits for the device once.

    Weights and buffers (the average's and the best ones too) have to be finite, but for those that `infinite` names: a
    mask of -inf is. The optimiser's own values may be infinite, but never NaN.
    """
    names, good = [], []
    for key in ("model", "average", "best", "optimizer"):
        for name, value in _floats(state.get(key), key):
            if name.rpartition("/")[2] in infinite or key == "optimizer":
                good.append(value.isnan().any().logical_not())
            else:
                good.append(value.isfinite().all())
            names.append(name)
    if not names:
        return None
    verdicts = torch.stack([verdict.to(good[0].device) for verdict in good]).tolist()
    return next((name for name, fine in zip(names, verdicts, strict=True) if not fine), None)


def _floats(value: Any, name: str) -> Iterator[tuple[str, Tensor]]:
    """The floating tensors in nested dicts and lists, by their path."""
    if isinstance(value, Tensor):
        if value.is_floating_point() and value.numel():
            yield name, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _floats(inner, f"{name}/{key}")
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            yield from _floats(inner, f"{name}/{number}")


def infinite_buffers(model: nn.Module) -> frozenset[str]:
    """Names of buffers that are infinite in a fresh network: a mask may be. Raises UserError for such parameters."""
    parameters = dict(model.named_parameters())
    names = [name for name, value in model.state_dict().items() if not bool(value.isfinite().all())]
    if odd := [name for name in names if name in parameters]:
        raise UserError(f"the network is not finite before it is trained ({odd[0]})\nstart from other weights")
    return frozenset(names)
