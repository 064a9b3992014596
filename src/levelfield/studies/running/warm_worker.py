"""A worker of a study: it imports once what training needs, then forks a fresh process for every run.

    python -m levelfield.studies.running.warm_worker

A line of stdin asks for a run, `{"config": FILE, "folder": FOLDER}`; the line of stdout that answers it is the exit
code of the run's process, negative for a signal. A run begins as in a process of its own: nothing was trained, seeded,
set or loaded before it, the user's plugins included, and what it takes or breaks ends with it. The worker ends with its
stdin. For Linux only: elsewhere libraries do not bear to be forked once they are loaded.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import signal
import sys
import traceback
import warnings
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Final, TextIO

from levelfield.errors import INTERNAL_ERROR, UserError
from levelfield.system.fork import end_with_parent, fork, hold_back_sigterm, let_sigterm_through, once_a_second

STOPPED_CODE: Final = 130
"""Exit code of a run that was stopped on request and wrote a checkpoint."""
IMPORTED: Final = (
    *("levelfield.training", "levelfield.models", "torch.utils.tensorboard", "pyarrow.parquet"),
    "torch._dynamo",  # which an optimiser may load at its first step
)
"""What a run imports sooner or later, and takes seconds. What is not installed a run does without."""


class Worker:
    """Takes one run after another. SIGTERM is passed on to the run; Ctrl-C, which reaches it by itself, is not.

    Where the study is killed, its worker sees that within a second or two, and stops the run as SIGTERM would.
    """

    def __init__(self, answers: TextIO) -> None:
        self._answers = answers
        self._run: int | None = None
        self._study = os.getppid()
        self._interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, self._pass_on)

    def work(self) -> None:
        """Until stdin ends, or nobody reads the answers."""
        for name in IMPORTED:
            with suppress(ImportError):
                importlib.import_module(name)
        for line in sys.stdin:
            asked = json.loads(line)
            code = self._carry_out(Path(asked["config"]), Path(asked["folder"]))
            try:
                print(code, file=self._answers, flush=True)
            except BrokenPipeError:
                return

    def _carry_out(self, config: Path, folder: Path) -> int:
        """Train the run in `config` in a process of its own; the exit code of that."""
        hold_back_sigterm()  # until it is known whom it is for
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # OpenBLAS has threads, and sees to forks itself
            self._run = fork()
        if self._run == 0:
            self._become(config, folder)
        let_sigterm_through()
        with once_a_second(self._look_after_the_study):
            _, status = os.waitpid(self._run, 0)
        self._run = None
        return os.waitstatus_to_exitcode(status)

    def _look_after_the_study(self) -> bool:
        """A study that is killed tells nobody. Only once: asked twice, a run ends without a checkpoint."""
        if os.getppid() == self._study:
            return True
        self._pass_on(signal.SIGTERM, None)
        return False

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        if self._run is None:
            raise SystemExit(STOPPED_CODE)
        with suppress(ProcessLookupError):
            os.kill(self._run, number)

    def _become(self, config: Path, folder: Path) -> None:
        """In the forked process: train, and end with the exit code that tells how it went."""
        code = INTERNAL_ERROR
        try:
            end_with_parent()  # a killed worker leaves no run behind
            signal.signal(signal.SIGINT, self._interrupt)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            let_sigterm_through()
            os.close(self._answers.fileno())
            _redirect(folder / "train.log")
            code = train(config, folder)
            atexit._run_exitfuncs()
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code)


def _redirect(log: Path) -> None:
    """stdin from nowhere, stdout and stderr to `log`."""
    for target, path, flags in ((0, os.devnull, os.O_RDONLY), (1, log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)):
        opened = os.open(path, flags, 0o644)
        os.dup2(opened, target)
        os.close(opened)
    os.dup2(1, 2)


def train(config: Path, folder: Path) -> int:
    """Train the run in `config` into `folder`; what `levelfield train` would exit with, and say on stderr."""
    from levelfield.progress import Progress
    from levelfield.spec import RunSpec
    from levelfield.spec.yaml_files import read_mapping
    from levelfield.training import prepare, train_prepared

    try:
        with Progress() as progress:
            train_prepared(prepare(RunSpec.parse(read_mapping(config), str(config))), folder, progress=progress)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on where it stopped", file=sys.stderr)
        return STOPPED_CODE
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except Exception as error:
        traceback.print_exc()
        print(f"internal error: {type(error).__name__}: {error}", file=sys.stderr)
        return INTERNAL_ERROR
    return 0


if __name__ == "__main__":
    to_study = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # stdout is for answers, whatever prints
    Worker(to_study).work()
