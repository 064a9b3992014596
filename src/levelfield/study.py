"""A study as users have it: what its file declares, and what can be done with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from levelfield.studies.declared.planned_runs import PlannedRow, PlannedRun, planned_rows, runs_of
from levelfield.studies.declared.study import Changes, StudySpec

if TYPE_CHECKING:
    from levelfield.progress import Progress
    from levelfield.studies.running.executor import Executor
    from levelfield.tables.table import StudyTable


class Study(StudySpec):
    """A comparison as one value. `Study.load(name)` reads a shipped one or a file; `run` carries it out."""

    def planned_rows(
        self,
        scale: str = "full",
        *,
        overrides: Sequence[str] = (),
        only: Sequence[str] = (),
        plugins: Sequence[str] = (),
        data_dir: str | None = None,
        tuned: Mapping[str, Changes] | None = None,
    ) -> list[PlannedRow]:
        """The rows at a scale, in the file's order, each with the run that it describes (`planned_runs.planned_rows`)."""
        return planned_rows(
            self, scale, overrides=overrides, only=only, plugins=plugins, data_dir=data_dir, tuned=tuned
        )

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

    def run(
        self,
        out_dir: str | Path | None = None,
        *,
        scale: str | None = None,
        overrides: Sequence[str] | None = None,
        plugins: Sequence[str] | None = None,
        data_dir: str | None = None,
        seeds: Iterable[int] | None = None,
        only: Sequence[str] = (),
        tuned: Mapping[str, Changes] | None = None,
        progress: Progress | None = None,
        executor: Executor | None = None,
        parallel: int = 1,
        expected_s: Mapping[str, float] | None = None,
        may_begin: Callable[[PlannedRun], bool] | None = None,
        page: bool = True,
    ) -> StudyTable:
        """Train the runs that `out_dir` lacks, write the table's files there, return the table.

        Args:
            out_dir: default runs/NAME, or runs/NAME-SCALE.
            scale: None: that of the folder, else `full`.
            overrides: `--set` assignments for every row. A folder that was run with some takes no run that says nothing
                (None) of them; [] takes the study as its file has it. plugins: Python files that register models;
                likewise.
            data_dir: folder of the data sets; None: the folder's last, else what the environment says.
            seeds: instead of the file's. The table has all that were ever trained.
            only: train the rows that match one of these patterns; the table still has all rows.
            tuned: settings of rows whose own is unknown, instead of what a sweep in `out_dir` found.
            progress: where to show it; None: nowhere.
            executor: where the runs are carried out; None: here, `parallel` at once.
            expected_s: seconds that a run of each row is expected to take (only their ratios count).
            may_begin: asked just before a run begins; one that may not is left for another time, and is no failure.
            page: write report.html too (it needs altair and vl-convert).

        Raises UserError for a study that cannot be planned, for a folder that holds another study, another scale or
        unsaid changes, or that another process writes to, and where not a single run could be begun. A run that fails
        later is kept as a row that says why, and the others go on.
        """
        from levelfield.studies.results.study_request import StudyOptions
        from levelfield.studies.running.run_study import run_study

        return run_study(
            self, out_dir, StudyOptions(scale, overrides, plugins, data_dir), seeds=seeds, only=only, tuned=tuned,
            progress=progress, executor=executor, parallel=parallel, expected_s=expected_s, may_begin=may_begin,
            page=page,
        )  # fmt: skip
