"""A dense convolution's forward and backward pass as a product of matrices against torch's, by kernel, stride and map.

    python benchmarks/dense.py [--batch 128] [--threads 1] [--seconds 0.3] [--json FILE]

In turns on one CPU, in float32; a ratio is the median over the turns, above 1 where the product is faster. Measured on
every processor, also on those where levelfield leaves these layers to torch (`models/kernels/dense.py`). Last, forward
and backward pass of networks whose maps come down to few pixels, with products and without.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from kernels import compare
from levelfield.models import create_model
from levelfield.models.kernels import dense
from levelfield.models.training_form import training_form
from levelfield.training.environment import describe_environment

SHAPES = (
    *((1, 1, side, channels) for side, channels in ((4, 256), (2, 256), (1, 512))),
    *((1, 2, side, channels) for side, channels in ((8, 128), (2, 256))),
    *((2, 2, side, channels) for side, channels in ((8, 192), (4, 192), (2, 384))),
    *((3, 1, side, channels) for side, channels in ((2, 64), (2, 256), (1, 128), (1, 512))),
    *((7, 1, side, channels) for side, channels in ((4, 64), (2, 64), (1, 64))),
)
"""(kernel, stride, side of the map in px, channels); the strided ones go to twice as many channels."""
NETWORKS: dict[str, dict[str, Any]] = {
    "timm:resnet18": {"adapt": "none"},
    "timm:convnext_atto": {"adapt": "none"},
    "roadmap_5": {"width_factor": 0.25, "depth_factor": 0.34},
    "roadmap_5 without depthwise": {"width_factor": 0.25, "depth_factor": 0.34, "depthwise": False},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=0.3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    dense._slow_gradients = lambda: True
    found = [row(*shape, arguments.batch, arguments.seconds) for shape in SHAPES]
    networks = [whole_network(name, options, arguments.batch) for name, options in NETWORKS.items()]
    if arguments.json:
        about = {
            "machine": describe_environment(torch.device("cpu")),
            "threads": arguments.threads,
            "batch": arguments.batch,
        }
        arguments.json.write_text(
            json.dumps({**about, "rows": found, "networks": networks}, indent=1) + "\n", encoding="utf-8"
        )


def row(kernel: int, stride: int, side: int, channels: int, batch: int, seconds: float) -> dict[str, object]:
    """Compare and print one shape."""
    torch.manual_seed(0)
    outputs, padding = channels * stride, kernel // 2 if kernel > stride else 0
    x = torch.randn(batch, channels, side, side).contiguous(memory_format=torch.channels_last)
    weight = torch.randn(outputs, channels, kernel, kernel).contiguous(memory_format=torch.channels_last)

    def product(x: Tensor, weight: Tensor) -> Tensor:
        y = dense.multiplied(x, weight, None, (stride, stride), (padding, padding))
        assert y is not None
        return y

    one = compare(product, lambda x, weight: F.conv2d(x, weight, None, stride, padding), (x, weight), seconds)
    print(
        f"{kernel}x{kernel} by {stride}, {channels} to {outputs} channels of {side}x{side} px: {one['ratio']:.2f} times"
        f" as fast ({one['us'] / 1000:.2f} ms), apart by {one['apart']:.1e}",
        flush=True,
    )
    return {"kernel": kernel, "stride": stride, "side": side, "channels": channels, **one}


def whole_network(name: str, options: dict[str, Any], batch: int, turns: int = 7) -> dict[str, object]:
    """Milliseconds of forward and backward by the process's clock, the least over the turns, and their ratio."""
    torch.manual_seed(0)
    network = training_form(create_model(name.split()[0], 100, 32, **options)).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    images = torch.randn(batch, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, 100, (batch,))
    times: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(turns + 1):
        for products in times:
            dense._slow_gradients = lambda chosen=products: chosen  # type: ignore[misc]
            begin = time.process_time()
            F.cross_entropy(network(images), labels).backward()
            times[products].append(1000 * (time.process_time() - begin))
    own, plain = (min(times[products][1:]) for products in (True, False))
    print(f"forward and backward of {name}: {own:.0f} ms in place of {plain:.0f}, {plain / own:.2f} times", flush=True)
    return {"network": name, "own_ms": own, "torch_ms": plain, "ratio": plain / own}


if __name__ == "__main__":
    main()
