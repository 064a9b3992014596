"""Tune every row alike: one grid of learning rates and weight decays, chosen on the validation slice, never on test.

A sweep is a study whose rows are the points of the grid, at a stated part of the study's length, one seed, in the
folder `sweep` of the study. What it finds goes to `tuned.json`, which rows whose published setting is unknown then use,
and every point to `sweep.json`, which reports show.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any, Final

from levelfield.errors import UserError
from levelfield.memory_allocator import keep_freed_memory
from levelfield.progress import Progress
from levelfield.runs import FolderLock, write_json
from levelfield.studies.declared.planned_runs import PlannedRow, PlannedRun
from levelfield.studies.results.run_folders import find, run_folder
from levelfield.studies.running.executor import resolve_here
from levelfield.tables.sweeps import SWEEP, SWEEPS, TUNED, read_sweeps_json, read_tuned, validation_top1

LR: Final = "recipe.optimizer.lr"
WEIGHT_DECAY: Final = "recipe.optimizer.weight_decay"
VALIDATION: Final = 0.1
SEED: Final = 1000
"""The seed of all sweeps: one that no study uses."""


@dataclass(frozen=True)
class Point:
    """One point of the grid: the setting and the validation top-1 at the end of training (None: it failed, why).
    `run`: its run folder, relative to the sweep's."""

    lr: float
    weight_decay: float
    val_top1: float | None
    why: str = ""
    run: str = ""


@dataclass(frozen=True)
class RowSweep:
    """All points of one row. `best` is None where every point failed. `also`: rows that are the same training.
    `setting`: what was swept at which length, in words."""

    row: str
    points: tuple[Point, ...]
    also: tuple[str, ...] = ()
    setting: str = ""

    @property
    def rows(self) -> list[str]:
        """All rows that this was found for."""
        return [self.row, *self.also]

    @property
    def best(self) -> Point | None:
        measured = [point for point in self.points if point.val_top1 is not None]
        return max(measured, key=lambda point: point.val_top1 or 0.0, default=None)

    @property
    def failed(self) -> int:
        """How many points have no score."""
        return sum(point.val_top1 is None for point in self.points)

    @property
    def edges(self) -> tuple[str, ...]:
        """On which edges of the grid the best lies: there the grid may have been too small."""
        best = self.best
        if best is None:
            return ()
        found = []
        for name, key in (("learning rate", "lr"), ("weight decay", "weight_decay")):
            value, values = getattr(best, key), {getattr(point, key) for point in self.points}
            if len(values) > 1 and value in (min(values), max(values)):
                found.append(f"{'lowest' if value == min(values) else 'highest'} {name}")
        return tuple(found)

    @property
    def sensitivity(self) -> float | None:
        """Points of validation top-1 between the best and the median point of the grid (of two: their middle)."""
        scores = [point.val_top1 for point in self.points if point.val_top1 is not None]
        return max(scores) - median(scores) if len(scores) > 1 else None

    def found_as_json(self) -> dict[str, Any]:
        """What was found, as plain JSON values."""
        return {
            "best": None if self.best is None else asdict(self.best),
            "edges": list(self.edges),
            "sensitivity": self.sensitivity,
            "points": [asdict(point) for point in self.points],
        }


def grid_rows(
    rows: Sequence[PlannedRow], lr_factors: Sequence[float], weight_decays: Sequence[float] | None, share: float
) -> list[tuple[PlannedRow, list[PlannedRow]]]:
    """For every training, the rows of its grid: its learning rate times each factor, each weight decay (None: its own).

    `share` of the row's length, rounded up to whole epochs. Rows that start from another row are left out; of rows that
    are the same training the first stands for all.
    """
    result = []
    seen = set()
    for row in rows:
        if row.home in seen or row.after is not None:
            continue
        seen.add(row.home)
        points = []
        optimizer = row.spec.recipe.optimizer
        length = {f"budget.{unit}": value for unit, value in row.spec.budget if value is not None}
        common = {unit: max(1, math.ceil(value * share)) for unit, value in length.items()}
        common |= {"recipe.selection": "last", "data.validation": VALIDATION}
        for factor, decay in product(lr_factors, weight_decays or [optimizer.weight_decay]):
            lr = optimizer.lr * factor
            name = f"{row.name}-lr{lr:g}-wd{decay:g}"
            spec = row.spec.changed({**common, LR: lr, WEIGHT_DECAY: decay})
            points.append(replace(row, name=name, home=name, spec=spec))
        result.append((row, points))
    return result


def run_sweep(
    out: Path,
    grid: Sequence[tuple[PlannedRow, Sequence[PlannedRow]]],
    progress: Progress,
    names: Mapping[str, Sequence[str]],
) -> list[RowSweep]:
    """Train every point that is not there yet, write the best of each row to `out`/tuned.json and all to sweep.json.

    `names`: by home, all rows that are that training: what is found is found for each of them.
    """
    from levelfield.training import train

    keep_freed_memory()  # this process trains; as a library, `train` leaves malloc alone
    folder = out / SWEEP
    sweeps = []
    with FolderLock(folder), progress:
        progress.start(sum(len(points) for _, points in grid), "sweep")
        for row, points in grid:
            done = []
            for point in points:
                run, why = PlannedRun(point, SEED), ""
                inner = progress.inside(1.0)
                found = find(folder, run)
                try:
                    if found.state != "finished":
                        resolved = resolve_here(run.spec)
                        train(resolved, run_folder(folder, run, resolved.identity()), progress=inner)
                        found = find(folder, run)
                except UserError as error:
                    why = str(error)
                    inner.note(f"{point.name} failed: {why}")
                inner.finish()
                optimizer = point.spec.recipe.optimizer
                score = None if found.folder is None or why else validation_top1(found.folder)
                place = "" if found.folder is None else found.folder.path.relative_to(folder).as_posix()
                done.append(Point(optimizer.lr, optimizer.weight_decay, score, why, place))
            also = tuple(name for name in names[row.home] if name != row.name)
            sweeps.append(RowSweep(row.name, tuple(done), also, _in_words(points)))
            _save(out, sweeps)
    return sweeps


def _in_words(points: Sequence[PlannedRow]) -> str:
    spec = points[0].spec
    length = ", ".join(f"{value:g} {unit}" for unit, value in spec.budget if value is not None)
    return f"{length} each, seed {SEED}, {VALIDATION:.0%} of train held out"


def _save(out: Path, sweeps: Sequence[RowSweep]) -> None:
    """Bring tuned.json and sweep.json up to date: rows that were swept now replace what was found for them before."""
    best = {
        name: {LR: sweep.best.lr, WEIGHT_DECAY: sweep.best.weight_decay}
        for sweep in sweeps
        if sweep.best
        for name in sweep.rows
    }
    failed = {name for sweep in sweeps if not sweep.best for name in sweep.rows}
    write_json(out / TUNED, {k: v for k, v in {**read_tuned(out), **best}.items() if k not in failed})
    now = {name for sweep in sweeps for name in sweep.rows}
    before = [sweep for sweep in read_sweeps_json(out) if not now & set(sweep["rows"])]
    swept = [{"rows": sweep.rows, "setting": sweep.setting, **sweep.found_as_json()} for sweep in sweeps]
    write_json(out / SWEEPS, before + swept)
