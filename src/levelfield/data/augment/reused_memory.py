"""Result memory that is used again once nobody holds it.

At 224 px a batch of 256 is 150 MB of float32. Fresh memory of that size is handed out and cleared page by page, which
costs a third of the augmentation itself; memory that was used before costs nothing.
"""

from __future__ import annotations

import math
import sys
import threading
from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from torch import Tensor

KEPT: Final = 2
"""Blocks that are kept: the batch that is being worked on, and the one that is being made."""


class ResultMemory:
    """Hands out float32 tensors on the CPU. Memory comes back by itself, when the last tensor over it is gone."""

    def __init__(self) -> None:
        self._blocks: list[np.ndarray] = []
        self._lock = threading.Lock()
        # A block just below 32 MiB, freed untouched, makes glibc take such blocks from its heap from now on and keep
        # as much again: what the operations need in between is then used again too.
        np.empty(31 << 18, np.float32)

    def take(self, shape: Sequence[int], memory_format: torch.memory_format = torch.contiguous_format) -> Tensor:
        """An uninitialised tensor (B,C,H,W) float32 that shares its memory with no tensor in use."""
        values = math.prod(shape)
        batch, channels, height, width = shape
        with self._lock:
            # A tensor made from an array, and every view of it, holds a reference to that array.
            position = self._free(values)
            flat = torch.from_numpy(self._blocks[position][:values])
        if memory_format == torch.channels_last:
            return flat.view(batch, height, width, channels).permute(0, 3, 1, 2)
        return flat.view(batch, channels, height, width)

    def _free(self, values: int) -> int:
        """Position of a block of at least `values` values that nobody holds, made if need be."""
        probe = [np.empty(0, np.float32)]
        unheld = sys.getrefcount(probe[0])
        for position, length in enumerate(map(len, self._blocks)):
            if length >= values and sys.getrefcount(self._blocks[position]) == unheld:
                return position
        self._blocks = [*self._blocks[1 - KEPT :], np.empty(values, np.float32)]
        return len(self._blocks) - 1
