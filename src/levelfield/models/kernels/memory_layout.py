"""How a map (B, C, H, W) lies in memory: the C++ forms compute on channels-last maps."""

from __future__ import annotations

import torch
from torch import Tensor

from levelfield import native


def channels_last(x: Tensor) -> Tensor:
    """x (B, C, H, W) with its channels side by side in memory: x itself where they are."""
    return x.contiguous(memory_format=torch.channels_last)


def laid_out_for_kernels(x: Tensor) -> Tensor:
    """x as the kernels want it that a network of them will be given: channels-last for C++, else as it is."""
    return channels_last(x) if native.usable(x) else x
