"""How float32 is multiplied on a GPU: in full, or in TensorFloat-32. torch's defaults mix both, so it is always set.

Left alone, torch lets cuDNN's convolutions round their factors to ten bits of mantissa and matrix products not: a
network of convolutions would be measured in another arithmetic than one of linear layers.
"""

from __future__ import annotations

from typing import Any

import torch


def set_tf32(on: bool) -> None:
    """Let matrix products, convolutions and recurrent layers in float32 all use TensorFloat-32, or none of them.

    torch has an older and a newer switch for each, and code that reads one after only the other was set (torch.compile
    does) raises: so both are set, the older first. A CPU always computes in full, whatever the program had asked of it.
    """
    torch.set_float32_matmul_precision("high" if on else "highest")  # the CPU's, too, which has no other older switch
    torch.backends.cudnn.allow_tf32 = on
    gpu = 3
    for number, part in enumerate(switches()):
        part.fp32_precision = "tf32" if on and number < gpu else "ieee"


def switches() -> list[Any]:
    """What has an `fp32_precision` of its own: products, convolutions and recurrent layers on a GPU, then on a CPU."""
    cudnn: Any = torch.backends.cudnn
    mkldnn: Any = torch.backends.mkldnn
    return [torch.backends.cuda.matmul, cudnn.conv, cudnn.rnn, mkldnn.matmul, mkldnn.conv, mkldnn.rnn]


def float32_precision() -> dict[str, str]:
    """What torch says now of matrix products and convolutions: "ieee" (in full), "tf32" or "none" (torch's default)."""
    cudnn: Any = torch.backends.cudnn
    return {"matmul": str(torch.backends.cuda.matmul.fp32_precision), "convolution": str(cudnn.conv.fp32_precision)}
