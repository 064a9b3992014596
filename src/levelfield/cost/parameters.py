"""How many numbers a model holds."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class Parameters:
    """Element counts: `total` = `trainable` + `frozen` parameters (a shared one once), `buffers` beside them.

    `mib` is the size of the parameters as they are stored, in MiB (2**20 bytes), buffers not included.
    """

    total: int
    trainable: int
    frozen: int
    buffers: int
    mib: float


def count_parameters(model: nn.Module) -> Parameters:
    """Count the parameters and buffers of `model`."""
    parameters = list(model.parameters())
    total = sum(p.numel() for p in parameters)
    trainable = sum(p.numel() for p in parameters if p.requires_grad)
    stored = sum(p.numel() * p.element_size() for p in parameters)
    return Parameters(total, trainable, total - trainable, sum(b.numel() for b in model.buffers()), stored / 2**20)
