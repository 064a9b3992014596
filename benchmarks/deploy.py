"""Deployed forms against the networks themselves on a CPU: how many times as fast, and how far off.

    python benchmarks/deploy.py [MODEL ...] [--threads 2] [--batch 64 1] [--dtype bf16 fp32] [--json FILE]

A network of each family, its norms with statistics of random images, and its deployed form take turns on the same
images. A ratio is the network's time over its deployed form's, the median over the turns, of process time, which holds
on a busy machine too. `off` is the largest difference of the logits, as a share of the largest; `own` that of the
network's own to float32's. A form is made with as many images as it is timed with. Without bf16 instructions, bf16 is
skipped with a line.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from levelfield import native
from levelfield.cost.timing import autocast, random_images
from levelfield.memory_allocator import keep_freed_memory
from levelfield.models import create_model, model_info
from levelfield.models.deploy import deployed
from levelfield.precision import DTYPES, cpu_has_bf16
from levelfield.system.machine import processor_name

FAMILIES = (
    "resnet18_s1", "resnet_nano", "resnet_mini", "outgrid_7m", "vit_mini", "convnext_nano_p2", "rexnet_tiny",
    "deit_tiny_p4", "swin_tiny_p2", "efficientnet_b0_s1", "convnext_tiny_p2",
)  # fmt: skip
CPU = torch.device("cpu")


def trained(name: str, side: int) -> nn.Module:
    """The network, its norms with the statistics of some random images."""
    torch.manual_seed(0)
    model = create_model(name, 10, side).to(memory_format=torch.channels_last)
    with torch.no_grad():
        for _ in range(3):
            model(random_images(16, side, CPU))
    return model.eval()


def turns(calls: dict[str, Callable[[], object]], seconds: float) -> dict[str, list[float]]:
    """Process times in s of each call, which take turns for so long (three times at least)."""
    times: dict[str, list[float]] = {form: [] for form in calls}
    for call in calls.values():
        call()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or min(map(len, times.values())) < 3:
        for form, call in calls.items():
            start = time.process_time()
            call()
            times[form].append(time.process_time() - start)
    return times


def measured(model: nn.Module, side: int, batch: int, dtype: str, seconds: float) -> dict[str, Any]:
    """Median seconds of both, their ratio, and the account of the form."""
    images = random_images(batch, side, CPU)
    form = deployed(model, images, DTYPES[dtype])

    def calling(network: nn.Module) -> Callable[[], object]:
        def call() -> object:
            with torch.inference_mode(), autocast(CPU, DTYPES[dtype]):
                return network(images)

        return call

    times = turns({"own": calling(model), "deployed": calling(form)}, seconds)
    quotients = [own / other for own, other in zip(times["own"], times["deployed"], strict=True)]
    medians = {f"{name}_cpu_s": statistics.median(of) for name, of in times.items()}
    return {"turns": len(quotients), "ratio": statistics.median(quotients), **medians, **asdict(form.account)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=FAMILIES)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, nargs="+", default=[64, 1])
    parser.add_argument("--dtype", nargs="+", choices=["bf16", "fp32"], default=["bf16", "fp32"])
    parser.add_argument("--seconds", type=float, default=10.0, help="of each comparison")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    dtypes = [dtype for dtype in arguments.dtype if dtype != "bf16" or cpu_has_bf16()]
    if len(dtypes) < len(arguments.dtype):
        print(f"bf16 skipped: {processor_name()} has no bf16 instructions")
    torch.set_num_threads(arguments.threads)
    native.build()
    keep_freed_memory()
    print(f"{processor_name()}, {arguments.threads} threads, load {os.getloadavg()[0]:.1f}")
    print(
        f"{'':20}{'dtype':>6}{'batch':>6}{'images/s':>10}{'deployed':>10}{'ratio':>7}{'turns':>7}{'off':>9}{'own':>9}"
    )
    rows = []
    for name in arguments.models:
        side = min(model_info(name).image_size, 32)
        model = trained(name, side)
        for dtype in dtypes:
            for batch in arguments.batch:
                row = measured(model, side, batch, dtype, arguments.seconds)
                rows.append({"model": name, "dtype": dtype, "batch": batch, **row})
                speeds = "".join(f"{batch / row[f'{form}_cpu_s']:>10.0f}" for form in ("own", "deployed"))
                off = f"{row['logits_off']:>9.1e}{row['own_off']:>9.1e}"
                print(f"{name:20}{dtype:>6}{batch:>6}{speeds}{row['ratio']:>7.2f}{row['turns']:>7}{off}", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
