"""How much memory a piece of work takes: the allocator's figures on CUDA, the process's resident set on the CPU."""

from __future__ import annotations

import contextlib
import resource
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch

_MIB: Final = 2**20
_STATUS: Final = Path("/proc/self/status")


@dataclass(frozen=True)
class Memory:
    """MiB before and after a piece of work and its peak.

    `kind` is "cuda" (`allocated` and `peak` of tensors, `reserved` by the caching allocator) or "resident" (of the
    whole process, libraries included; `reserved` is None). `added` is the peak above what was in use before.
    """

    kind: str
    allocated_mib: float
    reserved_mib: float | None
    peak_mib: float
    added_mib: float


def measure_memory(work: Callable[[], object], device: torch.device | str) -> Memory:
    """Run `work` once and report memory on `device`. On a CPU this is honest only in a process of its own: what it did
    before has left memory behind.
    """
    device = torch.device(device)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device) / _MIB
        work()
        torch.cuda.synchronize(device)
        peak = torch.cuda.max_memory_allocated(device) / _MIB
        allocated = torch.cuda.memory_allocated(device) / _MIB
        return Memory("cuda", allocated, torch.cuda.memory_reserved(device) / _MIB, peak, peak - before)
    reset_resident_peak()
    before = resident_mib()
    work()
    peak = resident_peak_mib()
    return Memory("resident", resident_mib(), None, peak, peak - before)


def reset_resident_peak() -> None:
    """Let the resident peak start anew from what is resident now (Linux; elsewhere, and where it is forbidden, not)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def resident_peak_mib() -> float:
    """The largest resident set this process has had, in MiB."""
    if (mib := _status_mib("VmHWM")) is not None:
        return mib
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / _MIB if sys.platform == "darwin" else peak / 1024


def resident_mib() -> float:
    """The resident set now, in MiB (where /proc does not tell: the peak)."""
    mib = _status_mib("VmRSS")
    return resident_peak_mib() if mib is None else mib


def _status_mib(key: str) -> float | None:
    """An entry of Linux's /proc/self/status. getrusage's peak is that of the parent when a process starts: not ours."""
    if not _STATUS.exists():
        return None
    lines = _STATUS.read_text(encoding="ascii", errors="replace").splitlines()
    return next((float(line.split()[1]) / 1024 for line in lines if line.startswith(key + ":")), None)
