"""Counter-based random numbers: every draw is a pure function of its coordinates.

Order, augmentation and mixing must not depend on batch size, workers, processes or where a run was resumed. So nothing
here has state: a number is ``hash(seed, stream, epoch, index, k)``, with a 64-bit mixer (the finaliser of SplitMix64:
Steele, Lea, Flood, OOPSLA 2014) applied on int64 tensors, equal on CPU and GPU.
"""

from __future__ import annotations

import hashlib
import math
import random
from typing import Final

import numpy as np
import torch
from torch import Tensor

_GOLDEN: Final = 0x9E3779B97F4A7C15
_MASK64: Final = (1 << 64) - 1


def _signed(value: int) -> int:
    """The two's-complement int64 that has the bits of `value` modulo 2**64."""
    value &= _MASK64
    return value - (1 << 64) if value >> 63 else value


_MUL1: Final = _signed(0xBF58476D1CE4E5B9)
_MUL2: Final = _signed(0x94D049BB133111EB)


def mix64(x: Tensor) -> Tensor:
    """SplitMix64's finaliser on int64 `x` of any shape, as unsigned 64-bit arithmetic. Bijective."""
    x = ((x >> 30) & 0x3FFFFFFFF).bitwise_xor_(x).mul_(_MUL1)
    x = ((x >> 27) & 0x1FFFFFFFFF).bitwise_xor_(x).mul_(_MUL2)
    return ((x >> 31) & 0x1FFFFFFFF).bitwise_xor_(x)


def key(seed: int, stream: str, epoch: int = 0) -> int:
    """The int64 key of one stream in one epoch: the first eight bytes of SHA-256 over the three coordinates."""
    digest = hashlib.sha256(f"{seed}/{stream}/{epoch}".encode()).digest()
    return _signed(int.from_bytes(digest[:8], "little"))


def bits(seed: int, stream: str, epoch: int, index: Tensor, count: int = 1) -> Tensor:
    """Random int64 bits of shape (B, count) for sample indices `index` (B,) int64; equal on every device."""
    base = mix64(torch.add(key(seed, stream, epoch), index.to(torch.int64), alpha=_signed(_GOLDEN)))
    k = torch.arange(1, count + 1, dtype=torch.int64, device=index.device)
    return mix64(torch.add(base.unsqueeze(-1), k, alpha=_signed(_GOLDEN)))


def uniform(seed: int, stream: str, epoch: int, index: Tensor, count: int = 1) -> Tensor:
    """Uniform float32 in [0, 1) of shape (B, count), 24 random bits each."""
    return ((bits(seed, stream, epoch, index, count) >> 40) & 0xFFFFFF).to(torch.float32).mul_(1.0 / (1 << 24))


def integers(seed: int, stream: str, epoch: int, index: Tensor, high: int, count: int = 1) -> Tensor:
    """Uniform int64 in [0, high) of shape (B, count); `high` at most 2**31 (bias below 2**-31)."""
    if not 0 < high <= 1 << 31:
        raise ValueError(f"high must be in 1..2**31, got {high}")
    return (((bits(seed, stream, epoch, index, count) >> 32) & 0xFFFFFFFF) * high) >> 32


def normal(seed: int, stream: str, epoch: int, index: Tensor, count: int = 1) -> Tensor:
    """Standard normal float32 of shape (B, count), by Box and Muller from two uniforms each.

    Multiples of 2**-16: so coarse that the last bits, in which processors' logarithms and cosines differ, are gone.
    """
    u = uniform(seed, stream, epoch, index, 2 * count).to(torch.float64)
    radius = torch.sqrt(-2.0 * torch.log1p(-u[:, :count]))
    exact = radius * torch.cos((2.0 * math.pi) * u[:, count:])
    return (exact * 65_536).round_().div_(65_536).to(torch.float32)


def permutation(n: int, seed: int, stream: str, epoch: int, device: torch.device | str = "cpu") -> Tensor:
    """A keyed permutation of range(n), int64 (n,): the indices sorted by their own random bits."""
    index = torch.arange(n, dtype=torch.int64, device=device)
    return torch.argsort(bits(seed, stream, epoch, index)[:, 0], stable=True)


def seed_model(seed: int, step: int, rank: int = 0) -> None:
    """Re-seed the global generators of torch (dropout, drop path), numpy and Python for one step on one rank.

    Nothing random needs saving then, whichever of them a network draws from.
    """
    number = key(seed, "model", step * 65_536 + rank) & 0x7FFFFFFFFFFFFFFF
    torch.manual_seed(number)
    random.seed(number)
    np.random.seed(number & 0xFFFFFFFF)
