"""Keep disks free: remove run folders that a study no longer asks for, checkpoints of finished runs, or whole rows."""

from __future__ import annotations

import fnmatch
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from levelfield.errors import UserError
from levelfield.runs import FolderLock, RunFolder, find_runs
from levelfield.studies.found import belongs, state_of
from levelfield.studies.plan import PlannedRow, PlannedRun

What = Literal["stale", "checkpoints", "rows"]


@dataclass(frozen=True)
class Removal:
    """Something to remove, why, and how large it is."""

    path: Path
    why: str
    mib: float


def removals(out: Path, rows: Sequence[PlannedRow], what: What, patterns: Sequence[str] = ()) -> list[Removal]:
    """What can go from `out`.

    `stale`: runs that no row of the study asks for any more (an edited recipe, a row taken out).
    `checkpoints`: those of finished runs; weights and results stay. `rows`: all runs of the rows that match `patterns`.
    """
    found = []
    for run in find_runs(out):
        row = run.path.parent.name
        if what == "stale" and not any(one.home == row and _asked_for(out, one, run) for one in rows):
            found.append(_removal(run.path, "no row asks for it"))
        elif what == "rows" and any(fnmatch.fnmatchcase(row, pattern) for pattern in patterns):
            found.append(_removal(run.path, f"row {row}"))
        elif what == "checkpoints" and state_of(run)[0] == "finished" and run.checkpoints.is_dir():
            found.append(_removal(run.checkpoints, "the run is finished"))
    return found


def remove(out: Path, chosen: Sequence[Removal]) -> float:
    """Remove `chosen`; the MiB that this frees. Raises UserError while another process writes to the study or a run."""
    with FolderLock(out):
        for removal in chosen:
            run = removal.path if (removal.path / "run.json").is_file() else removal.path.parent
            with FolderLock(run):
                shutil.rmtree(removal.path)
            if removal.path == run:
                _remove_if_empty(run.parent)
    return sum(removal.mib for removal in chosen)


def _asked_for(out: Path, row: PlannedRow, run: RunFolder) -> bool:
    try:
        return belongs(out, PlannedRun(row, run.spec().seed), run)
    except UserError:
        return False


def _removal(path: Path, why: str) -> Removal:
    return Removal(path, why, sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) / 2**20)


def _remove_if_empty(folder: Path) -> None:
    if not any(folder.iterdir()):
        folder.rmdir()
