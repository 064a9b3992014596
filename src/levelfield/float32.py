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
    does) raises: so both are set, the older first.
    """
    torch.backends.cuda.matmul.allow_tf32 = on
    torch.backends.cudnn.allow_tf32 = on
    cudnn: Any = torch.backends.cudnn
    for part in (torch.backends.cuda.matmul, cudnn.conv, cudnn.rnn):
        part.fp32_precision = "tf32" if on else "ieee"


def float32_precision() -> dict[str, str]:
    """What torch says now of matrix products and convolutions: "ieee" (in full), "tf32" or "none" (torch's default)."""
    cudnn: Any = torch.backends.cudnn
    return {"matmul": str(torch.backends.cuda.matmul.fp32_precision), "convolution": str(cudnn.conv.fp32_precision)}
