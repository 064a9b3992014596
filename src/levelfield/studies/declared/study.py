"""A study as a value: models x recipes x data x seeds, the question it asks, and the scales at which it can be asked.

A study has rows. `models`, `recipes` and `data` multiply into rows; `rows` states single ones; `groups` holds further
sets of both under a heading. What a group leaves out it takes from the study. Every level may `set` keys of a run by
the dotted paths of the command line's `--set`; the later in study, group, row, scale, the stronger.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import BeforeValidator, NonNegativeInt, PositiveInt, PrivateAttr, field_validator, model_validator

from levelfield.errors import UserError, unknown
from levelfield.spec import VARIES, Budget, DataSpec, Value
from levelfield.spec.varied_keys import strange
from levelfield.studies.declared.scaling import Scaling
from levelfield.studies.declared.study_file import list_studies, read_study_file
from levelfield.studies.declared.tuning import Tuning

NAME: Final = re.compile(r"(?!(?i:con|prn|aux|nul|com\d|lpt\d)(\.|$))[A-Za-z0-9][A-Za-z0-9._+-]{0,99}(?<!\.)")
"""What a study or row may be called: its name is a folder's name, on Windows too, which keeps some for devices."""
OF_STUDIES: Final = re.compile(r"(?i)sweep|analysis|.*\.(json|html|csv|md|log|lock)")
"""What no row is called: a study's folder holds such beside its rows."""


def _several(value: Any) -> Any:
    """One item where a list may stand is a list of one."""
    return [value] if isinstance(value, (str, dict)) else value


def named(value: Any) -> Any:
    """A data set by name alone."""
    return {"name": value} if isinstance(value, str) else value


MOST_SEEDS: Final = 10_000
"""Of a row: more are a slip, and their list alone may be larger than memory."""


def _counted(value: Any) -> Any:
    """`seeds: 3` means 0, 1, 2. Raises ValueError for text, and for more than `MOST_SEEDS`."""
    if isinstance(value, str):
        raise ValueError("should be a number of seeds from 0 on, or a list")
    if isinstance(value, int) and value > MOST_SEEDS:
        raise ValueError(f"at most {MOST_SEEDS:,} seeds")
    return list(range(value)) if isinstance(value, int) and not isinstance(value, bool) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_several, json_schema_input_type=str | tuple[str, ...])]
Data = Annotated[DataSpec, BeforeValidator(named, json_schema_input_type=str | DataSpec)]
SeveralData = Annotated[
    tuple[Data, ...], BeforeValidator(_several, json_schema_input_type=str | DataSpec | tuple[str | DataSpec, ...])
]
Seeds = Annotated[
    tuple[NonNegativeInt, ...],
    BeforeValidator(_counted, json_schema_input_type=PositiveInt | tuple[NonNegativeInt, ...]),
]
Changes = dict[str, Any]
"""Dotted path of a run's key -> value, as `--set` takes them; `recipe` and `data` may be replaced by name."""


class RowSpec(Value):
    """One row: a model (or another row's settings) with its own name and changes.

    `after`: the row whose weights (of the same seed) this one starts from. `teacher`: the row whose run of the same
    seed teaches it, as `recipe.distil` says. `published`: the key of the published figure that stands beside it.
    `alias`: what its author calls the model. `setting_unknown`: its author does not state how it
    was tuned; learning rate and weight decay then come from an equal-budget sweep, where one was made.
    """

    model: str
    """A model's name."""
    name: str | None = None
    """What the row is called. None: its model's name."""
    recipe: str | None = None
    """Its recipe. None: the group's or study's."""
    data: Data | None = None
    """Its data. None: the group's or study's."""
    budget: Budget | None = None
    """Its length. None: the group's, study's or recipe's."""
    set: Changes = {}
    """Keys of its runs, as --set takes them."""
    after: str | None = None
    """The row whose weights of the same seed it starts from."""
    teacher: str | None = None
    """The row whose run of the same seed is its teacher; `recipe.distil` says how it is followed."""
    alias: str = ""
    """What its author calls the model."""
    published: str | None = None
    """Key of the published figure beside it."""
    note: str = ""
    """A note that every table shows."""
    setting_unknown: bool = False
    """Its author does not state how it was tuned; a sweep decides learning rate and weight decay."""


