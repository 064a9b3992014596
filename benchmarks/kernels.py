"""The fast forms for GPUs against plain torch, at OutGrid-7M's shapes: how far apart, and how many times as fast.

    python benchmarks/kernels.py [--device cuda] [--dtype bf16] [--batch 64] [--seconds 0.3] [--json FILE]

Forward and backward of one call, in turns; a ratio is the median over the turns. Grid attention and outlook by Triton
(on a machine without a CUDA device they are skipped with a line), 1x1 convolutions as a product of matrices.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from levelfield.cost.timing import synchronize
from levelfield.models.kernels import grid_attention, outlook
from levelfield.models.kernels.pointwise import by_rows
from levelfield.models.kernels.triton_forms import has_triton
from levelfield.precision import DTYPES
from levelfield.training.environment import describe_environment

STAGES = ((32, 48, 2, 8), (16, 96, 3, 8), (8, 192, 6, 4), (4, 256, 8, 2))
"""(side, width, heads, grid) of OutGrid-7M's stages."""


def compare(
    fast: Callable[..., Tensor], plain: Callable[..., Tensor], inputs: Sequence[Tensor], seconds: float
) -> dict[str, float]:
    """Relative distance of results and gradients, and the ratio of the times."""
    device = inputs[0].device

    def run(form: Callable[..., Tensor]) -> list[Tensor]:
        leaves = [x.detach().requires_grad_() for x in inputs]
        y = form(*leaves)
        return [y, *torch.autograd.grad(y, leaves, torch.ones_like(y))]

    pairs = [(a.detach().double(), b.detach().double()) for a, b in zip(run(fast), run(plain), strict=True)]
    apart = max(float((a - b).norm() / b.norm().clamp(min=1e-12)) for a, b in pairs)
    times: dict[str, list[float]] = {"fast": [], "plain": []}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times["fast"]) < 5:
        for name, form in (("fast", fast), ("plain", plain)):
            synchronize(device)
            begin = time.perf_counter()
            for _ in range(10):
                run(form)
            synchronize(device)
            times[name].append((time.perf_counter() - begin) / 10)
    ratio = statistics.median(b / a for a, b in zip(times["fast"], times["plain"], strict=True))
    return {"apart": apart, "ratio": ratio, "us": 1e6 * statistics.median(times["fast"])}


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", choices=sorted(DTYPES), default="bf16")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=0.3, help="of each comparison")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args(arguments)
    device, dtype = torch.device(chosen.device), DTYPES[chosen.dtype]
    found: dict[str, Any] = {}
    by_triton = device.type == "cuda" and has_triton()

    def randn(*shape: int) -> Tensor:
        return torch.randn(shape, device=device, dtype=dtype)

    for side, width, heads, grid in STAGES:
        rows, weight = randn(chosen.batch, side, side, width).permute(0, 3, 1, 2), randn(4 * width, width, 1, 1)
        found[f"pointwise {side} px {width} to {4 * width}"] = compare(
            lambda x, w: by_rows(x, w, None), lambda x, w: F.conv2d(x, w), (rows, weight), chosen.seconds
        )
        if not by_triton:
            continue
        from levelfield.models.kernels import grid_attention_triton, outlook_triton

        qkv = randn(chosen.batch, side, side, 3 * width)
        found[f"grid attention {side} px {width}"] = compare(
            lambda x, h=heads, g=grid: grid_attention_triton.grid_attention(x, h, g),
            lambda x, h=heads, g=grid: grid_attention.grid_attention_plain(x, h, g),
            (qkv,), chosen.seconds,
        )  # fmt: skip
        logits = randn(chosen.batch, side, side, 9 * heads).permute(0, 3, 1, 2)
        found[f"outlook {side} px {width}"] = compare(
            lambda a, v, h=heads: outlook_triton.outlook(a, v, h),
            lambda a, v, h=heads: outlook.outlook_plain(a, v, h),
            (logits, rows), chosen.seconds,
        )  # fmt: skip
    if not by_triton:
        print("no CUDA device with Triton: grid attention and outlook are skipped")
    for name, values in found.items():
        print(f"{name:34}{values['ratio']:8.2f} times as fast{values['us']:10.0f} us  {values['apart']:.1e} apart")
    report = {
        "benchmark": "kernels", "dtype": chosen.dtype, "batch": chosen.batch, "kernels": found,
        "environment": describe_environment(device),
    }  # fmt: skip
    if chosen.json:
        chosen.json.parent.mkdir(parents=True, exist_ok=True)
        chosen.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return report


if __name__ == "__main__":
    main()
