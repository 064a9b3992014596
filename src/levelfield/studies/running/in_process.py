"""The executor that trains in this process, one run after another."""

from __future__ import annotations

import time
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path

from levelfield.memory_allocator import keep_freed_memory
from levelfield.progress import Progress
from levelfield.spec import RunSpec
from levelfield.studies.running.executor import resolve_here


class InProcess:
    """Trains in this process; `submit` returns when the run has ended. torch is imported once."""

    slots = 1
    resolve = staticmethod(resolve_here)

    def submit(self, spec: RunSpec, folder: Path, progress: Progress) -> Future[float]:
        from levelfield.training import StoppedAtEpoch, train

        keep_freed_memory()  # this process trains; as a library, `train` leaves malloc alone
        future: Future[float] = Future()
        began = time.monotonic()
        try:
            with suppress(StoppedAtEpoch):  # it did what it was asked for
                train(spec, folder, progress=progress)
            future.set_result(time.monotonic() - began)
        except Exception as error:
            future.set_exception(error)
        return future

    def close(self) -> None:
        pass
