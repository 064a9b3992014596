"""Energy that was used: of a GPU through NVML (module `pynvml`), of a processor through Linux's RAPL counters."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from levelfield.system.rapl import joules_of_processors


@dataclass(frozen=True)
class EnergyMeter:
    """`joules()`: what was used so far, counted from anywhere. `of`: what the meter measures."""

    joules: Callable[[], float]
    of: str


def energy_meter(device: torch.device) -> EnergyMeter | None:
    """The meter of `device`; None where it has none, or none that this user may read."""
    if device.type == "cuda":
        return _of_gpu(device)
    return _of_processor() if device.type == "cpu" else None


def _of_gpu(device: torch.device) -> EnergyMeter | None:
    try:
        nvml: Any = importlib.import_module("pynvml")
    except ImportError:
        return None
    try:
        nvml.nvmlInit()
        uuid = f"GPU-{torch.cuda.get_device_properties(device).uuid}"
        handle = nvml.nvmlDeviceGetHandleByUUID(uuid)
        nvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except nvml.NVMLError:
        return None
    return EnergyMeter(
        lambda: float(nvml.nvmlDeviceGetTotalEnergyConsumption(handle)) / 1e3,
        "the GPU, whatever ran on it (NVML)",
    )


def _of_processor() -> EnergyMeter | None:
    joules = joules_of_processors()
    return None if joules is None else EnergyMeter(joules, "the processor, whatever ran on it (RAPL)")
