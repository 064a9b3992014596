"""The program that calls the library, left as it was: what training sets for a whole process is put back afterwards."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch

from levelfield.float32 import switches
from levelfield.memory_allocator import left_alone
from levelfield.training.determinism import use_deterministic_algorithms


@contextmanager
def host_unchanged() -> Iterator[None]:
    """While it is entered, torch's switches, the generators and the environment may be set; then they are put back.

    malloc, whose settings cannot be read and so not be put back, is not touched: a program that wants the speed of
    `levelfield.memory_allocator.keep_freed_memory` on a CPU calls it by itself.
    """
    settings, environment = _settings(), dict(os.environ)
    try:
        with left_alone():
            yield
    finally:
        for put_back, value in settings:
            put_back(value)
        for key in set(os.environ) - set(environment):
            del os.environ[key]
        os.environ.update(environment)


def _settings() -> list[tuple[Callable[[Any], object], Any]]:
    """What puts each setting of the process back, and what it is now."""
    cudnn, determinism = torch.backends.cudnn, torch.utils.deterministic
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    on_mps = torch.backends.mps.is_available()
    on_cuda = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    return [
        (torch.set_num_threads, torch.get_num_threads()),
        (
            partial(use_deterministic_algorithms, warn_only=warn_only),
            torch.are_deterministic_algorithms_enabled(),
        ),
        (partial(setattr, determinism, "fill_uninitialized_memory"), determinism.fill_uninitialized_memory),  # type: ignore[attr-defined]
        (partial(setattr, cudnn, "benchmark"), cudnn.benchmark),
        *_older(torch.set_float32_matmul_precision, torch.get_float32_matmul_precision),
        *_older(partial(setattr, cudnn, "allow_tf32"), lambda: cudnn.allow_tf32),
        *((partial(setattr, part, "fp32_precision"), part.fp32_precision) for part in switches()),  # after the older
        (random.setstate, random.getstate()),
        (np.random.set_state, np.random.get_state()),
        (torch.set_rng_state, torch.get_rng_state()),
        *([(torch.cuda.set_rng_state_all, torch.cuda.get_rng_state_all())] if on_cuda else []),
        *([(torch.mps.set_rng_state, torch.mps.get_rng_state())] if on_mps else []),
    ]


def _older(put_back: Callable[[Any], object], read: Callable[[], Any]) -> list[tuple[Callable[[Any], object], Any]]:
    """An older switch; nothing where the program has set only the newer ones, and torch refuses to say."""
    try:
        return [(put_back, read())]
    except RuntimeError:
        return []
