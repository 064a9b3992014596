"""Whether a machine rests while something is timed on it: what its processors and its GPU do when we do nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import torch

from levelfield.system.machine import busy_ticks

BUSY_PERCENT: Final = 5.0
"""A machine that works more than this while nothing is asked of it does not rest."""
LOOK_S: Final = 0.5


def busy_percent(device: torch.device, seconds: float = LOOK_S) -> float | None:
    """How much of the processors' time (and of the GPU's, the larger counts) others use while this process sleeps.

    In percent of all cores; None where the system does not tell. Not the load average: that still holds the work of the
    last minute, our own included.
    """
    before = busy_ticks()
    time.sleep(seconds)
    after = busy_ticks()
    if before is None or after is None or after[1] <= before[1]:
        return None
    busy = 100.0 * (after[0] - before[0]) / (after[1] - before[1])
    gpu = asked_of_gpu(torch.cuda.utilization, device)
    return busy if gpu is None else max(busy, gpu)


def asked_of_gpu(ask: Callable[[torch.device], float], device: torch.device) -> float | None:
    """What `ask`, which reads NVML through torch, says of `device`; None of a CPU, and where NVML is not there."""
    if device.type != "cuda":
        return None
    try:
        return float(ask(device))
    except (ModuleNotFoundError, RuntimeError):
        return None
