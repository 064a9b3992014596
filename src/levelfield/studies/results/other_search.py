"""Rows whose setting was found by another search than the one that their study declares now."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from levelfield.studies.declared.planned_runs import PlannedRow
from levelfield.studies.declared.tuning import Tuning
from levelfield.tables.sweep import Sweep


def tuned_by_another(rows: Sequence[PlannedRow], tuning: Tuning | None, sweeps: Iterable[Sweep]) -> list[str]:
    """The names of `rows` whose setting comes of a record in `sweeps` that is not of `tuning`: another space, another
    draw, fewer trials, or another rule of pruning (lengths are in the names of runs, not here)."""
    if tuning is None:
        return []
    space = {key: axis.model_dump(mode="json", exclude_none=True) for key, axis in tuning.space.items()}
    others = {
        name
        for sweep in sweeps
        if (sweep.sampler, tuple(sweep.rungs)) != (tuning.sampler, tuning.rungs)
        or {key: dict(axis) for key, axis in sweep.space.items()} != space
        or len(sweep.points) < tuning.trials
        for name in sweep.rows
    }
    return list(dict.fromkeys(row.name for row in rows if row.tuned and not row.before and row.name in others))
