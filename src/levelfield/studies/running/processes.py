"""The executor that trains several runs at once on this machine, each in a process of its own."""

from __future__ import annotations

import queue
import signal
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final

from levelfield.errors import UserError
from levelfield.progress import Progress
from levelfield.runs import write_text
from levelfield.spec import RunSpec
from levelfield.studies.running.executor import STOPPED, resolve_here
from levelfield.studies.running.warm_worker import STOPPED_CODE
from levelfield.studies.running.workers import Slot, new_slot
from levelfield.system.machine import usable_cores

GRACE_S: Final = 10.0
"""Seconds that runs get to stop by themselves after Ctrl-C, which the terminal sends to all of them, before SIGTERM."""


class Processes:
    """`slots` runs at once, each in a process of its own (`workers.py`), the machine's cores shared out among them.

    What a run prints goes to train.log in its folder. `new`: makes what trains the runs of a slot.
    """

    resolve = staticmethod(resolve_here)

    def __init__(self, slots: int, new: Callable[[int], Slot] = new_slot) -> None:
        self.slots = slots
        self._new = new
        self._pool = ThreadPoolExecutor(slots)
        self._idle: queue.SimpleQueue[Slot] = queue.SimpleQueue()
        self._busy: set[Slot] = set()
        self._closing = False

    def submit(self, spec: RunSpec, folder: Path, progress: Progress) -> Future[float]:
        return self._pool.submit(self._train, spec, folder)

    def _train(self, spec: RunSpec, folder: Path) -> float:
        began = time.monotonic()
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "config.json"
        write_text(config, spec.model_dump_json(indent=2))
        slot = self._take(threads_of(spec, self.slots))
        self._busy.add(slot)
        try:
            if self._closing:
                raise UserError("stopped before it began")
            code = slot.carry_out(config, folder)
        finally:
            self._busy.discard(slot)
            if slot.open:
                self._idle.put(slot)
        if code != 0:
            raise UserError(reason_for(code, folder / "train.log"))
        return time.monotonic() - began

    def _take(self, threads: int) -> Slot:
        """A slot that waits, or a new one: libraries read how many threads they have when they are loaded."""
        try:
            slot = self._idle.get_nowait()
        except queue.Empty:
            return self._new(threads)
        if slot.threads == threads and slot.open:
            return slot
        slot.end()
        return self._new(threads)

    def close(self) -> None:
        """Stop what is still running; it writes a checkpoint first."""
        self._closing = True
        deadline = time.monotonic() + GRACE_S
        while self._busy and time.monotonic() < deadline:
            time.sleep(0.01)
        for slot in list(self._busy):
            slot.stop_run()
        self._pool.shutdown(wait=True)
        while not self._idle.empty():
            self._idle.get().end()


def threads_of(spec: RunSpec, slots: int) -> int:
    """Threads of a run where `slots` share the machine's cores, unless it says itself how many it wants."""
    return spec.execution.threads or max(1, usable_cores() // slots)


def reason_for(code: int, log: Path) -> str:
    """Why a training process ended with `code`: the last error in its log, else the signal or code itself."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.is_file() else []
    said = [line for line in lines if line.startswith(("error: ", "internal error: "))]
    if code == STOPPED_CODE:
        return f"{STOPPED}, a checkpoint is written"
    if code < 0:
        name = signal.Signals(-code).name
        hint = "; the machine may have run out of memory" if name == "SIGKILL" else ""
        return f"its process was ended by {name}{hint} (see {log})"
    return said[-1].partition(": ")[2] if said else f"its process ended with code {code} (see {log})"
