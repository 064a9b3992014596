"""Energy of a GPU through NVML, where the module `pynvml` is installed and the GPU has a meter."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import torch


def energy_meter(device: torch.device) -> Callable[[], float] | None:
    """A function that reads the joules that `device` has used so far; None where there is no meter."""
    if device.type != "cuda":
        return None
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
    return lambda: float(nvml.nvmlDeviceGetTotalEnergyConsumption(handle)) / 1e3
