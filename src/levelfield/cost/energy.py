"""Energy that was used: of a GPU through NVML (module `pynvml`), of a processor through Linux's RAPL counters."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch

RAPL: Final = Path("/sys/class/powercap")


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
    """All packages of this machine. Zones inside a package (`intel-rapl:0:0`) are part of it."""
    try:
        zones = [zone for zone in sorted(RAPL.glob("intel-rapl:*")) if zone.name.count(":") == 1]
        packages = [_Package(zone) for zone in zones if (zone / "name").read_text().startswith("package")]
    except OSError:
        return None
    if not packages:
        return None
    return EnergyMeter(
        lambda: sum(package.joules() for package in packages), "the processor, whatever ran on it (RAPL)"
    )


class _Package:
    """One processor's counter, which begins anew at its range: after about an hour at 70 W."""

    def __init__(self, zone: Path) -> None:
        self._counter = zone / "energy_uj"
        self._range = int((zone / "max_energy_range_uj").read_text())
        self._last, self._used = self._read(), 0

    def joules(self) -> float:
        now = self._read()
        self._used += now - self._last + (self._range if now < self._last else 0)
        self._last = now
        return self._used / 1e6

    def _read(self) -> int:
        return int(self._counter.read_text())
