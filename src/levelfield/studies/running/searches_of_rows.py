"""What is tried for every row: the points of a grid, or trials drawn from a declared space, the same for all."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Final

from levelfield.errors import UserError
from levelfield.spec import RunSpec
from levelfield.studies.declared.planned_runs import PlannedRow
from levelfield.studies.declared.tuning import Tuning, with_setting
from levelfield.studies.running.search import Draw, Drawn, Search
from levelfield.studies.running.until_decided import SWEPT
from levelfield.tables.sweep import LR, WEIGHT_DECAY

VALIDATION: Final = 0.1
"""The share of the training images that points of a grid hold out."""
TRIAL: Final = "-trial"
"""What follows a row's name in that of a trial of its search, before the trial's number."""


def grid(
    rows: Sequence[PlannedRow], names: Mapping[str, Sequence[str]], lr_factors: Sequence[float],
    weight_decays: Sequence[float] | None, share: float,
) -> list[Search]:  # fmt: skip
    """For every training a grid: its learning rate times each factor, each weight decay (None: its own), at `share` of
    its length. `names`: by home, all rows that are that training."""
    searches = []
    for row in _trainings(rows):
        optimizer, draws = row.spec.recipe.optimizer, []
        base = _shortened(row.spec, share, VALIDATION)
        for factor, decay in product(lr_factors, weight_decays or [optimizer.weight_decay]):
            lr = optimizer.lr * factor
            name = f"{row.name}-lr{lr:g}-wd{decay:g}"
            setting = {LR: lr, WEIGHT_DECAY: decay}
            draws.append(Draw(setting, replace(row, name=name, home=name, spec=base.changed(setting))))
        searches.append(Search(row, _named(row, names), len(draws), _listed(draws)))
    return searches


def search(rows: Sequence[PlannedRow], names: Mapping[str, Sequence[str]], tuning: Tuning, study: str) -> list[Search]:
    """For every training the search that the study declares. Raises UserError for values that a recipe cannot have."""
    points, searches = tuning.units(), []
    for row in _trainings(rows):
        base = _shortened(row.spec, tuning.share, tuning.validation)
        draw = _drawer(row, base, tuning, study)
        draws = [draw(number, units) for number, units in enumerate(points)]
        drawn = _listed(draws)
        if tuning.sampler == "tpe":
            from levelfield.studies.running.tpe import Tpe

            drawn = Tpe(tuning, points, draw)
        searches.append(
            Search(
                row, _named(row, names), tuning.trials, drawn, tuning.sampler,
                {key: axis.model_dump(mode="json", exclude_none=True) for key, axis in tuning.space.items()},
                tuning.alike, tuning.rungs, tuning.reduction,
            )
        )  # fmt: skip
    return searches


def check_seed(seeds: Sequence[int], study: str) -> None:
    """Raise UserError where the seed of sweeps is one that the comparison is judged by."""
    if SWEPT in seeds:
        raise UserError(
            f"study {study} compares seed {SWEPT}, by which sweeps choose settings: it would judge them too\n"
            "give the study other seeds"
        )


def _drawer(row: PlannedRow, base: RunSpec, tuning: Tuning, study: str) -> Callable[[int, tuple[float, ...]], Draw]:
    """From a trial's number and its point in the cube to the trial."""

    def draw(number: int, units: tuple[float, ...]) -> Draw:
        setting = tuning.setting(units, row.spec)
        spec = with_setting(base, setting, f"study {study}: tuning of row {row.name}, trial {number}")
        name = f"{row.name}{TRIAL}{number}"
        return Draw(setting, replace(row, name=name, home=name, spec=spec))

    return draw


def _listed(draws: Sequence[Draw]) -> Drawn:
    return lambda number, _: draws[number]


def _trainings(rows: Sequence[PlannedRow]) -> list[PlannedRow]:
    """One row of each training, those that take another row's weights left out."""
    return list({row.home: row for row in reversed(rows) if not row.before}.values())[::-1]


def _named(row: PlannedRow, names: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    return (row.name, *(name for name in names[row.home] if name != row.name))


def _shortened(spec: RunSpec, share: float, validation: float) -> RunSpec:
    """A row's run at `share` of its length, rounded up to whole units, judged by its last epoch on a slice of train."""
    length = {f"budget.{unit}": value for unit, value in spec.budget if value is not None}
    shorter = {unit: value if share == 1 else max(1, math.ceil(value * share)) for unit, value in length.items()}
    return spec.changed({**shorter, "recipe.selection": "last", "data.validation": validation})
