"""What one process measures of one model: its memory, and its times.

A network is warmed up before each time, and compiled, where that is asked for, before all of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn

from levelfield.cost.energy import energy_meter
from levelfield.cost.machine_at_rest import asked_of_gpu
from levelfield.cost.macs import count_macs
from levelfield.cost.memory import measure_memory
from levelfield.cost.parameters import count_parameters
from levelfield.cost.peak import peak_flops
from levelfield.cost.timing import (
    WARM_UP,
    Timing,
    autocast,
    measure,
    measure_inference,
    random_images,
    synchronize,
    training_step,
)
from levelfield.float32 import float32_precision, set_tf32
from levelfield.memory_allocator import keep_freed_memory
from levelfield.module_mode import evaluation_mode
from levelfield.precision import DTYPES
from levelfield.system.machine import clock_mhz

RECORDING: Final = 3
"""Calls until a compiled network replays CUDA graphs: one compiles, one records, one replays for the first time."""


Deploy = Callable[[nn.Module, Tensor, torch.dtype], tuple[nn.Module, dict[str, Any]]]


@dataclass(frozen=True)
class Setting:
    """How a model is profiled. `build` is a picklable function; `dtype` one of `DTYPES`; `seconds` for each timing.

    A timing takes at least `min_repeats` calls, after `warm_up`. `deploy`, a picklable function too, makes of a model,
    images and a dtype the form that only predicts, and says what became of it; that form is measured beside the model.
    `explain`, picklable as well, makes of an error met while measuring the one to raise instead, or None.
    """

    build: Callable[[], nn.Module]
    image_size: int
    batch: int = 64
    device: str = "cpu"
    dtype: str = "fp32"
    train: bool = False
    compile: bool = False
    seconds: float = 2.0
    threads: int | None = None
    tf32: bool = False
    cuda_graphs: bool = False
    min_repeats: int = 10
    warm_up: int = WARM_UP
    deploy: Deploy | None = None
    explain: Callable[[Exception], Exception | None] | None = None


def measure_times(setting: Setting) -> dict[str, Any]:
    """What `Timed.take` says, once, and `peak_flops`."""
    keep_freed_memory()
    timed = Timed(*_prepare(setting), setting)
    return {**timed.take(), **_peak(setting)}


def measure_memory_of(setting: Setting) -> dict[str, Any]:
    """The memory of one batch of inference and, if asked, of two training steps."""
    return _memory(*_prepare(setting), setting)


def measure_deployed_memory(setting: Setting) -> dict[str, Any]:
    """The memory of one batch of inference of the deployed form, the network itself thrown away."""
    model, device = _prepare(setting)
    form, _ = _deployed(model, setting.batch, device, setting)
    del model
    return _memory_of_inference(form, device, setting)


def measure_all(setting: Setting) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Memory of one network, and its times twice. Memory first: what is measured later counts what was left behind."""
    model, device = _prepare(setting)
    memory = _memory(model, device, setting)
    keep_freed_memory()
    timed = Timed(model, device, setting)
    one, two, peak = timed.take(), timed.take(), _peak(setting)
    return {**one, **peak}, {**two, **peak}, memory


def _prepare(setting: Setting) -> tuple[nn.Module, torch.device]:
    if setting.threads is not None:
        torch.set_num_threads(setting.threads)
    set_tf32(setting.tf32)
    device = torch.device(setting.device)
    model = setting.build().to(device)
    return model.to(memory_format=torch.channels_last), device  # type: ignore[call-overload]


def _peak(setting: Setting) -> dict[str, float]:
    return {"peak_flops": peak_flops(torch.device(setting.device), setting.dtype, setting.tf32)}


