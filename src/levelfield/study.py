"""A study as users have it: what its file declares, and what can be done with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from levelfield.studies.declared import planned_runs
from levelfield.studies.declared.planned_runs import PlannedRun, runs_of
from levelfield.studies.declared.study import Changes, StudySpec
from levelfield.studies.running import run_study


class Study(StudySpec):
    """A comparison as one value. `Study.load(name)` reads a shipped one or a file; `run` carries it out."""

    planned_rows = planned_runs.planned_rows  # of its own name, by which a bound method is pickled
    run = run_study.run

    def plan(
        self,
        scale: str = "full",
        seeds: Iterable[int] | None = None,
        *,
        overrides: Sequence[str] = (),
        only: Sequence[str] = (),
        plugins: Sequence[str] = (),
        data_dir: str | None = None,
        tuned: Mapping[str, Changes] | None = None,
    ) -> list[PlannedRun]:
        """Every run of the study at a scale, seed by seed, so that a study cut short has compared all rows; a row that
        starts from another comes after it."""
        chosen = tuple(seeds) if seeds is not None else self.scale(scale).seeds or self.seeds
        rows = self.planned_rows(scale, overrides=overrides, only=only, plugins=plugins, data_dir=data_dir, tuned=tuned)
        return runs_of(rows, {row.name: chosen for row in rows})
