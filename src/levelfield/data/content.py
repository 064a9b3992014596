"""The content of a data set as one number: which pixels, labels and splits, whatever container or row order.

Each sample's digest is BLAKE2b over (split, label, height, width, RGB pixels); the checksum is SHA-256 over the sum of
all digests modulo 2**256 and their count, so that it depends on the multiset of samples and on nothing else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from levelfield.data.records import Pixels

DIGEST_BYTES: Final = 32


def sample_digest(split: str, label: int, pixels: Pixels) -> bytes:
    """The 32-byte digest of one sample; `pixels` uint8 (H, W, 3) at their own size."""
    height, width = pixels.shape[:2]
    state = hashlib.blake2b(f"{split}/{label}/{height}/{width}/".encode(), digest_size=DIGEST_BYTES)
    state.update(np.ascontiguousarray(pixels).data)
    return state.digest()


def combine(digests: Iterable[NDArray[np.uint8]]) -> str:
    """The checksum (64 hex digits) of all splits, each given as sample digests uint8 (N, 32)."""
    total, count = 0, 0
    for rows in digests:
        total += sum(int.from_bytes(row.tobytes(), "little") for row in rows)
        count += len(rows)
    return hashlib.sha256(f"{total % (1 << 256)}/{count}".encode()).hexdigest()


def canonical_order(digests: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The rows of uint8 (N, 32) sorted by digest: the same order of the same samples, however they were stored."""
    words = np.ascontiguousarray(digests).view(">u8")
    return np.lexsort(words.T[::-1]).astype(np.int64)
