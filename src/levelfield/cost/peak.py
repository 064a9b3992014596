"""What a machine can multiply at most: the speed of a large matrix product, by dtype, measured once and kept.

The share of it that a network reaches tells how much faster the same machine could compute it at best (the compute side
of the roofline model, doi 10.1145/1498765.1498785). A product is what libraries are best at, so no network reaches all.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from levelfield.cost.machine_at_rest import BUSY_PERCENT, busy_percent
from levelfield.data.cache_folder import cache_dir, replacing
from levelfield.errors import UserError
from levelfield.precision import DTYPES
from levelfield.system.machine import machine_digest, processor_name

SIDES: Final = {"cpu": 2048, "cuda": 8192}
"""Of the square matrices that are multiplied, by kind of device; others have the CPU's."""
SMALLEST: Final = 128
"""Their side where even that takes long: it is doubled while there is time."""
SECONDS: Final = 0.6
LEAST: Final = 4
"""Products that are timed at least; the fastest is the peak."""
TRAINING: Final = 3
"""A training step counts as so many forward passes: its backward pass multiplies twice as much."""


def peak_flops(device: torch.device, dtype: str, tf32: bool = False) -> float:
    """The floating-point operations a second of a product in `dtype` (of `DTYPES`) on torch's number of threads.

    Kept in the cache folder by machine, dtype, threads and torch's version. What was measured while others used the
    machine is measured again the next time, and the faster one kept.
    """
    threads = torch.get_num_threads()
    if (kept := kept_peak(device, dtype, tf32, threads)) is not None:
        return kept
    path, about, known = _kept(device, dtype, tf32, threads)
    before, flops, after = busy_percent(device, 0.1), _measured(device, dtype), busy_percent(device, 0.1)
    rested = before is not None and after is not None and max(before, after) <= BUSY_PERCENT
    found = {"flops": max(flops, known.get("flops", 0.0)), "rested": rested, "about": about}
    with suppress(OSError, UserError), replacing(path) as temporary:  # a folder without room only costs time
        temporary.write_text(json.dumps(found) + "\n", encoding="utf-8")
    return float(found["flops"])


def kept_peak(device: torch.device, dtype: str, tf32: bool, threads: int) -> float | None:
    """The peak that was measured while the machine rested; None where it has to be measured."""
    _, _, known = _kept(device, dtype, tf32, threads)
    return float(known["flops"]) if known.get("rested") is True else None


def _kept(device: torch.device, dtype: str, tf32: bool, threads: int) -> tuple[Path, list[Any], dict[str, Any]]:
    """The file of a peak, what it is the peak of, and what the file holds."""
    kind = torch.cuda.get_device_name(device) if device.type == "cuda" else processor_name()
    about = [device.type, kind, dtype, threads if device.type == "cpu" else 0, tf32, torch.__version__]
    digest = hashlib.sha256(json.dumps([machine_digest(), *about]).encode()).hexdigest()[:16]
    path = cache_dir() / "peaks" / f"{digest}.json"
    known: dict[str, Any] = {}
    with suppress(OSError, ValueError):
        known = json.loads(path.read_text(encoding="utf-8"))
    return path, about, known


def _measured(device: torch.device, dtype: str) -> float:
    side = _side(device, dtype)
    matrices = _matrices(side, device, dtype)
    _seconds(*matrices)
    times: list[float] = []
    end = time.perf_counter() + SECONDS
    while len(times) < LEAST or time.perf_counter() < end:
        times.append(_seconds(*matrices))
    return 2.0 * side**3 / min(times)


def _side(device: torch.device, dtype: str) -> int:
    """That of `SIDES`, or the largest whose product takes no longer than the measurement.

    A CPU without instructions for bfloat16 multiplies it 50 times as slowly as float32: a side of 2048 took minutes.
    """
    whole = SIDES.get(device.type, SIDES["cpu"])
    side = min(SMALLEST, whole)
    while side < whole:
        matrices = _matrices(side, device, dtype)
        if 8 * min(_seconds(*matrices), _seconds(*matrices)) > SECONDS:  # twice the side is 8 times the work
            break
        side *= 2
    return side


def _matrices(side: int, device: torch.device, dtype: str) -> tuple[Tensor, Tensor, Tensor]:
    """Two to multiply, and one for the product."""
    a, b, out = (torch.randn(side, side, device=device).to(DTYPES[dtype]) for _ in range(3))
    return a, b, out


def _seconds(a: Tensor, b: Tensor, out: Tensor) -> float:
    _wait(a.device)
    start = time.perf_counter()
    torch.mm(a, b, out=out)
    _wait(a.device)
    return time.perf_counter() - start


def _wait(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def shares_of_peak(flops: int, peak: float, timings: Mapping[str, Mapping[str, Any]]) -> dict[str, float | None]:
    """The shares of `peak` (operations a second) that a network of `flops` operations an image reaches.

    `timings` are those of `throughput` and, where it was measured, `training`, each with its `images_per_s`.
    """
    passes = {"inference": ("throughput", 1), "training": ("training", TRAINING)}
    return {
        name: times * flops * timings[of]["images_per_s"] / peak if of in timings else None
        for name, (of, times) in passes.items()
    }
