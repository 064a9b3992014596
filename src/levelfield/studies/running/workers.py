"""Where the runs of one slot are trained on this machine: a warm worker, or a fresh process for each."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Protocol

from levelfield.studies.running.warm_worker import STOPPED_CODE
from levelfield.system.fork import MAY_FORK
from levelfield.thread_waiting import spin_briefly


class Slot(Protocol):
    """Trains one run at a time, in a process of its own, what it prints in train.log of its folder."""

    threads: int

    def carry_out(self, config: Path, folder: Path) -> int:
        """Train the run in `config` into `folder`; the exit code of its process."""

    def stop_run(self) -> None:
        """Ask the run to write a checkpoint and stop."""

    @property
    def open(self) -> bool:
        """Whether it can take another run."""

    def end(self) -> None:
        """Let it, which has no run, go."""


class WarmWorker:
    """A process of `warm_worker.py`: what its runs import, it has imported before they begin."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._process = subprocess.Popen(
            [sys.executable, "-m", "levelfield.studies.running.warm_worker"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=_environment(threads),
        )  # fmt: skip

    def carry_out(self, config: Path, folder: Path) -> int:
        asked, told = self._process.stdin, self._process.stdout
        assert asked is not None and told is not None
        line = json.dumps({"config": str(config.absolute()), "folder": str(folder.absolute())})
        try:
            asked.write(line.encode() + b"\n")
            asked.flush()
            answer = told.readline()
        except BrokenPipeError:
            answer = b""
        return int(answer) if answer else self._process.wait() or STOPPED_CODE  # else it has ended itself

    def stop_run(self) -> None:
        self._process.send_signal(signal.SIGTERM)

    @property
    def open(self) -> bool:
        return self._process.poll() is None

    def end(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        self._process.wait()


class FreshProcesses:
    """`levelfield train` for every run: it imports everything anew."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._process: subprocess.Popen[bytes] | None = None

    def carry_out(self, config: Path, folder: Path) -> int:
        command = [sys.executable, "-m", "levelfield", "train", "--config", str(config), "--out", str(folder), "--yes"]
        with (folder / "train.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=_environment(self.threads)
            )
        return self._process.wait()

    def stop_run(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)

    open = True

    def end(self) -> None:
        pass


def _environment(threads: int) -> dict[str, str]:
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    spin_briefly(environment)
    return environment


def new_slot(threads: int) -> Slot:
    """The quicker of both that this system allows."""
    return WarmWorker(threads) if MAY_FORK else FreshProcesses(threads)
