"""From the host to the device without waiting for it."""

from __future__ import annotations

import torch
from torch import Tensor


def input_device(device: torch.device) -> torch.device:
    """Where the input of a network on `device` is made and its answers are counted: there, but for Apple's MPS.

    That has no float64, in which augmentation places its pixels and scores are summed; it shares the CPU's memory, so
    the CPU does both, and a network sees the same batches to the bit as on a CPU.
    """
    return torch.device("cpu") if device.type == "mps" else device


def to_device(values: Tensor, device: torch.device) -> Tensor:
    """`values` on `device`, copied in the order of its other work while the host goes on.

    For CUDA they are copied to pinned memory first: from pageable memory the host would wait for the device. The
    allocator of pinned memory keeps it until the copy is done.
    """
    if values.device == device:
        return values
    if device.type == "cuda" and values.device.type == "cpu" and not values.is_pinned():
        values = values.pin_memory()
    return values.to(device, non_blocking=device.type != "mps")
