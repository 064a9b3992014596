"""OutGridViT as levelfield computes it against the straightforward unfold form: equality, then ratios from one run.

    python benchmarks/outgrid.py [--threads 2] [--batch 64] [--device cpu] [--dtype fp32] [--engine eager]
                                 [--seconds 30] [--json FILE]

On a CPU, kernel by kernel, a further form is timed: levelfield's own network with its fast forms switched off, every
operator torch's own. All forms have the same weights, the same optimiser (AdamW), the same images and the same
allocator; their steps take turns, and a ratio is the median over the turns. `cpu` ratios are of process time: they
hold on a busy machine too. float32 is computed in full everywhere, on a GPU too, where TensorFloat-32 would make forms
differ that are equal.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from levelfield import native
from levelfield.cost import count_macs, count_parameters
from levelfield.cost.timing import synchronize, training_step
from levelfield.float32 import float32_precision, set_tf32
from levelfield.memory_allocator import keep_freed_memory
from levelfield.models import create_model
from levelfield.models.kernels import linear
from levelfield.training.environment import describe_environment
from unfold_outgrid import UnfoldOutGrid

TOLERANCE = 1e-5
PLAIN = "levelfield, plain"
ENGINES = ("eager", "compile", "graphs")
WARM_UP = 4
"""Turns that are not counted of compiled forms: the first compiles, the next record CUDA graphs."""


def pair(drop_path: float) -> tuple[nn.Module, nn.Module]:
    """levelfield's `outgrid_7m` and the unfold form with its weights (their parameters are created in one order)."""
    fast = create_model("outgrid_7m", 100, 32, drop_path=drop_path)
    plain = UnfoldOutGrid(drop_path=drop_path)
    with torch.no_grad():
        for mine, theirs in zip(fast.state_dict().values(), plain.state_dict().values(), strict=True):
            theirs.copy_(mine.reshape(theirs.shape))
    return fast, plain


def carry_out(model: nn.Module, engine: str) -> None:
    """Let `model` compute kernel by kernel, compiled, or compiled and replayed as CUDA graphs."""
    if engine != "eager":
        model.compile(mode="reduce-overhead" if engine == "graphs" else None, dynamic=False)


@contextmanager
def plain_torch() -> Iterator[None]:
    """Inside, levelfield's networks are computed by torch's own operators alone."""
    with (
        mock.patch.object(native, "library", lambda: None),
        mock.patch.object(linear, "onednn_multiplies_bf16", lambda: False),
    ):
        yield


def relative(a: Tensor, b: Tensor) -> float:
    """Distance in the 2-norm, relative to b."""
    return float((a.detach().double() - b.detach().double()).norm() / b.detach().double().norm())


def check_equality(device: torch.device, count: int = 16) -> dict[str, float]:
    """Relative differences of logits (evaluation, training), gradients and BatchNorm statistics, below TOLERANCE."""
    set_tf32(False)
    torch.manual_seed(0)
    forms = [model.to(device) for model in pair(drop_path=0.0)]
    images, labels = torch.randn(count, 3, 32, 32, device=device), torch.arange(count, device=device)
    seen: list[dict[str, Tensor]] = []
    for model in forms:
        evaluated = model.eval()(images)
        logits = model.train()(images)
        F.cross_entropy(logits, labels).backward()
        seen.append(
            {
                "evaluation": evaluated,
                "training": logits,
                "gradients": torch.cat([parameter.grad.flatten() for parameter in model.parameters()]),
                "statistics": torch.cat([buffer.flatten().float() for buffer in model.buffers()]),
            }
        )
    found = {what: relative(seen[0][what], seen[1][what]) for what in seen[0]}
    assert count_macs(forms[0], 32) == count_macs(forms[1], 32), "the two forms must cost the same"
    assert count_parameters(forms[0]).total == count_parameters(forms[1]).total
    if wrong := {what: value for what, value in found.items() if not value < TOLERANCE}:
        raise SystemExit(f"the forms differ: {wrong}")
    return found


