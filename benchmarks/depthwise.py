"""A depthwise convolution's forward and backward pass: levelfield's form against torch's, by dtype, kernel and map.

    python benchmarks/depthwise.py [--dtype fp32 bf16] [--batch 64] [--threads 1] [--seconds 0.3] [--json FILE]

In turns on one CPU; a ratio is the median over the turns, above 1 where levelfield's is faster. On a processor with
512-bit registers its float32 form is torch's, and the ratio is about 1. Last, a training step of the last network of
`roadmap-steps-small` in float32, 256 images, with the form and without it.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch

from kernels import compare
from levelfield.models import create_model
from levelfield.models.kernels import depthwise as forms
from levelfield.models.kernels.depthwise import KERNELS, depthwise
from levelfield.precision import DTYPES
from levelfield.training.environment import describe_environment

MAPS = ((32, 32), (96, 16), (96, 8), (192, 4), (384, 2))
"""(channels, side in px)."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dtype", nargs="+", choices=("fp32", "bf16"), default=["fp32"])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=0.3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    found = [
        row(dtype, kernel, channels, side, arguments.batch, arguments.seconds)
        for dtype in arguments.dtype
        for kernel in KERNELS
        for channels, side in MAPS
    ]
    step = network_step()
    if arguments.json:
        about = {
            "machine": describe_environment(torch.device("cpu")),
            "threads": arguments.threads,
            "batch": arguments.batch,
        }
        arguments.json.write_text(json.dumps({**about, "rows": found, "step": step}, indent=1) + "\n", encoding="utf-8")


def row(dtype: str, kernel: int, channels: int, side: int, batch: int, seconds: float) -> dict[str, object]:
    """Compare and print one shape."""
    torch.manual_seed(0)
    x = torch.randn(batch, channels, side, side).to(DTYPES[dtype]).contiguous(memory_format=torch.channels_last)
    weight, bias = torch.randn(channels, 1, kernel, kernel), torch.randn(channels)

    def plain(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        lower = (parameter.to(x.dtype) for parameter in (weight, bias))
        return torch.nn.functional.conv2d(x, *lower, padding=kernel // 2, groups=channels)

    one = compare(depthwise, plain, (x, weight, bias), seconds)
    print(
        f"{dtype} {kernel}x{kernel}, {channels} channels of {side}x{side} px: {one['ratio']:.2f} times as fast"
        f" ({one['us'] / 1000:.2f} ms), apart by {one['apart']:.1e}",
        flush=True,
    )
    return {"dtype": dtype, "kernel": kernel, "channels": channels, "side": side, **one}


def network_step(turns: int = 7) -> dict[str, float]:
    """Milliseconds of forward and backward by the process's clock, the least over the turns, and their ratio."""
    torch.manual_seed(0)
    network = create_model("roadmap_5", 100, 32, width_factor=0.25, depth_factor=0.34)
    network = network.to(memory_format=torch.channels_last)
    images = torch.randn(256, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, 100, (256,))
    times: dict[str, list[float]] = {"own": [], "torch": []}
    chosen = forms._is_faster
    for _ in range(turns + 1):
        for name, choice in (("own", chosen), ("torch", lambda x, kernel: False)):
            forms._is_faster = choice
            begin = time.process_time()
            torch.nn.functional.cross_entropy(network(images), labels).backward()
            times[name].append(1000 * (time.process_time() - begin))
    forms._is_faster = chosen
    own, plain = (min(times[name][1:]) for name in ("own", "torch"))
    print(f"a step of a small roadmap_5: {own:.0f} ms in place of {plain:.0f}, {plain / own:.2f} times")
    return {"own_ms": own, "torch_ms": plain, "ratio": plain / own}


if __name__ == "__main__":
    main()