class Grid(Value):
    """models x recipes x data, and single rows beside them."""

    models: Names = ()
    """Models, or patterns of their names."""
    recipes: Names = ()
    """Recipes by name, `name+variant`, or .yaml files beside the study's."""
    data: SeveralData = ()
    """Data sets by name, or with their keys."""
    rows: tuple[RowSpec, ...] = ()
    """Single rows with their own changes."""
    budget: Budget | None = None
    """The length of its runs. None: the recipe's."""
    set: Changes = {}
    """Keys of all its runs, as --set takes them."""

    @field_validator("models", "recipes")
    @classmethod
    def _no_repeats(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if repeated := repeats(names):
            raise ValueError(f"{repeated[0]!r} is named twice; name it once, or give rows of their own names")
        return names


class Group(Grid):
    """Rows under a heading."""

    name: str
    """The heading."""


class Scale(Value):
    """A size at which the study can be run: changes to all rows, to the rows of a group, and to single rows."""

    description: str = ""
    """What this size of the study is for."""
    seeds: Seeds | None = None
    """Its seeds. None: the study's."""
    set: Changes = {}
    """Keys of all runs."""
    groups: dict[str, Changes] = {}
    """Keys of the runs of a group, by its name."""
    rows: dict[str, Changes] = {}
    """Keys of the runs of rows, by a pattern of their names."""


class Step(Value):
    """A change whose effect the study's question asks for: from row `before` to row `after`."""

    name: str
    """What the step changes."""
    before: str
    """The row before it."""
    after: str
    """The row after it."""


class StudySpec(Grid):
    """A comparison as its file declares it; `levelfield.Study` adds what can be done with it.

    `varies`: the keys of a run that differ between rows because the question is about them. The fairness audit calls
    every other difference unfair (`levelfield.spec.varied_keys`).
    """

    name: str
    """What the study, and its folder, is called."""
    title: str = ""
    """One line for lists."""
    question: str = ""
    """What it asks; tables and pages begin with it."""
    description: str = ""
    """Whatever a reader should know."""
    varies: Names = VARIES
    """Keys of a run that differ on purpose; the audit calls any other difference unfair."""
    baseline: str | None = None
    """The row that others are compared with. None: the first that has a result."""
    seeds: Seeds = (0, 1, 2)
    """A number of seeds from 0 on, or a list."""
    groups: tuple[Group, ...] = ()
    """Rows under headings."""
    scales: dict[str, Scale] = {}
    """Sizes at which the study can be run."""
    steps: tuple[Step, ...] = ()
    """Changes whose effects the question asks for."""
    factors: dict[str, dict[str, tuple[str, ...]]] = {}
    """Of a factorial design the rows in each position of each part, first those that have it."""
    scaling: Scaling | None = None
    """Which rows are one network at several sizes, lengths or shares of the data: accuracy over cost is then judged."""
    tuning: Tuning | None = None
    """The search that `study sweep` gives every row alike, and whose best setting each row then has. None: rows have
    the settings that they declare."""
    _source: str = PrivateAttr("")

    @model_validator(mode="after")
    def _consistent(self) -> StudySpec:
        if not NAME.fullmatch(self.name):
            raise ValueError(f"name {self.name!r} cannot be a folder's name; use letters, digits, '-', '_' and '.'")
        if not self.seeds:
            raise ValueError("seeds is empty; give a number of seeds or a list")
        for what, names in (("seed", self.seeds), ("group", [group.name for group in self.groups])):
            if repeated := repeats(names):
                raise ValueError(f"{what} {repeated[0]!r} is named twice; name it once")
        if not any(grid.models or grid.rows for grid in (self, *self.groups)):
            raise ValueError("the study has no rows; give models or rows")
        for key in self.varies:
            if (why := strange(key)) is not None:
                raise ValueError(f"varies: {why}")
        for scale_name, scale in self.scales.items():
            if strangers := set(scale.groups) - {group.name for group in self.groups}:
                raise ValueError(f"scale {scale_name} changes group {min(strangers)!r}, which the study does not have")
        return self

    @field_validator("factors")
    @classmethod
    def _full_factorial(cls, factors: dict[str, dict[str, tuple[str, ...]]]) -> dict[str, dict[str, tuple[str, ...]]]:
        """A row in each combination of the parts' two positions: effects are computed from all of them."""
        standing: dict[str, list[str]] = {}
        for part, positions in factors.items():
            if len(positions) != 2:
                raise ValueError(f"{part} has {len(positions)} positions; effects are of parts that have two")
            for position, rows in positions.items():
                for row in rows:
                    standing.setdefault(row, []).append(f"{part} {position}")
        cells = [tuple(cell) for cell in standing.values()]
        if wrong := [row for row, cell in standing.items() if len(cell) != len(factors)]:
            raise ValueError(f"row {wrong[0]!r} must stand in one position of each part")
        if factors and (len(set(cells)) != len(cells) or len(cells) != 2 ** len(factors)):
            raise ValueError(f"{len(factors)} parts have {2 ** len(factors)} combinations; give each one row")
        return factors

    @classmethod
    def load(cls, name: str | Path) -> Self:
        """The shipped study `name`, or the study in a file that ends in .yaml. Raises UserError."""
        values, where = read_study_file(name)
        study = cls.parse(values, where)
        study._source = str(name)
        return study

    @property
    def curves(self) -> dict[str, tuple[str, ...]]:
        """By network the rows that are it at several sizes, lengths or shares of the data; empty for other studies."""
        return {} if self.scaling is None else self.scaling.curves

    @property
    def source(self) -> str:
        """What `load` took: the file, as it was given, or the name of a shipped study."""
        return self._source or self.name

    def scale(self, name: str) -> Scale:
        """The scale `name`; `full` is the study as it stands. Raises UserError where there is none, with the shipped
        study that asks the same at that size, if there is one."""
        if name in self.scales:
            return self.scales[name]
        if name == "full":
            return Scale()
        if (other := f"{self.name}-{name}") in list_studies():
            raise UserError(
                f"study {self.name} has no scale {name!r}: at that size it is a study of its own\nname {other}"
            )
        raise unknown(f"scale of study {self.name}", name, {"full", *self.scales})


def repeats(names: Iterable[Any]) -> list[Any]:
    """What `names` holds more than once, in order of its second appearance."""
    seen: set[Any] = set()
    return [name for name in names if name in seen or seen.add(name)]  # type: ignore[func-returns-value]
