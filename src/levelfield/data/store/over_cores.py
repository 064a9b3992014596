"""Images worked on by all cores, results in order: by threads, or by processes where there are many encoded ones.

Pillow releases Python's lock while it decodes, but of the time of an image of 32 px that is less than half: threads
alone leave most cores idle. Processes take a moment to start.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from typing import Any, Final, TypeVar

from levelfield.data.sources.readers.contract import Records
from levelfield.data.store.read_image import Item
from levelfield.errors import UserError
from levelfield.system.machine import usable_cores

T = TypeVar("T")

MANY: Final = 20_000
"""Encoded images from which on processes are started for them: to start one costs as much as to read 1,000 to 3,000."""
_CHUNK: Final = 64
"""Images that a core takes at a time."""
_AT_MOST: Final = 16


def cores() -> int:
    """How many cores work on images."""
    return min(_AT_MOST, usable_cores())


def over_records(records: Records, work: Callable[[Item], T]) -> Iterator[tuple[int, list[T]]]:
    """(start, [work(first item), work(the next), ...]) in order. An item whose file cannot be read is its OSError.

    `work` is a function of a module, or a `partial` of one, whose arguments and results can be pickled.
    """

    def item(row: int) -> Item:
        try:
            return records.item(row)
        except OSError as error:
            return error

    count = len(records)
    if count < MANY or cores() == 1 or not sys.executable or not isinstance(item(0), bytes):
        yield from in_threads(count, lambda row: work(item(row)))
        return
    mine, started = threading.local(), list[_Process]()

    def chunk(rows: range) -> list[T]:
        if not hasattr(mine, "process"):
            mine.process = _Process(work)
            started.append(mine.process)
        done: list[T] = mine.process.work_on([item(row) for row in rows])
        return done

    try:
        yield from _in_chunks(count, chunk)
    finally:
        for process in started:
            process.end()


def in_threads(count: int, one: Callable[[int], T]) -> Iterator[tuple[int, list[T]]]:
    """(start, [one(start), one(start + 1), ...]) in order, computed by a few threads."""
    yield from _in_chunks(count, lambda rows: [one(row) for row in rows])


def _in_chunks(count: int, chunk: Callable[[range], list[T]]) -> Iterator[tuple[int, list[T]]]:
    """The results of `chunk` over all rows in order, computed by a thread a core with a bounded look-ahead."""
    workers = cores()
    starts = range(0, count, _CHUNK)
    with ThreadPoolExecutor(workers) as pool:
        futures = (pool.submit(chunk, range(start, min(start + _CHUNK, count))) for start in starts)
        ahead = deque(islice(futures, 2 * workers))
        try:
            for start in starts:
                ahead.extend(islice(futures, 1))
                yield start, ahead.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


class _Process:
    """An `image_worker.py` that does `work`."""

    def __init__(self, work: Callable[[Item], Any]) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # it is one of many
        self._process = subprocess.Popen(
            [sys.executable, "-m", "levelfield.data.store.image_worker"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment,
        )  # fmt: skip
        self._work: Callable[[Item], Any] | None = (
            work  # sent with the first images, where a process that ended is told
        )

    def work_on(self, items: list[Item]) -> list[Any]:
        """The results of `items`, in order. Raises what `work` raised."""
        assert self._process.stdout is not None
        try:
            if self._work is not None:
                self._send(self._work)
                self._work = None
            self._send(items)
            answer = pickle.load(self._process.stdout)
        except (EOFError, BrokenPipeError):
            raise UserError(
                f"a process that decodes images ended with code {self._process.wait()}\n"
                "the machine may have run out of memory; the same command begins anew"
            ) from None
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, list)
        return answer

    def _send(self, value: object) -> None:
        assert self._process.stdin is not None
        pickle.dump(value, self._process.stdin, protocol=pickle.HIGHEST_PROTOCOL)
        self._process.stdin.flush()

    def end(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):
                pipe.close()
        self._process.wait()
