"""The runs of the search for a row's setting, as they lie in their folders: what was tried, and what came of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from levelfield.runs import RunFolder
from levelfield.spec import RunSpec
from levelfield.tables.audit.findings import AuditRow
from levelfield.tables.sweeps import SWEEP, read_sweeps, validation_top1

TRIAL: Final = re.compile(r"(?P<row>.+)-trial(?P<number>\d+)")
"""The folder of a trial (`studies.running.searches_of_rows`)."""
POINT: Final = "-lr"
"""What follows a row's name in the folder of a grid's point."""


@dataclass(frozen=True)
class SweptRun:
    """One run of a search: the number of the trial (of a grid's point 0), and where it lies."""

    number: int
    folder: RunFolder

    @property
    def place(self) -> str:
        """Its folder as sweep.json names it, relative to that of the search."""
        return "/".join(self.folder.path.parts[-2:])

    @cached_property
    def spec(self) -> RunSpec:
        return self.folder.spec()

    @cached_property
    def score(self) -> float | None:
        """The last validation top-1 that it showed."""
        return validation_top1(self.folder)

    @cached_property
    def tested(self) -> float | None:
        """Its top-1 on test, which nothing may be chosen by."""
        found = (self.folder.result() or {}).get("top1")
        return None if found is None else float(found)

    @cached_property
    def status(self) -> str:
        """finished, failed, or open: that of a pruned one."""
        result = self.folder.result()
        return "open" if result is None else "finished" if result["status"] == "finished" else "failed"

    @cached_property
    def epochs(self) -> dict[int, float]:
        """Validation top-1 by epoch."""
        lines = self.folder.metrics()
        return {
            int(line.get("epoch", 0)): float(line["val_top1"]) for line in lines if line.get("val_top1") is not None
        }

    def value(self, key: str) -> Any:
        """Its value of a key of a run, as plain JSON has it."""
        return value_at(self.spec, key)


def value_at(spec: RunSpec, key: str) -> Any:
    """What a run has at a dotted path, as plain JSON has it; None where there is nothing."""
    here: Any = spec.model_dump(mode="json")
    for part in key.split("."):
        here = here[int(part)] if isinstance(here, list) and part.isdigit() else (here or {}).get(part)
    return here


def swept_runs(row: AuditRow, folder: Path | None) -> list[SweptRun]:
    """All runs of the search for a row's setting (of the row whose runs it shares), by number."""
    if folder is None:
        return []
    homes = {*row.runs.row.names} | {run.folder.path.parent.name for run in row.own}
    found = []
    for path in (folder / SWEEP).glob("*/*/run.json"):
        name = path.parts[-3]
        trial = TRIAL.fullmatch(name)
        home = trial["row"] if trial else name.rpartition(POINT)[0]
        if home in homes:
            found.append(SweptRun(int(trial["number"]) if trial else 0, RunFolder(path.parent)))
    return sorted(found, key=lambda run: (run.number, str(run.folder.path)))


@dataclass(frozen=True)
class Searched:
    """The runs that were made to find a row's setting. `last`: of the search that its setting is of. `paid`: those of
    searches before it, too. `begun`: of one that no record has, as it has not ended."""

    last: tuple[SweptRun, ...]
    paid: tuple[SweptRun, ...]
    begun: tuple[SweptRun, ...] = ()


def searched(row: AuditRow, folder: Path | None) -> Searched:
    """The runs of all searches for a row's setting, by the record in sweep.json; where that says nothing of the row, or
    names no run that is there, all are one search."""
    runs = tuple(swept_runs(row, folder))
    records = () if folder is None else [each for each in read_sweeps(folder) if {*each.rows} & {*row.runs.row.names}]
    last = {trial.run for sweep in records for trial in sweep.points}
    paid = {trial.run for sweep in records for trial in sweep.paid}
    if not (found := tuple(run for run in runs if run.place in last)):
        return Searched(runs, runs)
    recorded = tuple(run for run in runs if run.place in paid)
    return Searched(found, recorded, tuple(run for run in runs if run.place not in paid))


def ended(runs: Iterable[SweptRun]) -> list[SweptRun]:
    """Those that have a score at their end."""
    return [run for run in runs if run.status == "finished" and run.score is not None]


def best_of(runs: Sequence[SweptRun]) -> list[SweptRun]:
    """Of the runs that were trained to their end those with the best validation."""
    complete = ended(runs)
    best = max((run.score or 0.0 for run in complete), default=None)
    return [run for run in complete if run.score == best]
