"""Random numbers of a batch of images, each image with a generator of its own: batches and subsets change nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Source(Protocol):
    """What an image's numbers come from: numpy's `Generator`, or its older `RandomState`."""

    def standard_normal(self, size: Any) -> Any: ...
    def random(self, size: Any) -> Any: ...
    def poisson(self, lam: Any) -> Any: ...


class Draws:
    """The numbers of a batch, from one source an image."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self.sources = sources

    def normal(self, *shape: int) -> Floats:
        """Standard normal (B, *shape)."""
        return np.stack([np.asarray(one.standard_normal(shape), dtype=np.float64) for one in self.sources])

    def uniform(self, *shape: int) -> Floats:
        """Uniform in [0, 1), (B, *shape)."""
        return np.stack([np.asarray(one.random(shape), dtype=np.float64) for one in self.sources])

    def poisson(self, means: Floats) -> Floats:
        """Poisson counts of the `means` (B, ...)."""
        return np.stack([np.asarray(o.poisson(m), dtype=np.float64) for o, m in zip(self.sources, means, strict=True)])


def draws_of(seed: int, stream: str, index: NDArray[np.int64]) -> Draws:
    """For the images `index` (B,): each a counter-based generator (Philox) keyed by `seed`, `stream` and its index."""
    key = int.from_bytes(hashlib.sha256(f"{seed}/{stream}".encode()).digest()[:8], "little")
    return Draws([np.random.Generator(np.random.Philox(key=[key, int(one)])) for one in index])
