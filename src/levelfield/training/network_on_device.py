"""The network of a finished run on a device, set up to compute as the run did."""

from __future__ import annotations

import copy
from typing import Final, Protocol

import torch
from torch import nn

from levelfield.precision import DTYPES, choose_precision
from levelfield.runs import RunFolder
from levelfield.spec import RunSpec
from levelfield.training.device import configure_torch

_NOT_COMPUTED: Final = {"cpu": ("fp16",), "mps": ("fp16", "bf16")}
"""Precisions that a kind of device does not compute in."""


class FinishedRun(Protocol):
    """A run read back (`load_finished_run.LoadedRun`): its network, its classes, its configuration and its folder."""

    @property
    def model(self) -> nn.Module: ...
    @property
    def classes(self) -> tuple[str, ...]: ...
    @property
    def spec(self) -> RunSpec: ...
    @property
    def folder(self) -> RunFolder: ...


def network_on(run: FinishedRun, target: torch.device) -> tuple[nn.Module, torch.dtype, torch.memory_format]:
    """A copy of the run's network on a device, with the precision that it has there and the layout of its maps.

    A precision that the device does not compute in, as fp16 on a CPU, becomes fp32.
    """
    spec, wanted = run.spec, run.spec.recipe.precision
    dtype = DTYPES[choose_precision("fp32" if wanted in _NOT_COMPUTED.get(target.type, ()) else wanted, target)]
    configure_torch(spec.execution, target, spec.recipe.tf32)
    form = torch.channels_last if spec.execution.channels_last else torch.contiguous_format
    network: nn.Module = copy.deepcopy(run.model).to(device=target, memory_format=form)  # type: ignore[call-overload]
    return network, dtype, form
