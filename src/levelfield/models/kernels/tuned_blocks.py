"""How many pixels a program of a Triton kernel takes, and by how many warps: measured once per device, kept on disk.

What is fastest depends on the device and the sizes. The first call of a kernel with new sizes times some candidates and
writes what it found below the cache folder; later processes read it. A candidate sums in its own order, so where torch
is asked for deterministic algorithms, and while a CUDA graph is being captured (nothing can be timed then), what is not
known takes `DEFAULT`.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Final

import torch

from levelfield.data.cache_folder import cache_dir, replacing
from levelfield.errors import UserError

Block = tuple[int, int]
"""(pixels, warps) of a program."""
DEFAULT: Final[Block] = (32, 4)
CANDIDATES: Final[tuple[Block, ...]] = (DEFAULT, (32, 2), (64, 4), (16, 1), (128, 8))
BUDGET_S: Final = 20.0
"""Candidates are tried until so much is spent, most of which is their compilation."""
REPEATS: Final = 20

_known: dict[Path, dict[str, Block]] = {}


def block_for(what: str, device: torch.device, launch: Callable[[Block], None]) -> Block:
    """The block of the kernel and sizes that `what` names on `device`; `launch` runs it with a given one.

    `launch` is called several times where nothing is known yet: what it writes must not depend on how often.
    """
    if device.type != "cuda" or torch.are_deterministic_algorithms_enabled():
        return DEFAULT
    return _found(what, torch.cuda.get_device_name(device), launch)


def _found(what: str, device_name: str, launch: Callable[[Block], None]) -> Block:
    path = _path(device_name)
    if path not in _known:
        _known[path] = _read(path)
    known = _known[path]
    if what not in known:
        if torch.cuda.is_available() and torch.cuda.is_current_stream_capturing():
            return DEFAULT
        _tell(device_name)
        known[what] = _fastest(launch)
        _write(path, {**_read(path), **known})
    return known[what]


@cache
def _tell(device_name: str) -> None:
    """Once in a process, as the first step waits for it: 40 s for outgrid_7m on the host of an H200."""
    print(f"first use of these kernels on {device_name}: compiled and measured once, within a minute", file=sys.stderr)


def _fastest(launch: Callable[[Block], None]) -> Block:
    """The candidate of the shortest time; those that the device has no room for are passed over."""
    times: dict[Block, float] = {}
    end = time.monotonic() + BUDGET_S
    for block in CANDIDATES:
        if times and time.monotonic() > end:
            break
        try:
            times[block] = _milliseconds(launch, block)
        except Exception:  # Triton's OutOfResources and what its compiler raises share no base but this
            if block == DEFAULT:
                raise
    return min(times, key=lambda block: times[block])


def _milliseconds(launch: Callable[[Block], None], block: Block) -> float:
    for _ in range(3):
        launch(block)
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    for _ in range(REPEATS):
        launch(block)
    end.record()
    end.synchronize()
    return float(begin.elapsed_time(end))


def _path(device_name: str) -> Path:
    """By device, and by what the kernels and torch are: another kernel is tuned anew."""
    sources = b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*_triton.py")))
    digest = hashlib.sha256(sources + torch.__version__.encode()).hexdigest()[:12]
    return cache_dir() / "triton-blocks" / f"{re.sub(r'[^A-Za-z0-9]+', '-', device_name)}-{digest}.json"


def _read(path: Path) -> dict[str, Block]:
    """What is on disk; nothing where that is damaged."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return {str(what): (int(pixels), int(warps)) for what, (pixels, warps) in values.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _write(path: Path, values: dict[str, Block]) -> None:
    try:
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(values, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    except (OSError, UserError):  # a cache that cannot be written is measured again, and that is all
        return
