"""Rows for which a study declares a search for settings that was not made: said before hours are spent on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from levelfield.studies.declared.planned_runs import PlannedRow
    from levelfield.studies.declared.study import StudySpec


def not_tuned(study: StudySpec, rows: Sequence[PlannedRow]) -> list[str]:
    """The names of the rows whose setting the study's search has still to find."""
    if study.tuning is None:
        return []
    return list(dict.fromkeys(row.name for row in rows if not row.tuned and not row.before))


def what_to_do_first(study: StudySpec, rows: Sequence[PlannedRow]) -> str | None:
    """That rows are not tuned, and the command that tunes them; None where nothing is left to be found."""
    from levelfield.tables.lists_in_words import counted, listed

    if study.tuning is None or not (names := not_tuned(study, rows)):
        return None
    first = f"`levelfield study sweep {study.name}` first tries {counted(study.tuning.trials, 'setting')} of every row"
    return f"not tuned: {listed(names)}, trained at the recipe's own setting; {first}"
