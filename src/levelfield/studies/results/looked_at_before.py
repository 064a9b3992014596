"""What is known of finished runs that are looked at once more: how often their study's table was, and what is left."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from levelfield.runs import RunFolder
from levelfield.statistics.looks import further_share
from levelfield.tables.looks import LOOKS, read_looks

ABOVE: Final = 4
"""Folders above a run's in which its study is looked for: STUDY/ROW/seedK, and a row's name may have slashes."""


@dataclass(frozen=True)
class LookedAt:
    """The table in the folder `study` was looked at `looks` times; one more may spend `share` of the level."""

    study: Path
    looks: int
    share: float

    @property
    def times(self) -> str:
        return "once" if self.looks == 1 else f"{self.looks} times"


def looked_at_before(runs: Iterable[RunFolder]) -> tuple[LookedAt, ...]:
    """The studies of `runs` that were looked at while they grew. Raises UserError for a damaged looks.json."""
    studies = dict.fromkeys(study for run in runs if (study := _study_of(run.path)) is not None)
    found = [(study, kept.looks) for study in studies if (kept := read_looks(study)) is not None and kept.looks]
    return tuple(LookedAt(study, len(looks), further_share(looks)) for study, looks in found)


def _study_of(run: Path) -> Path | None:
    """The folder above that of a `run` which keeps looks; None where there is none."""
    here = Path.cwd()
    above = run.resolve().parents[:ABOVE]
    study = next((folder for folder in above if (folder / LOOKS).is_file()), None)
    return study.relative_to(here) if study is not None and study != here and study.is_relative_to(here) else study
