"""Rows for which a study declares a search for settings that was not made: said before hours are spent on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from levelfield.studies.declared.planned_runs import PlannedRow
    from levelfield.studies.declared.study import StudySpec
    from levelfield.studies.results.study_request import StudyRequest


def not_tuned(study: StudySpec, rows: Sequence[PlannedRow]) -> list[str]:
    """The names of the rows whose setting the study's search has still to find."""
    if study.tuning is None:
        return []
    return list(dict.fromkeys(row.name for row in rows if not row.tuned and not row.before))


def what_to_do_first(study: StudySpec, rows: Sequence[PlannedRow], asked: StudyRequest, folder: Path) -> str | None:
    """That rows are not tuned, and the command that tunes them; None where nothing is left to be found."""
    from levelfield.studies.results.other_search import tuned_by_another
    from levelfield.studies.results.study_request import command_in
    from levelfield.tables.lists_in_words import counted, listed
    from levelfield.tables.sweeps import read_sweeps

    if study.tuning is None:
        return None
    said, command = [], command_in("sweep", asked, folder)
    others = tuned_by_another(rows, study.tuning, read_sweeps(folder))
    for names, what in (
        (not_tuned(study, rows), "not tuned: {}, trained at the recipe's own setting"),
        (others, "tuned by another search than the study declares: {}"),
    ):
        if names:
            trials = len({row.home for row in rows if row.name in names}) * study.tuning.trials
            tries = f"{counted(study.tuning.trials, 'setting')} of every row"
            tries += f", {counted(trials, 'trial')} not counted here"
            said.append(f"{what.format(listed(names))}; `{command}` first tries {tries}")
    return "\n".join(said) or None