class Timed:
    """A network that is timed: counted and, where that is asked for, compiled or deployed when this is made."""

    def __init__(self, model: nn.Module, device: torch.device, setting: Setting) -> None:
        self.model, self.device, self.setting = model, device, setting
        parameters, macs = count_parameters(model), count_macs(model, setting.image_size)
        compiled = setting.compile or setting.cuda_graphs
        self.facts = {
            "params": parameters.total,
            "trainable_params": parameters.trainable,
            "frozen_params": parameters.frozen,
            "buffers": parameters.buffers,
            "param_mib": parameters.mib,
            "macs": macs.total,
            "flops": macs.flops,
            "macs_by_kind": macs.by_kind,
            "compile_seconds": _compile(model, setting, device) if compiled else None,
            "threads": torch.get_num_threads(),
            "compiled": compiled,
            "cuda_graphs": setting.cuda_graphs,
            "fp32_precision": float32_precision() if device.type == "cuda" else None,
            "deployed": None,
        }
        self.forms: dict[int, nn.Module] = {}
        for batch in (1, setting.batch) if setting.deploy is not None else ():
            self.forms[batch], self.facts["deployed"] = _deployed(model, batch, device, setting)

    def take(self) -> dict[str, Any]:
        """The network's facts, and `latency`, `throughput`, `training`, those of forms made for so large batches
        (`deployed_latency`, `deployed_throughput`), `joules_per_image` and `clocks_mhz` now.
        """
        setting, device = self.setting, self.device
        clocks = [_clock_mhz(device)]
        latency, deployed_latency = self._inference(self.model, 1), self._inference_deployed(1)
        meter = energy_meter(device)
        joules = meter.joules() if meter else 0.0
        throughput = self._inference(self.model, setting.batch)
        done = setting.batch * (throughput.repeats + throughput.warmup)
        joules_per_image = (meter.joules() - joules) / done if meter else None
        deployed_throughput = self._inference_deployed(setting.batch)
        clocks.append(_clock_mhz(device))
        training = None
        if setting.train:
            step, least = _training_step(self.model, setting, device), min(5, setting.min_repeats)
            training = measure(
                step, device, setting.batch, seconds=setting.seconds, min_repeats=least, warm_up=setting.warm_up
            )
        return {
            **self.facts,
            "latency": asdict(latency),
            "throughput": asdict(throughput),
            "training": None if training is None else asdict(training),
            "deployed_latency": deployed_latency,
            "deployed_throughput": deployed_throughput,
            "joules_per_image": joules_per_image,
            "clocks_mhz": clocks if all(clock is not None for clock in clocks) else None,
        }

    def _inference_deployed(self, batch: int) -> dict[str, Any] | None:
        return asdict(self._inference(self.forms[batch], batch)) if self.forms else None

    def _inference(self, model: nn.Module, batch: int) -> Timing:
        setting = self.setting
        return measure_inference(
            model, batch, setting.image_size, self.device, DTYPES[setting.dtype],
            seconds=setting.seconds, min_repeats=setting.min_repeats, warm_up=setting.warm_up,
        )  # fmt: skip


def _deployed(model: nn.Module, batch: int, device: torch.device, setting: Setting) -> tuple[nn.Module, dict[str, Any]]:
    assert setting.deploy is not None
    return setting.deploy(model, random_images(batch, setting.image_size, device), DTYPES[setting.dtype])


def _training_step(model: nn.Module, setting: Setting, device: torch.device) -> Callable[[], None]:
    return training_step(model, setting.batch, setting.image_size, device, DTYPES[setting.dtype])


def _compile(model: nn.Module, setting: Setting, device: torch.device) -> float:
    """Compile `model` in place for both batch sizes, and for training if that is measured; the seconds that it took,
    first calls included. With CUDA graphs the first calls record them too."""
    start = time.perf_counter()
    # a network for any batch size would be slower than what trains and serves: one for each
    model.compile(mode="reduce-overhead" if setting.cuda_graphs else None, dynamic=False)
    for batch in {setting.batch, 1}:
        x = random_images(batch, setting.image_size, device)
        with evaluation_mode(model), torch.inference_mode(), autocast(device, DTYPES[setting.dtype]):
            for _ in range(RECORDING):
                model(x)
    if setting.train:
        step = _training_step(model, setting, device)
        for _ in range(RECORDING):
            step()
    synchronize(device)
    return time.perf_counter() - start


def _memory_of_inference(model: nn.Module, device: torch.device, setting: Setting) -> dict[str, Any]:
    x = random_images(setting.batch, setting.image_size, device)

    def infer() -> None:
        with torch.inference_mode(), autocast(device, DTYPES[setting.dtype]):
            model(x)

    with evaluation_mode(model):
        return asdict(measure_memory(infer, device))


def _memory(model: nn.Module, device: torch.device, setting: Setting) -> dict[str, Any]:
    inference = _memory_of_inference(model, device, setting)
    if not setting.train:
        return {"inference": inference, "training": None}
    step = _training_step(model, setting, device)
    return {"inference": inference, "training": asdict(measure_memory(lambda: (step(), step()), device))}


def _clock_mhz(device: torch.device) -> float | None:
    """The clock of the GPU (through NVML) or the mean of the CPU's cores now, where the system tells."""
    if device.type == "cuda":
        return asked_of_gpu(torch.cuda.clock_rate, device)
    return clock_mhz()
