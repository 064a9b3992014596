"""Images worked on by a few threads, results in order: Pillow releases Python's lock while it decodes."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Final, TypeVar

T = TypeVar("T")

_CHUNK: Final = 64
"""Images that a thread takes at a time."""


def in_threads(count: int, one: Callable[[int], T]) -> Iterator[tuple[int, list[T]]]:
    """(start, [one(start), one(start + 1), ...]) in order, computed by a few threads with a bounded look-ahead."""
    workers = min(16, os.cpu_count() or 1)

    def chunk(start: int) -> list[T]:
        return [one(row) for row in range(start, min(start + _CHUNK, count))]

    starts = range(0, count, _CHUNK)
    with ThreadPoolExecutor(workers) as pool:
        futures = (pool.submit(chunk, start) for start in starts)
        ahead = deque(islice(futures, 2 * workers))
        try:
            for start in starts:
                ahead.extend(islice(futures, 1))
                yield start, ahead.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
