"""How much memory a piece of work takes: the allocator's figures on CUDA, the process's resident set on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch

from levelfield.system.memory import reset_resident_peak, resident_mib, resident_peak_mib

_MIB: Final = 2**20


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
