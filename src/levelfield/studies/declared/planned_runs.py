"""The plan of a study at one scale: its rows, each with the run that it describes, and its runs in their order."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from levelfield.errors import UserError, unknown
from levelfield.spec import RunSpec
from levelfield.spec.overrides import read_assignment
from levelfield.spec.weights_taken import START, TEACHER
from levelfield.studies.declared.expand_rows import loaded, single_rows
from levelfield.studies.declared.published_figures import published_alias
from levelfield.studies.declared.row_to_run import run_of_row
from levelfield.studies.declared.study import Changes, Grid, Group, RowSpec, StudySpec, repeats
from levelfield.units import plain


@dataclass(frozen=True)
class PlannedRow:
    """A row of a study at one scale. `spec` is its run at seed 0, as declared (not yet resolved).

    `home` is the row whose runs these are: itself, or the first row with the same science. `after` names the row whose
    weights it starts from, `first` is that row; likewise `teacher` and `taught_by`.
    """

    name: str
    home: str
    spec: RunSpec
    group: str = ""
    alias: str = ""
    published: str = ""
    after: str | None = None
    note: str = ""
    setting_unknown: bool = False
    tuned: str = ""
    first: PlannedRow | None = None
    teacher: str | None = None
    taught_by: PlannedRow | None = None

    @property
    def before(self) -> dict[str, PlannedRow]:
        """The rows whose runs of the same seed come first, by the key of the place that each of them fills in."""
        rows = {START: self.first, TEACHER: self.taught_by}
        return {key: row for key, row in rows.items() if row is not None}


@dataclass(frozen=True)
class PlannedRun:
    """One training run of a study."""

    row: PlannedRow
    seed: int

    @property
    def spec(self) -> RunSpec:
        return self.row.spec.changed({"seed": self.seed})

    @property
    def alone(self) -> RunSpec:
        """Its run without what other rows' runs will give it, or what it would prune of that, so that its steps can be
        timed before those are there."""
        pruned = ("recipe.prune", "recipe.prune_channels") if START in self.row.before else ()
        return self.spec.changed(dict.fromkeys((*(key.rpartition(".")[0] for key in self.row.before), *pruned)))

    @property
    def name(self) -> str:
        return f"{self.row.name} seed {self.seed}"

    @property
    def key(self) -> str:
        """The same for runs that several rows share."""
        return f"{self.row.home} seed {self.seed}"


def not_one_text(**lists: object) -> None:
    """Raise UserError where a list of texts was given as one text, whose letters would be taken for its items."""
    for name, value in lists.items():
        if isinstance(value, str):
            raise UserError(f"{name} must be a list of texts, not one text\ngive {name}=[{value!r}]")


def planned_rows(
    study: StudySpec,
    scale: str = "full",
    *,
    overrides: Sequence[str] = (),
    only: Sequence[str] = (),
    plugins: Sequence[str] = (),
    data_dir: str | None = None,
    tuned: Mapping[str, Changes] | None = None,
) -> list[PlannedRow]:
    """The rows of `study` at `scale`, in the file's order.

    `overrides` are `--set` assignments for every row, `only` keeps the rows that match one of these patterns (each with
    the home that it has among all rows), `plugins` are Python files that register models, `tuned` holds what a sweep
    found for rows whose setting is unknown, or for all where the study declares a search (`tuning`).
    Raises UserError for a repeated row, an unknown model, recipe, key or scale, a pattern without match.
    """
    not_one_text(overrides=overrides, only=only, plugins=plugins)
    chosen = study.scale(scale)
    extra = dict(read_assignment(text) for text in overrides)
    rows = []
    for grid in (study, *study.groups):
        for row in single_rows(study, grid, plugins):
            searched = row.setting_unknown or (study.tuning is not None and row.after is row.teacher is None)
            found = (tuned or {}).get(row.name or "") if searched else None
            rows.append(_planned(study, grid, row, run_of_row(study, grid, row, chosen, found, extra), found))
    _check_names(study, scale, rows)
    by_name = {row.name: row for row in rows}
    depth = {row.name: _depth(row, by_name) for row in rows}
    homes: dict[str, str] = {}
    rows = [
        replace(row, home=homes.setdefault(json.dumps(row.spec.science(), sort_keys=True), row.name)) for row in rows
    ]
    if only:
        rows = _kept(study, rows, only)
    places = {"plugins": loaded(plugins)} | ({} if data_dir is None else {"execution.data_dir": data_dir})
    by_name = {row.name: replace(row, spec=row.spec.changed(places)) for row in rows}
    for name in sorted(by_name, key=lambda name: depth[name]):
        here = by_name[name]
        first, taught_by = (None if before is None else by_name[before] for before in (here.after, here.teacher))
        by_name[name] = replace(here, first=first, taught_by=taught_by)
    return list(by_name.values())


def runs_of(rows: Sequence[PlannedRow], seeds: Mapping[str, Sequence[int]]) -> list[PlannedRun]:
    """The runs of `rows` at each row's seeds, in the order in which they are to be carried out."""
    by_name = {row.name: row for row in rows}
    ordered = sorted(rows, key=lambda row: _depth(row, by_name))
    chosen = dict.fromkeys(seed for row in rows for seed in seeds[row.name])
    return [PlannedRun(row, seed) for seed in chosen for row in ordered if seed in seeds[row.name]]


