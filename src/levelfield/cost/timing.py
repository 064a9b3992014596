"""How long a model takes, alone: warmed up, synchronised, with its spread."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from levelfield.module_mode import TrainingMode, evaluation_mode
from levelfield.optimizers_without_compiler import put_off_breaks, put_off_marks
from levelfield.spec import Freeze

WARM_UP: Final = 3


@dataclass(frozen=True)
class Timing:
    """Times of one repeated call in ms: median, quartiles and 99th percentile over `repeats`, after `warmup` calls."""

    batch: int
    ms_median: float
    ms_q1: float
    ms_q3: float
    ms_p99: float
    images_per_s: float
    repeats: int
    warmup: int


def synchronize(device: torch.device) -> None:
    """Wait until `device` has done what it was given (CPUs always have)."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def measure(
    call: Callable[[], object], device: torch.device, batch: int, *, seconds: float = 2.0, min_repeats: int = 10,
    warm_up: int = WARM_UP,
) -> Timing:  # fmt: skip
    """Time `call` (which handles `batch` images) for at least `seconds` and `min_repeats`, one synchronisation a call.

    Warm-up takes at least `warm_up` calls and a quarter of `seconds`, whichever is longer.
    """
    warmed = _times(call, device, seconds / 4, warm_up)
    ms = 1e3 * np.asarray(_times(call, device, seconds, min_repeats))
    q1, median, q3, p99 = (float(q) for q in np.quantile(ms, [0.25, 0.5, 0.75, 0.99]))
    return Timing(batch, median, q1, q3, p99, batch * 1e3 / median, len(ms), len(warmed))


def _times(call: Callable[[], object], device: torch.device, seconds: float, at_least: int) -> list[float]:
    times: list[float] = []
    synchronize(device)
    end = time.perf_counter() + seconds
    while len(times) < at_least or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        synchronize(device)
        times.append(time.perf_counter() - start)
    return times


def autocast(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    """The context in which a model of float32 weights computes in `dtype`, as training with mixed precision does."""
    return torch.autocast(device.type, dtype, enabled=dtype is not torch.float32)


def random_images(batch: int, image_size: int, device: torch.device, channels_last: bool = True) -> Tensor:
    """Standard normal images (batch, 3, image_size, image_size), laid out channels-last unless told otherwise."""
    x = torch.randn(batch, 3, image_size, image_size, device=device)
    return x.contiguous(memory_format=torch.channels_last) if channels_last else x


def measure_inference(
    model: nn.Module,
    batch: int,
    image_size: int,
    device: torch.device | str,
    dtype: torch.dtype = torch.float32,
    *,
    seconds: float = 2.0,
    min_repeats: int = 10,
    warm_up: int = WARM_UP,
) -> Timing:
    """Time the forward of `model` (already on `device`) on `random_images`.

    Evaluation mode, no gradients; float16 and bfloat16 by autocast. The model's mode is restored. No loader, no copies
    to the device: the model alone.
    """
    device = torch.device(device)
    x = random_images(batch, image_size, device)
    with evaluation_mode(model), torch.inference_mode(), autocast(device, dtype):
        return measure(lambda: model(x), device, batch, seconds=seconds, min_repeats=min_repeats, warm_up=warm_up)


def training_step(
    model: nn.Module,
    batch: int,
    image_size: int,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    *,
    channels_last: bool = True,
) -> Callable[[], None]:
    """A training step of `model` (put into training mode) on random images and labels: forward, cross entropy, backward
    and AdamW (fused where torch can), the loss scaled for float16 on CUDA. Call it as often as you like.
    """
    TrainingMode(model, Freeze(), steps_per_epoch=1).enter(0)
    x = random_images(batch, image_size, device, channels_last)
    with torch.no_grad(), autocast(device, dtype), evaluation_mode(model):
        classes = model(x[:1]).shape[1]
    labels = torch.randint(classes, (batch,), device=device)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    put_off_marks()
    optimizer = torch.optim.AdamW(trained, lr=1e-4, fused=True)
    put_off_breaks(optimizer)
    scaler = torch.amp.GradScaler(device.type, enabled=dtype is torch.float16 and device.type == "cuda")

    def step() -> None:
        with autocast(device, dtype):
            loss = F.cross_entropy(model(x), labels)
        scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad(set_to_none=True)

    return step
