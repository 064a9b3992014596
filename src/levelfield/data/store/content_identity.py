"""The content of a data set as one number: which pixels, labels and splits, whatever container or row order.

An image's digest is BLAKE2b over (height, width, RGB pixels); a sample's is BLAKE2b over (split, label, image digest).
The checksum is SHA-256 over the sum of all sample digests modulo 2**256 and their count, so that it depends on the
multiset of samples and on nothing else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from levelfield.data.sources.readers.contract import Labels, Pixels

DIGEST_BYTES: Final = 32

Digests = NDArray[np.uint8]
"""uint8 (N, 32), a row per image."""


def image_digest(pixels: Pixels) -> bytes:
    """The 32-byte digest of uint8 (H, W, 3) at its own size."""
    height, width = pixels.shape[:2]
    state = hashlib.blake2b(f"{height}/{width}/".encode(), digest_size=DIGEST_BYTES)
    state.update(np.ascontiguousarray(pixels).data)
    return state.digest()


def checksum(splits: Mapping[str, tuple[Labels, Digests]]) -> str:
    """The checksum (64 hex digits) of a data set, given labels (N,) and image digests (N, 32) of each split."""
    total, count = 0, 0
    for split, (labels, digests) in splits.items():
        for label, digest in zip(labels.tolist(), digests, strict=True):
            sample = hashlib.blake2b(f"{split}/{label}/".encode() + digest.tobytes(), digest_size=DIGEST_BYTES)
            total += int.from_bytes(sample.digest(), "little")
        count += len(labels)
    return hashlib.sha256(f"{total % (1 << 256)}/{count}".encode()).hexdigest()


def canonical_order(labels: Labels, digests: Digests) -> NDArray[np.int64]:
    """The rows sorted by digest and label: the same order of the same samples, however they were stored."""
    words = np.ascontiguousarray(digests).view(">u8")
    return np.lexsort((labels, *words.T[::-1])).astype(np.int64)
