"""The search for a row's setting as a value: its trials, and the rule by which they are pruned."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from levelfield.studies.declared.planned_runs import PlannedRow
from levelfield.studies.declared.tuning import Setting
from levelfield.studies.running.until_decided import SWEPT
from levelfield.tables.sweep import GRID, Trial


@dataclass(frozen=True)
class Draw:
    """A setting that is tried, and the row whose run of seed `SWEPT` tries it."""

    setting: Setting
    row: PlannedRow


Drawn = Callable[[int, Sequence[Trial]], Draw | None]
"""Trial number t, given those before it; None while it follows from some that have not ended."""


@dataclass(frozen=True)
class Search:
    """The search of `row`: `count` trials, what each is, and the rule of pruning. `names`: all rows that are this
    training, its own first."""

    row: PlannedRow
    names: tuple[str, ...]
    count: int
    drawn: Drawn
    sampler: str = GRID
    space: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    alike: int = 0
    rungs: tuple[int, ...] = ()
    reduction: int = 2

    def first_draws(self) -> list[Draw]:
        """The trials that follow from no other."""
        return [draw for number in range(self.alike or self.count) if (draw := self.drawn(number, ())) is not None]

    def in_words(self) -> str:
        """Length, seed and slice of its trials, and how hopeless ones are pruned."""
        spec = self.first_draws()[0].row.spec
        length = ", ".join(
            f"{value:g} {unit.removesuffix('s') if value == 1 else unit}"
            for unit, value in spec.budget
            if value is not None
        )
        words = f"{length} each, seed {SWEPT}, {spec.data.validation or 0:.0%} of train held out"
        if not self.rungs:
            return words
        at = ", ".join(map(str, self.rungs))
        return f"{words}; after epoch {at} one in {self.reduction} goes on"
