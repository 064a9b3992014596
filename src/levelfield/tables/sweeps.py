"""What sweeps left in a study's folder, read.

`tuned.json` holds the best setting of each row, `sweep.json` every trial, the folder `sweep` the trials' runs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from levelfield.errors import UserError
from levelfield.runs import RunFolder
from levelfield.studies.declared.study import Changes
from levelfield.tables.sweep import Sweep, as_json, from_json

TUNED: Final = "tuned.json"
SWEEPS: Final = "sweep.json"
SWEEP: Final = "sweep"


def read_tuned(out: Path) -> Mapping[str, Changes]:
    """Row -> the setting that a sweep in `out` found for it; empty where there was none."""
    try:
        tuned: dict[str, Changes] = json.loads((out / TUNED).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except json.JSONDecodeError as error:
        raise UserError(f"{out / TUNED} cannot be read: {error}\nremove it and sweep again") from None
    return tuned


def read_sweeps(folder: Path) -> tuple[Sweep, ...]:
    """What sweeps of the study in `folder` found (sweep.json); empty where there was none."""
    path = folder / SWEEPS
    try:
        return tuple(from_json(sweep) for sweep in json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return ()
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise UserError(f"{path} cannot be read: {error!r}\nremove it and sweep again") from None


def join_sweeps(into: Path, other: Path) -> list[dict[str, Any]]:
    """The sweeps of `into` and, of rows that were not swept there, those of `other`; of the others what was tried for
    them in `other` is tried before."""
    theirs = read_sweeps(other)
    mine = [sweep.after(theirs) for sweep in read_sweeps(into)]
    known = {name for sweep in mine for name in sweep.rows}
    new = [left for sweep in theirs if (left := sweep.without(known)) is not None]
    return [as_json(sweep) for sweep in (*mine, *new)]


def swept_runs(folder: Path) -> set[Path]:
    """The run folders that the trials of the sweeps in `folder` have."""
    return {folder / SWEEP / trial.run for sweep in read_sweeps(folder) for trial in sweep.paid if trial.run}


def validation_top1(folder: RunFolder) -> float | None:
    """The last validation top-1 in a run's metrics."""
    scores = [line["val_top1"] for line in folder.metrics() if line.get("val_top1") is not None]
    return float(scores[-1]) if scores else None
