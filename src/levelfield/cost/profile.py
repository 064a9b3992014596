"""Everything that one model costs, measured in fresh processes: one for time, one for memory.

A process for each keeps what one model left behind (a fragmented heap, cached kernels, warm caches) from the next, and
the bookkeeping of memory out of the times. What is built is described by a function that can be pickled.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from typing import Any, Final

import torch
from torch import nn

from levelfield.allocator import keep_freed_memory
from levelfield.cost.energy import energy_meter
from levelfield.cost.macs import count_macs, evaluating
from levelfield.cost.memory import measure_memory
from levelfield.cost.parameters import count_parameters
from levelfield.cost.timing import Timing, autocast, measure, measure_inference, synchronize, training_step
from levelfield.errors import UserError

NOISY_PERCENT: Final = 2.0
"""A machine is noisy where repeated medians are further apart than this, or quartiles further than three times it."""
DTYPES: Final = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Setting:
    """How a model is profiled. `build` is a picklable function; `dtype` one of `DTYPES`; `seconds` for each timing."""

    build: Callable[[], nn.Module]
    image_size: int
    batch: int = 64
    device: str = "cpu"
    dtype: str = "fp32"
    train: bool = False
    compile: bool = False
    channels_last: bool = True
    channels: int = 3
    seconds: float = 2.0
    threads: int | None = None


def profile(setting: Setting) -> dict[str, Any]:
    """Profile one model: plain JSON values.

    `params`, `trainable_params`, `frozen_params`, `buffers`, `param_mib`, `macs`, `flops`, `macs_by_kind` (one image);
    `latency` (batch 1), `throughput` and, if asked, `training` (a step): median, quartiles and p99 in ms and images/s;
    `images_per_s`, `ms_per_batch`; `memory` of inference and training in MiB; `compile_seconds`, `joules_per_image`
    (null where not measured); `noise_percent`, `noisy`; `threads`, `clocks_mhz`.
    """
    times = _in_own_process(_measure_times, setting)
    memory = _in_own_process(_measure_memory, setting)
    return {**times, "memory": memory}


def _in_own_process(work: Callable[[Setting], dict[str, Any]], setting: Setting) -> dict[str, Any]:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            return pool.submit(work, setting).result()
        except BrokenProcessPool:
            raise UserError(
                f"profiling at batch {setting.batch}, {setting.image_size} px was killed, probably for want of memory\n"
                "lower --batch or --image-size"
            ) from None


def _prepare(setting: Setting) -> tuple[nn.Module, torch.device]:
    if setting.threads is not None:
        torch.set_num_threads(setting.threads)
    device = torch.device(setting.device)
    model = setting.build().to(device)
    if setting.channels_last:
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model.eval(), device


def _measure_times(setting: Setting) -> dict[str, Any]:
    keep_freed_memory()
    model, device = _prepare(setting)
    dtype = DTYPES[setting.dtype]
    parameters, macs = count_parameters(model), count_macs(model, setting.image_size, setting.channels)
    clocks = [_clock_mhz(device)]
    compile_seconds = _compile(model, setting, device) if setting.compile else None

    def inference(batch: int, seconds: float) -> Timing:
        return measure_inference(
            model, batch, setting.image_size, device, dtype,
            channels=setting.channels, channels_last=setting.channels_last, seconds=seconds,
        )  # fmt: skip

    first = inference(setting.batch, setting.seconds)
    latency = inference(1, setting.seconds)
    meter = energy_meter(device)
    joules = meter() if meter else 0.0
    throughput = inference(setting.batch, setting.seconds)
    done = setting.batch * (throughput.repeats + throughput.warmup)
    joules_per_image = (meter() - joules) / done if meter else None
    clocks.append(_clock_mhz(device))
    training = None
    if setting.train:
        step = _training_step(model, setting, device)
        training = measure(step, device, setting.batch, seconds=setting.seconds, min_repeats=5)
    noise = _noise_percent(first, throughput)
    return {
        "params": parameters.total,
        "trainable_params": parameters.trainable,
        "frozen_params": parameters.frozen,
        "buffers": parameters.buffers,
        "param_mib": parameters.mib,
        "macs": macs.total,
        "flops": macs.flops,
        "macs_by_kind": macs.by_kind,
        "images_per_s": throughput.images_per_s,
        "ms_per_batch": throughput.ms_median,
        "latency": asdict(latency),
        "throughput": asdict(throughput),
        "training": None if training is None else asdict(training),
        "compile_seconds": compile_seconds,
        "joules_per_image": joules_per_image,
        "noise_percent": noise,
        "noisy": noise > NOISY_PERCENT,
        "threads": torch.get_num_threads(),
        "clocks_mhz": clocks if all(clock is not None for clock in clocks) else None,
    }


def _training_step(model: nn.Module, setting: Setting, device: torch.device) -> Callable[[], None]:
    return training_step(
        model, setting.batch, setting.image_size, device, DTYPES[setting.dtype],
        channels=setting.channels, channels_last=setting.channels_last,
    )  # fmt: skip


def _noise_percent(first: Timing, second: Timing) -> float:
    """The gap between two medians taken apart or a third of the quartiles' distance, the larger of both, in percent."""
    gap = abs(first.ms_median - second.ms_median) / min(first.ms_median, second.ms_median)
    spread = max((timing.ms_q3 - timing.ms_q1) / timing.ms_median for timing in (first, second))
    return 100 * max(gap, spread / 3)


def _compile(model: nn.Module, setting: Setting, device: torch.device) -> float:
    """Compile `model` in place for both batch sizes; the seconds that took, first calls included."""
    start = time.perf_counter()
    model.compile()
    for batch in {setting.batch, 1}:
        x = torch.randn(batch, setting.channels, setting.image_size, setting.image_size, device=device)
        x = x.contiguous(memory_format=torch.channels_last) if setting.channels_last else x
        with evaluating(model), torch.inference_mode(), autocast(device, DTYPES[setting.dtype]):
            model(x)
    synchronize(device)
    return time.perf_counter() - start


def _measure_memory(setting: Setting) -> dict[str, Any]:
    model, device = _prepare(setting)
    shape = (setting.batch, setting.channels, setting.image_size, setting.image_size)
    x = torch.randn(shape, device=device)
    x = x.contiguous(memory_format=torch.channels_last) if setting.channels_last else x

    def infer() -> None:
        with torch.inference_mode(), autocast(device, DTYPES[setting.dtype]):
            model(x)

    inference = asdict(measure_memory(infer, device))
    if not setting.train:
        return {"inference": inference, "training": None}
    step = _training_step(model, setting, device)
    return {"inference": inference, "training": asdict(measure_memory(lambda: (step(), step()), device))}


def _clock_mhz(device: torch.device) -> float | None:
    """The clock of the GPU (through NVML) or the mean of the CPU's cores now, where the system tells."""
    if device.type == "cuda":
        try:
            return float(torch.cuda.clock_rate(device))
        except (ModuleNotFoundError, RuntimeError):
            return None
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:  # noqa: PTH123
            mhz = [float(line.split(":")[1]) for line in lines if line.startswith("cpu MHz")]
    except OSError:
        return None
    return sum(mhz) / len(mhz) if mhz else None
