"""What an executor must do, which carries out the runs of a study; each lies in a file of its own beside this one.

`in_process.py`: one run after another, here. `processes.py`: several at once. `ray_cluster.py`: on other machines.
"""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path
from typing import Final, Protocol

from levelfield.progress import Progress
from levelfield.spec import RunSpec

STOPPED: Final = "stopped on request"
"""Why a run has no result that was not allowed to begin, or was interrupted."""


class Executor(Protocol):
    """Carries out runs.

    `slots`: how many it takes at once. `resolve`: `spec` with its open fields filled in, as they are where it will run.
    `submit`: a future of the seconds that the run took, which fails with what stopped it. `close` stops what still
    runs, each with a checkpoint; closing twice is harmless.
    """

    @property
    def slots(self) -> int: ...

    def resolve(self, spec: RunSpec) -> RunSpec: ...

    def submit(self, spec: RunSpec, folder: Path, progress: Progress) -> Future[float]: ...

    def close(self) -> None: ...


def resolve_here(spec: RunSpec) -> RunSpec:
    """`spec` with its open fields filled in for this machine; torch is imported only here."""
    from levelfield.training.prepare_run import resolve as fill_in

    return fill_in(spec)