def turns(
    calls: dict[str, Callable[[], object]], device: torch.device, seconds: float, warm_up: int = 1
) -> dict[str, Any]:
    """Run the calls in turn for `seconds` (three turns at least, after `warm_up`); the first over each other one."""
    wall: dict[str, list[float]] = {name: [] for name in calls}
    cpu: dict[str, list[float]] = {name: [] for name in calls}
    for call in list(calls.values()) * warm_up:
        call()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(next(iter(wall.values()))) < 3:
        for name, call in calls.items():
            synchronize(device)
            start, start_cpu = time.perf_counter(), time.process_time()
            call()
            synchronize(device)
            wall[name].append(time.perf_counter() - start)
            cpu[name].append(time.process_time() - start_cpu)
    first = next(iter(calls))
    result: dict[str, Any] = {"turns": len(wall[first])}
    for name in calls:
        result[name] = {"wall_s": statistics.median(wall[name]), "cpu_s": statistics.median(cpu[name])}
        for kind, times in (("wall", wall), ("cpu", cpu)):
            quotients = [other / mine for other, mine in zip(times[name], times[first], strict=True)]
            result[name][f"{kind}_ratio"] = statistics.median(quotients)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seconds", type=float, default=30.0, help="of each comparison")
    parser.add_argument("--dtype", choices=("fp32", "bf16", "fp16"), default="fp32")
    parser.add_argument("--engine", choices=ENGINES, default="eager", help="eager, compile, or graphs (CUDA graphs)")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    device = torch.device(arguments.device)
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[arguments.dtype]
    if device.type == "cpu":
        native.build()
    kept = keep_freed_memory()
    load = os.getloadavg()[0]
    differences = check_equality(device)

    fast, plain = (model.to(device) for model in pair(drop_path=0.07))
    last = UnfoldOutGrid().to(device, memory_format=torch.channels_last)
    forms = {"levelfield": fast, "unfold": plain, "unfold channels-last": last}
    if device.type == "cpu" and arguments.engine == "eager":
        forms[PLAIN] = pair(drop_path=0.07)[0]
    for form in forms.values():
        carry_out(form, arguments.engine)
    layouts = {"levelfield": True, "unfold": False, "unfold channels-last": True, PLAIN: True}
    steps = {
        name: training_step(model, arguments.batch, 32, device, dtype, channels_last=layouts[name])
        for name, model in forms.items()
    }
    if PLAIN in steps:
        steps[PLAIN] = plain_torch()(steps[PLAIN])
    warm_up = 1 if arguments.engine == "eager" else WARM_UP
    training = turns(steps, device, arguments.seconds, warm_up)
    images = torch.randn(arguments.batch, 3, 32, 32, device=device)
    by_layout = {False: images, True: images.contiguous(memory_format=torch.channels_last)}

    def infer(name: str) -> Callable[[], Tensor]:
        forms[name].eval()

        def call() -> Tensor:
            with torch.inference_mode(), torch.autocast(device.type, dtype, enabled=dtype is not torch.float32):
                return forms[name](by_layout[layouts[name]])

        return plain_torch()(call) if name == PLAIN else call

    inference = turns({name: infer(name) for name in forms}, device, arguments.seconds, warm_up)
    report = {
        "benchmark": "outgrid", "model": "outgrid_7m", "batch": arguments.batch, "dtype": arguments.dtype,
        "engine": arguments.engine, "fp32_precision": float32_precision(),
        "load_before": load, "keeps_freed_memory": kept, "differences": differences, "training": training,
        "inference": inference, "environment": describe_environment(device),
    }  # fmt: skip
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(
        f"outgrid_7m, batch {arguments.batch}, {arguments.dtype}, {arguments.engine}, {device}, "
        f"{arguments.threads} threads, "
        f"load {load:.1f}"
    )
    print("equal within " + ", ".join(f"{what} {value:.1e}" for what, value in differences.items()))
    print(f"{'':10}{'form':22}{'images/s':>10}{'ratio':>8}{'CPU s':>9}{'ratio':>8}")
    for what, table in (("training", training), ("inference", inference)):
        for name in forms:
            row = table[name]
            speed = arguments.batch / row["wall_s"]
            print(f"{what:10}{name:22}{speed:10.1f}{row['wall_ratio']:8.2f}{row['cpu_s']:9.2f}{row['cpu_ratio']:8.2f}")


if __name__ == "__main__":
    main()
