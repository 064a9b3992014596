"""Muon in few operations against timm's own, which takes one parameter after the other: equality, operations, seconds.

    python benchmarks/muon.py [--model outgrid_7m] [--device cpu] [--threads 1] [--turns 15] [--json FILE]

Both step the same weights with the same gradients, in turns; a ratio is the median over the turns. `operations` are
what torch dispatches, views left out; the form for devices is counted on a CPU too. On a CPU `equal` says whether the
weights agree to the bit, on a GPU `apart` how far they are, relative to the way they went. `products` are the CPU
seconds of our step with matrices multiplied in float32 and in bfloat16 (emulated: give a small --model), of which
levelfield takes `chosen`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections import Counter
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from levelfield.cost.timing import synchronize
from levelfield.models import create_model
from levelfield.spec import load_recipe
from levelfield.training import muon
from levelfield.training.environment import describe_environment
from levelfield.training.newton_schulz import products_dtype
from levelfield.training.optimizers import make_optimizer
from levelfield.training.optimizers_of_timm import file_of_timm

VIEWS = {"view", "transpose", "as_strided", "slice", "split", "split_with_sizes", "unbind", "detach", "alias", "select"}
NO_LAUNCH = VIEWS | {"empty", "empty_like", "new_empty", "t", "permute", "_record_function_enter_new"}


class Operations(TorchDispatchMode):
    """Counts what torch dispatches."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.counts[func._opname] += 1
        return func(*args, **(kwargs or {}))


def operations(optimizer: torch.optim.Optimizer) -> int:
    optimizer.step()
    with Operations() as seen:
        optimizer.step()
    return sum(count for name, count in seen.counts.items() if name not in NO_LAUNCH)


def give_gradients(models: list[nn.Module], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameters in zip(*(model.parameters() for model in models), strict=True):
        values = torch.randn(parameters[0].shape, generator=generator)
        for parameter in parameters:
            parameter.grad = torch.empty_like(parameter).copy_(values)


def timed(optimizer: torch.optim.Optimizer, device: torch.device) -> tuple[float, float]:
    synchronize(device)
    start, start_cpu = time.perf_counter(), time.process_time()
    optimizer.step()
    synchronize(device)
    return time.perf_counter() - start, time.process_time() - start_cpu


def by_products(optimizer: torch.optim.Optimizer, device: torch.device, turns: int) -> dict[str, Any]:
    """CPU seconds of a step, the least over the turns, by what matrices are multiplied in."""
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        with mock.patch.object(muon, "products_dtype", lambda device, dtype=dtype: dtype):
            seconds[str(dtype)] = min(timed(optimizer, device)[1] for _ in range(turns))
    return {"chosen": str(products_dtype(device)), "cpu_s": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="outgrid_7m")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    device = torch.device(chosen.device)
    spec = load_recipe("modern-100ep").recipe.optimizer
    models = []
    for _ in range(3):
        torch.manual_seed(0)
        made = create_model(chosen.model, 100, 32)
        models.append(made.to(device=device, memory_format=torch.channels_last))  # type: ignore[call-overload]
    mine, shape, counted = (make_optimizer(spec, model) for model in models)
    groups = [{k: v for k, v in group.items() if k != "names"} for group in shape.param_groups]
    timms = file_of_timm("muon").Muon(groups)
    start = [parameter.detach().clone() for parameter in models[1].parameters()]
    wall: list[float] = []
    cpu: list[float] = []
    seconds: dict[str, list[float]] = {"levelfield": [], "timm": []}
    for turn in range(chosen.turns + 1):
        give_gradients(models, turn)
        ours, theirs = timed(mine, device), timed(timms, device)
        if turn:  # the first allocates
            wall.append(theirs[0] / ours[0])
            cpu.append(theirs[1] / ours[1])
            seconds["levelfield"].append(ours[1])
            seconds["timm"].append(theirs[1])
    pairs = list(zip(models[0].parameters(), models[1].parameters(), strict=True))
    equal = all(torch.equal(a, b) for a, b in pairs)
    apart = torch.cat([(a - b).detach().flatten() for a, b in pairs]).norm()
    way = torch.cat([(b - s).detach().flatten() for (_, b), s in zip(pairs, start, strict=True)]).norm()
    products = by_products(mine, device, min(chosen.turns, 3))
    counted.on_device = True  # type: ignore[attr-defined]
    report = {
        "benchmark": "muon", "model": chosen.model, "turns": chosen.turns,
        "operations": {"levelfield": operations(mine), "timm": operations(timms), "on_device": operations(counted)},
        "cpu_s": {name: statistics.median(values) for name, values in seconds.items()},
        "wall_ratio": statistics.median(wall), "cpu_ratio": statistics.median(cpu),
        "equal": equal, "apart": float(apart / way), "products": products,
        "environment": describe_environment(device),
    }  # fmt: skip
    if chosen.json:
        chosen.json.parent.mkdir(parents=True, exist_ok=True)
        chosen.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(json.dumps({key: value for key, value in report.items() if key != "environment"}, indent=2))


if __name__ == "__main__":
    main()
