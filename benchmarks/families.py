"""The built-in families on a CPU as levelfield computes them, against torch's own operators; and bf16 against fp32.

    python benchmarks/families.py [MODEL ...] [--threads 2] [--batch 64] [--seconds 10] [--json FILE]

Forms of each network with the same weights and images take turns: bf16 as levelfield computes it, the same in fp32, and
bf16 with every fast form switched off (plain); on a processor without bf16 instructions fp32 and plain fp32. A ratio is
another form's time over the first one's, the median over the turns, of process time, which holds on a busy machine too;
above 1 the first one is faster. `loss off` is how far the first training losses lie from that of fp32, relative. The
dearest operator takes the largest part of a training step of the first form, as torch's profiler counts.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from torch.profiler import profile

from levelfield import native
from levelfield.cost.timing import autocast, training_step
from levelfield.memory_allocator import keep_freed_memory
from levelfield.models import create_model, model_info
from levelfield.models.kernels import linear, self_attention
from levelfield.models.training_form import training_form
from levelfield.precision import DTYPES, cpu_has_bf16
from levelfield.system.machine import processor_name

FAMILIES = (
    "outgrid_nano", "vit_mini", "convnext_nano_p2", "resnet_nano", "resnet_mini", "rexnet_tiny_0.35", "resnet18_s1",
    "deit_tiny_p4", "swin_tiny_p2", "efficientnet_tiny_s1", "roadmap_3", "roadmap_5",
)  # fmt: skip
CPU = torch.device("cpu")
FORMS = (
    {"bf16": ("bf16", False), "fp32": ("fp32", False), "plain bf16": ("bf16", True)} if cpu_has_bf16()
    else {"fp32": ("fp32", False), "plain fp32": ("fp32", True)}
)  # fmt: skip
FIRST, *OTHERS = FORMS


@contextmanager
def plain_torch() -> Iterator[None]:
    """Inside, networks are computed by torch's own operators alone."""
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(native, "library", lambda: None))
        stack.enter_context(mock.patch.object(linear, "onednn_multiplies_bf16", lambda: False))
        stack.enter_context(mock.patch.object(self_attention, "SHORT", 0))
        yield


def calls(name: str, batch: int, train: bool) -> dict[str, Callable[[], object]]:
    """A training step, or a forward pass, of each form."""
    made: dict[str, Callable[[], object]] = {}
    for form, (dtype, plain) in FORMS.items():
        torch.manual_seed(0)
        side = min(model_info(name).image_size, 32)
        model = create_model(name, 10, side).to(memory_format=torch.channels_last)
        if train:
            call: Callable[[], object] = training_step(training_form(model), batch, side, CPU, DTYPES[dtype])
        else:
            model.eval()
            images = torch.randn(batch, 3, side, side).contiguous(memory_format=torch.channels_last)

            def call(model: Any = model, images: torch.Tensor = images, dtype: str = dtype) -> object:
                with torch.inference_mode(), autocast(CPU, DTYPES[dtype]):
                    return model(images)

        made[form] = plain_torch()(call) if plain else call
    return made


def ratios(made: dict[str, Callable[[], object]], seconds: float) -> dict[str, Any]:
    """Median process times in s of each form, and its time over the first's, turn by turn (three at least)."""
    times: dict[str, list[float]] = {form: [] for form in made}
    for call in made.values():
        call()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times[FIRST]) < 3:
        for form, call in made.items():
            start = time.process_time()
            call()
            times[form].append(time.process_time() - start)
    quotients = {form: [other / own for other, own in zip(of, times[FIRST], strict=True)] for form, of in times.items()}
    found: dict[str, Any] = {"turns": len(times[FIRST])}
    for form in made:
        found[form] = {"cpu_s": statistics.median(times[form]), "ratio": statistics.median(quotients[form])}
    return found


def loss_differences(name: str, batch: int) -> dict[str, float]:
    """How far the first training losses of the other forms lie from fp32's, relative."""
    losses = {}
    for form, (dtype, plain) in FORMS.items():
        torch.manual_seed(0)
        side = min(model_info(name).image_size, 32)
        model = create_model(name, 10, side).to(memory_format=torch.channels_last).train()
        images, labels = torch.randn(batch, 3, side, side), torch.arange(batch) % 10
        torch.manual_seed(1)
        with ExitStack() as stack:
            if plain:
                stack.enter_context(plain_torch())
            stack.enter_context(autocast(CPU, DTYPES[dtype]))
            logits = model(images.contiguous(memory_format=torch.channels_last))
        losses[form] = float(F.cross_entropy(logits.detach().float(), labels))
    return {form: abs(losses[form] / losses["fp32"] - 1) for form in FORMS if form != "fp32"}


def dearest(call: Callable[[], object]) -> str:
    """The operator that takes the largest part of a call, with that part in percent."""
    with profile(activities=[torch.profiler.ProfilerActivity.CPU]) as found:
        call()
    events = found.key_averages()
    total = sum(event.self_cpu_time_total for event in events)
    most = max(events, key=lambda event: event.self_cpu_time_total)
    return f"{most.key} {100 * most.self_cpu_time_total / total:.0f} %"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=FAMILIES)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each comparison")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    native.build()
    keep_freed_memory()
    print(f"{processor_name()}, {arguments.threads} threads, batch {arguments.batch}, load {os.getloadavg()[0]:.1f}")
    others = [form for form in FORMS if form != "fp32"]
    columns = "".join(f"{form:>12}" for form in OTHERS)
    print(f"{'':22}{FIRST:>6} images/s{columns}{'turns':>7}  loss off: {', '.join(others)}; dearest operator")
    rows = {}
    for name in arguments.models:
        row: dict[str, Any] = {"losses": loss_differences(name, arguments.batch)}
        for what, train in (("train", True), ("infer", False)):
            made = calls(name, arguments.batch, train)
            row[what] = ratios(made, arguments.seconds)
            said = f"{arguments.batch / row[what][FIRST]['cpu_s']:>15.1f}"
            said += "".join(f"{row[what][form]['ratio']:>12.2f}" for form in OTHERS)
            off = ""
            if train:
                row["dearest"] = dearest(made[FIRST])
                off = f"{', '.join(f'{each:.1e}' for each in row['losses'].values())}; {row['dearest']}"
            print(f"{name if train else '':17}{what:5}{said}{row[what]['turns']:>7}  {off}", flush=True)
        rows[name] = row
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
