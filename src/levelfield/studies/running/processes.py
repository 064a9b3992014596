"""The executor that trains several runs at once on this machine, each in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final

from levelfield.errors import UserError
from levelfield.progress import Progress
from levelfield.runs import write_text
from levelfield.spec import RunSpec
from levelfield.studies.running.executor import STOPPED, resolve_here

STOPPED_CODE: Final = 130
"""Exit code of a run that was stopped on request and wrote a checkpoint."""
GRACE_S: Final = 10.0
"""Seconds that runs get to stop by themselves after Ctrl-C, which the terminal sends to all of them, before SIGTERM."""


class Processes:
    """`slots` processes at once, each `levelfield train --config`, the machine's cores shared out among them.

    What a run prints goes to train.log in its folder.
    """

    resolve = staticmethod(resolve_here)

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self._pool = ThreadPoolExecutor(slots)
        self._running: set[subprocess.Popen[bytes]] = set()
        self._closing = False

    def submit(self, spec: RunSpec, folder: Path, progress: Progress) -> Future[float]:
        return self._pool.submit(self._train, spec, folder)

    def _train(self, spec: RunSpec, folder: Path) -> float:
        began = time.monotonic()
        if self._closing:
            raise UserError("stopped before it began")
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "config.json"
        write_text(config, spec.model_dump_json(indent=2))
        threads = str(threads_of(spec, self.slots))
        command = [sys.executable, "-m", "levelfield", "train", "--config", str(config), "--out", str(folder), "--yes"]
        with (folder / "train.log").open("ab") as log:
            environment = {**os.environ, "OMP_NUM_THREADS": threads}
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
            self._running.add(process)
            code = process.wait()
            self._running.discard(process)
        if code != 0:
            raise UserError(reason_for(code, folder / "train.log"))
        return time.monotonic() - began

    def close(self) -> None:
        """Stop what is still running; it writes a checkpoint first."""
        self._closing = True
        deadline = time.monotonic() + GRACE_S
        for process in list(self._running):
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGTERM)
        self._pool.shutdown(wait=True)


def threads_of(spec: RunSpec, slots: int) -> int:
    """Threads of a run where `slots` share the machine's cores, unless it says itself how many it wants."""
    return spec.execution.threads or max(1, (os.cpu_count() or 1) // slots)


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
