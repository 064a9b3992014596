"""A study as users have it: what its file declares, and what can be done with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from levelfield import notebook
from levelfield.errors import UserError
from levelfield.studies.declared import planned_runs
from levelfield.studies.declared.planned_runs import PlannedRun, runs_of
from levelfield.studies.declared.study import Changes, StudySpec
from levelfield.studies.results.run_folders import default_folder
from levelfield.studies.results.write_outputs import results
from levelfield.studies.running import run_study
from levelfield.tables.data_frame import data_frame
from levelfield.tables.read_folder import read_study

if TYPE_CHECKING:
    import pandas as pd


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

    def to_pandas(self, out_dir: str | Path | None = None) -> pd.DataFrame:
        """One line a finished run of the study in `out_dir` (None: runs/NAME), with the keys of its result.json beside
        `row` and `group`; lists and mappings of classes stay Python values. Nothing is trained or written.

        Raises UserError for a folder that holds another study or no finished run, and where pandas is not installed.
        """
        out = Path(out_dir) if out_dir is not None else default_folder(self.name, "full")
        rows = read_study(out)
        if rows.name != self.name:
            raise UserError(f"{out} holds study {rows.name!r}, not {self.name!r}\ngive the folder of this study")
        found = results(rows)
        if not found:
            raise UserError(f"{out} holds no finished run of {self.name}\nrun the study there first")
        return data_frame(found)

    def _repr_html_(self) -> str:
        """What the study asks and declares, for a notebook."""
        grids = (self, *self.groups)
        names = [name for grid in grids for name in (*grid.models, *(row.name or row.model for row in grid.rows))]
        return notebook.facts(
            [
                ("study", self.name),
                ("question", self.question.strip()),
                ("rows", ", ".join(names)),
                ("baseline", self.baseline),
                ("data", ", ".join(dict.fromkeys(data.name for grid in grids for data in grid.data))),
                ("recipes", ", ".join(dict.fromkeys(name for grid in grids for name in grid.recipes))),
                ("seeds", ", ".join(map(str, self.seeds))),
                ("scales", ", ".join(dict.fromkeys(["full", *self.scales]))),
            ]
        )
