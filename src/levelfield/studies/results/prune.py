"""Keep disks free: remove run folders that a study no longer asks for, checkpoints of finished runs, or whole rows."""

from __future__ import annotations

import fnmatch
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from levelfield.runs import FolderLock, find_runs
from levelfield.studies.declared.planned_runs import PlannedRow
from levelfield.studies.results.run_folders import hold_all, state_of
from levelfield.tables.sweeps import SWEEP, swept_runs

What = Literal["stale", "checkpoints", "rows"]


@dataclass(frozen=True)
class Removal:
    """Something to remove, why, and how large it is."""

    path: Path
    why: str
    mib: float


def removals(out: Path, rows: Sequence[PlannedRow], what: What, patterns: Sequence[str] = ()) -> list[Removal]:
    """What can go from `out`.

    `stale`: runs that no row of the study asks for any more (an edited recipe, a row taken out), and those of sweeps
    that no search on record made. `checkpoints`: those of finished runs; weights and results stay. `rows`: all runs of
    the rows that match `patterns`; those of sweeps stay.
    """
    runs = find_runs(out)
    if what == "checkpoints":
        done = [run for run in runs if state_of(run)[0] == "finished" and run.checkpoints.is_dir()]
        return [_removal(run.checkpoints, "the run is finished") for run in done]
    own = [run for run in runs if run.path.parent.parent == out]
    if what == "rows":
        homes = {row.home for row in rows for pattern in patterns if fnmatch.fnmatchcase(row.name, pattern)}
        gone = [run for run in own if run.path.parent.name in homes]
        return [_removal(run.path, f"row {run.path.parent.name}") for run in gone]
    held = hold_all(out, rows)
    kept = {one.folder.path for each in held.values() for found in each.runs.values() for one in found if one.folder}
    why = {one.folder.path: one.why for each in held.values() for one in each.stale}
    stale = [_removal(run.path, why.get(run.path, "no row asks for it")) for run in own if run.path not in kept]
    swept = swept_runs(out)
    unswept = [run for run in find_runs(out / SWEEP) if run.path not in swept] if swept else []
    return stale + [_removal(run.path, "no search on record made it") for run in unswept]


def remove(out: Path, chosen: Sequence[Removal]) -> float:
    """Remove `chosen`; the MiB that this frees. Raises UserError while another process writes to the study or a run."""
    with FolderLock(out):
        for removal in chosen:
            run = removal.path if (removal.path / "run.json").is_file() else removal.path.parent
            with FolderLock(run):
                shutil.rmtree(removal.path)
            if removal.path == run:
                with suppress(OSError):  # other runs of the row are there
                    run.parent.rmdir()
    return sum(removal.mib for removal in chosen)


def _removal(path: Path, why: str) -> Removal:
    return Removal(path, why, sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) / 2**20)
