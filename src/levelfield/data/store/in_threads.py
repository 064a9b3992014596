"""Images worked on by a few threads, results in order: Pillow releases Python's lock while it decodes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeVar

T = TypeVar("T")

_CHUNK: Final = 64
"""Images that a thread takes at a time."""


def in_threads(count: int, one: Callable[[int], T]) -> Iterator[tuple[int, list[T]]]:
    """(start, [one(start), one(start + 1), ...]) in order, computed by a few threads with a bounded look-ahead."""
    workers = min(16, os.cpu_count() or 1)

    def chunk(start: int) -> list[T]:
        return [one(row) for row in range(start, min(start + _CHUNK, count))]

    starts = iter(range(0, count, _CHUNK))
    pending: list[tuple[int, Future[list[T]]]] = []
    with ThreadPoolExecutor(workers) as pool:
        try:
            for start in starts:
                pending.append((start, pool.submit(chunk, start)))
                if len(pending) > 2 * workers:
                    begun, future = pending.pop(0)
                    yield begun, future.result()
            for begun, future in pending:
                yield begun, future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
