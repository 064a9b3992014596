"""Times and memory of work whose cost is known."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
import torch
from torch import Tensor, nn

from levelfield.cost import measure, measure_inference


class Sleeper(nn.Module):
    """Sleeps 20 ms at its first three calls, 2 ms later, and notes what it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.seen: set[tuple[object, ...]] = set()

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        layout = x.is_contiguous(memory_format=torch.channels_last)
        self.seen.add(
            (tuple(x.shape), layout, self.training, torch.is_grad_enabled(), torch.is_autocast_enabled("cpu"))
        )
        time.sleep(0.020 if self.calls <= 3 else 0.002)
        return x


def test_inference_time_excludes_warm_up_and_counts_images() -> None:
    model = Sleeper()
    timing = measure_inference(model, batch=4, image_size=8, device="cpu", seconds=0.05)
    assert 2 <= timing.ms_q1 <= timing.ms_median <= timing.ms_q3 <= timing.ms_p99
    assert timing.ms_median < 15
    assert timing.repeats >= 10 and timing.warmup >= 3
    assert timing.images_per_s == pytest.approx(4e3 / timing.ms_median)
    assert model.seen == {((4, 3, 8, 8), True, False, False, False)}
    assert model.training


def test_half_precision_is_autocast() -> None:
    model = Sleeper()
    measure_inference(model, 1, 8, "cpu", torch.bfloat16, seconds=0.0, min_repeats=1)
    assert {(seen[0], seen[-1]) for seen in model.seen} == {((1, 3, 8, 8), True)}


def test_measures_for_the_time_asked() -> None:
    timing = measure(lambda: time.sleep(0.001), torch.device("cpu"), 1, seconds=0.1, min_repeats=1)
    assert 20 <= timing.repeats <= 100


def test_resident_peak_sees_what_was_freed_again() -> None:
    """In a process of its own: one that has had more memory before shows no new peak."""
    code = (
        "import torch; from levelfield.cost import measure_memory\n"
        "memory = measure_memory(lambda: torch.ones(96 * 2**18).sum(), 'cpu')  # 96 MiB\n"
        "assert memory.kind == 'resident' and memory.reserved_mib is None\n"
        "assert memory.peak_mib >= memory.allocated_mib\n"
        "assert 60 < memory.added_mib < 400, memory\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
