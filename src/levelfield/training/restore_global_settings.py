"""The program that calls the library, left as it was: what training sets for a whole process is put back afterwards."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from levelfield.float32 import switches
from levelfield.memory_allocator import left_alone


@contextmanager
def host_unchanged() -> Iterator[None]:
    """While it is entered, torch's switches, the generators and the environment may be set; then they are put back.

    malloc, whose settings cannot be read and so not be put back, is not touched: a program that wants the speed of
    `levelfield.memory_allocator.keep_freed_memory` on a CPU calls it by itself.
    """
    before, generators, environment = _switches(), _generators(), dict(os.environ)
    try:
        with left_alone():
            yield
    finally:
        _set_switches(before)
        _set_generators(generators)
        for key in set(os.environ) - set(environment):
            del os.environ[key]
        os.environ.update(environment)


def _switches() -> dict[str, Any]:
    return {
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "warn_only": torch.is_deterministic_algorithms_warn_only_enabled(),
        "fill": torch.utils.deterministic.fill_uninitialized_memory,  # type: ignore[attr-defined]
        "benchmark": torch.backends.cudnn.benchmark,
        "products": _older(torch.get_float32_matmul_precision),
        "cudnn_tf32": _older(lambda: torch.backends.cudnn.allow_tf32),
        "precisions": [part.fp32_precision for part in switches()],
    }


def _older(read: Callable[[], Any]) -> Any:
    """What an older switch says; None where the program has set only the newer ones, and torch refuses to say."""
    try:
        return read()
    except RuntimeError:
        return None


def _set_switches(values: dict[str, Any]) -> None:
    torch.set_num_threads(values["threads"])
    torch.use_deterministic_algorithms(values["deterministic"], warn_only=values["warn_only"])
    torch.utils.deterministic.fill_uninitialized_memory = values["fill"]  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = values["benchmark"]
    if values["products"] is not None:
        torch.set_float32_matmul_precision(values["products"])
    if values["cudnn_tf32"] is not None:
        torch.backends.cudnn.allow_tf32 = values["cudnn_tf32"]
    for part, precision in zip(switches(), values["precisions"], strict=True):  # after the older switches
        part.fp32_precision = precision


def _generators() -> dict[str, Any]:
    return {
        "python": random.getstate(),
        "numpy": np.random.get_state(),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None,  # type: ignore[no-untyped-call]
    }


def _set_generators(states: dict[str, Any]) -> None:
    random.setstate(states["python"])
    np.random.set_state(states["numpy"])
    torch.set_rng_state(states["torch"])
    if states["cuda"] is not None:
        torch.cuda.set_rng_state_all(states["cuda"])