def _planned(study: StudySpec, grid: Grid, row: RowSpec, spec: RunSpec, tuned: Changes | None) -> PlannedRow:
    name = str(row.name)
    key = row.published or name
    return PlannedRow(
        name,
        home=name,
        spec=spec,
        group=grid.name if isinstance(grid, Group) else "",
        alias=row.alias or published_alias(study.name, key),
        published=key,
        after=row.after,
        teacher=row.teacher,
        note=row.note,
        setting_unknown=row.setting_unknown,
        tuned=_in_words(tuned),
    )


def _check_names(study: StudySpec, scale: str, rows: Sequence[PlannedRow]) -> None:
    """Raise UserError where two rows have one name, or the study speaks of a row that there is not."""
    names = [row.name for row in rows]
    if repeated := repeats(names):
        raise UserError(f"study {study.name} names row {repeated[0]!r} twice; give one of them another name")
    if alike := repeats(name.casefold() for name in names):
        first, second = [name for name in names if name.casefold() == alike[0]][:2]
        raise UserError(f"study {study.name}: rows {first!r} and {second!r} are one folder on some systems; rename one")
    named = [("baseline", study.baseline)] + [(f"row {row.name}, after", row.after) for row in rows]
    named += [(f"row {row.name}, teacher", row.teacher) for row in rows]
    named += [(f"step {step.name}", row) for step in study.steps for row in (step.before, step.after)]
    named += [
        (f"factor {part}", row)
        for part, positions in study.factors.items()
        for rows_of in positions.values()
        for row in rows_of
    ]
    named += [(f"scaling {of}", row) for of, rows_of in study.curves.items() for row in rows_of]
    for kind, name in named:
        if name is not None and name not in names:
            raise unknown(f"row in study {study.name} ({kind})", name, names)
    for pattern in study.scale(scale).rows:
        if not fnmatch.filter(names, pattern):
            raise unknown(f"row in study {study.name} (scale {scale})", pattern, names)


def _depth(row: PlannedRow, rows: Mapping[str, PlannedRow], behind: tuple[str, ...] = ()) -> int:
    """How many rows' runs come before a row's own, one after another."""
    if row.name in behind:
        raise UserError(f"row {row.name!r} starts after itself; mend the rows' `after` and `teacher`")
    names = [name for name in (row.after, row.teacher) if name is not None]
    return max((1 + _depth(rows[name], rows, (*behind, row.name)) for name in names), default=0)


def _kept(study: StudySpec, rows: list[PlannedRow], patterns: Sequence[str]) -> list[PlannedRow]:
    """The rows that match a pattern, and those whose weights they start from or that teach them."""
    names = [row.name for row in rows]
    wanted: set[str] = set()
    for pattern in patterns:
        if not (found := fnmatch.filter(names, pattern)):
            raise unknown(f"row in study {study.name}", pattern, names)
        wanted.update(found)
    before = {row.name: {name for name in (row.after, row.teacher) if name is not None} for row in rows}
    while more := {name for each in wanted for name in before[each]} - wanted:
        wanted |= more
    return [row for row in rows if row.name in wanted]


def _in_words(tuned: Changes | None) -> str:
    if not tuned:
        return ""
    return "found by a sweep at equal budgets: " + ", ".join(
        f"{k.rpartition('.')[2]} {plain(v, 4) if isinstance(v, float) else v}" for k, v in tuned.items()
    )
