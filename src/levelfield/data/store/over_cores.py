"""Images worked on by all cores, results in order: by threads, or by processes where there are many encoded ones.

Pillow releases Python's lock while it decodes, but of the time of an image of 32 px that is less than half: threads
alone leave most cores idle. Processes take a moment to start.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from itertools import islice
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeVar

from levelfield.data.sources.readers.contract import Records
from levelfield.data.store.read_images import Item
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


class Cores(AbstractContextManager["Cores"]):
    """The cores, for the images of one data set: processes that one split asked for work on the next, to the end."""

    def __init__(self) -> None:
        self._idle: SimpleQueue[_Process] = SimpleQueue()
        self._started: list[_Process] = []

    def __exit__(self, *_: object) -> None:
        for process in self._started:
            process.end()

    def over_records(self, records: Records, work: Callable[[Sequence[Item]], T]) -> Iterator[tuple[range, T]]:
        """(rows, work(their items)) in order, all rows. An item whose file cannot be read is its OSError.

        `work` is a function of a module, or a `partial` of one, whose arguments and results can be pickled.
        """

        def items(rows: range) -> list[Item]:
            return [_item(records, row) for row in rows]

        def elsewhere(rows: range) -> T:
            process = self._process()
            done: T = process.work_on(work, items(rows))
            self._idle.put(process)
            return done

        count = len(records)
        if count < MANY or cores() == 1 or not sys.executable or not isinstance(_item(records, 0), bytes):
            return in_threads(count, lambda rows: work(items(rows)))
        return in_threads(count, elsewhere)

    def _process(self) -> _Process:
        """One that rests, else a new one; never more than threads ask at a time."""
        try:
            return self._idle.get_nowait()
        except Empty:
            self._started.append(_Process())
            return self._started[-1]


def _item(records: Records, row: int) -> Item:
    try:
        return records.item(row)
    except OSError as error:
        return error


def in_threads(count: int, some: Callable[[range], T]) -> Iterator[tuple[range, T]]:
    """(rows, some(rows)) over all rows in order, computed by a thread a core with a bounded look-ahead."""
    workers = cores()
    parts = [range(start, min(start + _CHUNK, count)) for start in range(0, count, _CHUNK)]
    with ThreadPoolExecutor(workers) as pool:
        futures = (pool.submit(some, rows) for rows in parts)
        ahead = deque(islice(futures, 2 * workers))
        try:
            for rows in parts:
                ahead.extend(islice(futures, 1))
                yield rows, ahead.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


class _Process:
    """An `image_worker.py`."""

    def __init__(self) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # it is one of many
        self._process = subprocess.Popen(
            [sys.executable, "-m", "levelfield.data.store.image_worker"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment,
        )  # fmt: skip

    def work_on(self, work: Callable[[Sequence[Item]], Any], items: list[Item]) -> Any:
        """work(items). Raises what `work` raised."""
        assert self._process.stdout is not None
        try:
            self._send((work, items))
            answer = pickle.load(self._process.stdout)
        except (EOFError, BrokenPipeError, pickle.UnpicklingError):
            raise UserError(
                f"a process that decodes images ended with code {self._process.wait()}\n"
                "the machine may have run out of memory; the same command begins anew"
            ) from None
        if isinstance(answer, Exception):
            raise answer
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
