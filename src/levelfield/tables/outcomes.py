"""What came of every run of a row: seeds that failed or diverged are outcomes of it, as scores are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from levelfield.tables.runs_of_row import Measured, RowRuns

IN_TRAINING: Final = ("not finite", "out of memory")
"""How the reason of a run that failed while it trained can be told from that of one that never began."""
DIVERGED: Final = "not finite"

State = Literal["finished", "diverged", "failed", "not finished", "could not begin", "not run"]


@dataclass(frozen=True)
class Outcome:
    """What came of one seed. `why`: of one without a result, where it is known; `run`: of one that finished."""

    seed: int
    state: State
    why: str = ""
    run: Measured | None = None


def failed_seeds(runs: RowRuns) -> dict[int, str]:
    """Seed -> why its run failed, of the seeds without a result; from the run folders and from the study.

    A run that could not begin (its data was not there) is none that failed; where folders of failed runs are not kept,
    the reason tells.
    """
    done = {run.seed for run in runs.finished}
    begun = {run.spec().seed: run.result() for run in runs.row.runs}
    found = {
        seed: why
        for seed, why in runs.row.failures.items()
        if seed not in done and (seed in begun or any(sign in why for sign in IN_TRAINING))
    }
    for seed, result in begun.items():
        if seed not in done and result is not None and result["status"] != "finished":
            found[seed] = str(result["status"]).removeprefix("failed: ")
    return {seed: why.splitlines()[0] for seed, why in sorted(found.items())}


def outcomes(runs: RowRuns) -> list[Outcome]:
    """What came of every seed that was asked for or that there is a run of, in ascending order."""
    failed = failed_seeds(runs)
    finished = {run.seed: run for run in runs.finished}
    begun = {run.spec().seed for run in runs.row.runs}

    def of(seed: int) -> Outcome:
        if seed in finished:
            return Outcome(seed, "finished", run=finished[seed])
        if seed in failed:
            return Outcome(seed, "diverged" if DIVERGED in failed[seed] else "failed", failed[seed])
        if seed in begun:
            return Outcome(seed, "not finished")
        if seed in runs.row.failures:
            return Outcome(seed, "could not begin", runs.row.failures[seed].splitlines()[0])
        return Outcome(seed, "not run")

    return [of(seed) for seed in sorted({*finished, *begun, *runs.row.failures, *runs.row.planned})]
