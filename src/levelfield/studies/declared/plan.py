"""From a study to its runs: rows expanded, changes applied, and which run folder belongs to which planned run."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from levelfield.errors import UserError, unknown
from levelfield.spec import DataSpec, Plugin, RunSpec
from levelfield.spec.overrides import read_scalar, set_path
from levelfield.spec.recipe import load_recipe
from levelfield.spec.recipe_files import merge
from levelfield.studies.declared.study import NAME, Changes, Grid, Group, RowSpec, Scale, Study, repeats
from levelfield.studies.results.published import published_alias

ROW = "row:"
"""A source of weights that is another row's run of the same seed, until that run's folder is known."""


@dataclass(frozen=True)
class PlannedRow:
    """A row of a study at one scale. `spec` is its run at seed 0, as declared (not yet resolved).

    `home` is the row whose runs these are: itself, or the first row with the same science. `after` names the row whose
    weights it starts from, `first` is that row.
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


@dataclass(frozen=True)
class PlannedRun:
    """One training run of a study."""

    row: PlannedRow
    seed: int

    @property
    def spec(self) -> RunSpec:
        return self.row.spec.model_copy(update={"seed": self.seed})

    @property
    def name(self) -> str:
        return f"{self.row.name} seed {self.seed}"

    @property
    def key(self) -> str:
        """The same for runs that several rows share."""
        return f"{self.row.home} seed {self.seed}"


def planned_rows(
    study: Study,
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
    found for rows whose setting is unknown.
    Raises UserError for a repeated row, an unknown model, recipe, key or scale, a pattern without match.
    """
    chosen = study.scale(scale)
    extra = dict(_assignment(text) for text in overrides)
    rows = []
    for grid in (study, *study.groups):
        for row in _single_rows(study, grid, plugins):
            found = (tuned or {}).get(row.name or "") if row.setting_unknown else None
            rows.append(_planned(study, grid, row, chosen, found, extra))
    names = [row.name for row in rows]
    if repeated := repeats(names):
        raise UserError(f"study {study.name} names row {repeated[0]!r} twice; give one of them another name")
    named = [("baseline", study.baseline)] + [(f"row {row.name}, after", row.after) for row in rows]
    named += [(f"step {step.name}", row) for step in study.steps for row in (step.before, step.after)]
    for kind, name in named:
        if name is not None and name not in names:
            raise unknown(f"row in study {study.name} ({kind})", name, names)
    for pattern in chosen.rows:
        if not fnmatch.filter(names, pattern):
            raise unknown(f"row in study {study.name} (scale {scale})", pattern, names)
    by_name = {row.name: row for row in rows}
    depth = {row.name: _depth(row, by_name) for row in rows}
    homes: dict[str, str] = {}
    rows = [replace(row, home=homes.setdefault(_canonical(row), row.name)) for row in rows]
    if only:
        rows = _kept(study, rows, only)
    execution: dict[str, Any] = {} if data_dir is None else {"data_dir": data_dir}
    sources = tuple(Plugin(path=path, digest=digest) for path, digest in _digests(plugins))
    rows = [
        replace(
            row,
            spec=row.spec.model_copy(
                update={
                    "plugins": sources,
                    "execution": row.spec.execution.model_copy(update=execution),
                }
            ),
        )
        for row in rows
    ]
    by_name = {row.name: row for row in rows}
    for name in sorted(by_name, key=lambda name: depth[name]):
        if (after := by_name[name].after) is not None:
            by_name[name] = replace(by_name[name], first=by_name[after])
    return list(by_name.values())


def planned_runs(
    study: Study, scale: str = "full", seeds: Iterable[int] | None = None, **options: Any
) -> list[PlannedRun]:
    """Every run at a scale, the first seed of all rows first; a row that starts from another comes after it."""
    chosen = tuple(seeds) if seeds is not None else study.scale(scale).seeds or study.seeds
    rows = planned_rows(study, scale, **options)
    return runs_of(rows, {row.name: chosen for row in rows})


def runs_of(rows: Sequence[PlannedRow], seeds: Mapping[str, Sequence[int]]) -> list[PlannedRun]:
    """The runs of `rows` at each row's seeds, in the order in which they are to be carried out."""
    by_name = {row.name: row for row in rows}
    ordered = sorted(rows, key=lambda row: _depth(row, by_name))
    chosen = dict.fromkeys(seed for row in rows for seed in seeds[row.name])
    return [PlannedRun(row, seed) for seed in chosen for row in ordered if seed in seeds[row.name]]


def _canonical(row: PlannedRow) -> str:
    return json.dumps(row.spec.science(), sort_keys=True)


def _depth(row: PlannedRow, rows: Mapping[str, PlannedRow]) -> int:
    depth, seen = 0, {row.name}
    while row.after is not None:
        row, depth = rows[row.after], depth + 1
        if row.name in seen:
            raise UserError(f"row {row.name!r} starts after itself; mend the rows' `after`")
        seen.add(row.name)
    return depth


def _kept(study: Study, rows: list[PlannedRow], patterns: Sequence[str]) -> list[PlannedRow]:
    """The rows that match a pattern, and those whose weights they start from."""
    names = [row.name for row in rows]
    wanted: set[str] = set()
    for pattern in patterns:
        found = fnmatch.filter(names, pattern)
        if not found:
            raise unknown(f"row in study {study.name}", pattern, names)
        wanted.update(found)
    by_name = {row.name: row for row in rows}
    for name in list(wanted):
        while (before := by_name[name].after) is not None:
            wanted.add(before)
            name = before
    return [row for row in rows if row.name in wanted]


def _single_rows(study: Study, grid: Grid, plugins: Sequence[str]) -> list[RowSpec]:
    """The rows of one grid, each with name, recipe and data filled in."""
    recipes = grid.recipes or study.recipes or ("cpu-fast",)
    data = grid.data or study.data
    models = [model for pattern in grid.models for model in _models(pattern, tuple(plugins))]
    if repeated := repeats(models):
        raise UserError(
            f"study {study.name} names model {repeated[0]!r} twice; name it once, or give rows of their own"
        )
    rows = []
    for model in models:
        for recipe in recipes:
            for source in data or (None,):
                parts = [model]
                parts += [Path(recipe).stem] if len(recipes) > 1 else []
                parts += [source.name] if source is not None and len(data) > 1 else []
                name = "-".join(parts).replace(":", "-").replace("/", "-")
                rows.append(RowSpec(model=model, name=name, recipe=recipe, data=source))
    for row in grid.rows:
        name = row.name or row.model.replace(":", "-").replace("/", "-")
        if not NAME.fullmatch(name):
            raise UserError(f"study {study.name}: row {name!r} cannot be a folder's name; use letters, digits, - _ . +")
        check_model(row.model, plugins)
        filled = {"name": name, "recipe": row.recipe or recipes[0], "data": row.data or (data[0] if data else None)}
        rows.append(row.model_copy(update=filled))
    for row in rows:
        if row.data is None:
            raise UserError(f"study {study.name}: row {row.name!r} has no data; give data: at the study, group or row")
    return rows


def _planned(study: Study, grid: Grid, row: RowSpec, scale: Scale, tuned: Changes | None, extra: Changes) -> PlannedRow:
    name = str(row.name)
    group = grid.name if isinstance(grid, Group) else ""
    layers = [study.set, *([grid.set] if grid is not study else []), row.set]
    layers += [scale.set, scale.groups.get(group, {})]
    layers += [changes for pattern, changes in scale.rows.items() if fnmatch.fnmatchcase(name, pattern)]
    layers += [tuned or {}, extra]
    budget = row.budget or grid.budget or study.budget
    recipe, data = str(row.recipe), row.data
    assert data is not None
    for layer in layers:
        recipe = str(layer.get("recipe", recipe))
        if "data" in layer:
            data = _data(layer["data"], f"study {study.name}: row {name}: data")
    file = load_recipe(recipe)
    length = budget or file.budget
    config: dict[str, Any] = {
        "model": {"name": row.model},
        "data": data.model_dump(mode="json", exclude_unset=True),
        "recipe": file.recipe.model_dump(mode="json"),
        "budget": None if length is None else length.model_dump(mode="json", exclude_none=True),
    }
    for layer in layers:
        for path, value in layer.items():
            if path not in ("recipe", "data"):
                _change(config, path, value)
    if config["budget"] is None:
        raise UserError(f"study {study.name}: row {name!r} has no length; give budget: {{epochs: ...}}")
    if row.after is not None:
        config["model"]["start_from"] = {"source": ROW + row.after}
    spec = RunSpec.parse(config, f"study {study.name}: row {name}")
    key = row.published or name
    facts: dict[str, Any] = {
        "alias": row.alias or published_alias(study.name, key),
        "published": key,
        "after": row.after,
        "note": row.note,
    }
    return PlannedRow(name, name, spec, group, **facts, setting_unknown=row.setting_unknown, tuned=_in_words(tuned))


def _in_words(tuned: Changes | None) -> str:
    if not tuned:
        return ""
    return "found by a sweep at equal budgets: " + ", ".join(f"{k.rpartition('.')[2]} {v:g}" for k, v in tuned.items())


def _change(config: dict[str, Any], path: str, value: Any) -> None:
    """Set a key; a mapping is merged into what is there unless it names another kind; a budget replaces the old."""
    here: Any = config
    for key in path.split("."):
        here = here.get(key) if isinstance(here, Mapping) else None
    if isinstance(here, Mapping) and isinstance(value, Mapping) and path != "budget":
        value = merge({"here": here}, {"here": value})["here"]
    set_path(config, path, dict(value) if isinstance(value, Mapping) else value)


def _data(value: Any, where: str) -> DataSpec:
    return DataSpec.parse({"name": value} if isinstance(value, str) else value, where)


def _assignment(text: str) -> tuple[str, Any]:
    path, equals, value = text.partition("=")
    if not equals or not path.strip():
        raise UserError(f"--set {text!r} is not of the form key=value, e.g. --set recipe.optimizer.lr=1e-3")
    return path.strip(), read_scalar(value)


def check_model(name: str, plugins: Sequence[str] = ()) -> None:
    """Raise UserError for a model that neither the registry nor a plugin knows; `timm:` names are timm's business."""
    if not name.startswith("timm:") and name not in _registry(_digests(plugins)):
        raise unknown("model", name, _registry(_digests(plugins)), "levelfield models lists them; timm's are timm:NAME")


def _models(pattern: str, plugins: tuple[str, ...]) -> list[str]:
    if not any(sign in pattern for sign in "*?["):
        check_model(pattern, plugins)
        return [pattern]
    found = fnmatch.filter(_registry(_digests(plugins)), pattern)
    if not found:
        raise UserError(f"models pattern {pattern!r} matches no model; levelfield models lists all names")
    return found


def _digests(plugins: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Users' files, loaded, each with the digest of its source as it is now."""
    if not plugins:
        return ()
    from levelfield.models import load_plugin

    return tuple((path, load_plugin(path)) for path in plugins)


@cache
def _registry(plugins: tuple[tuple[str, str], ...]) -> list[str]:
    """All models' names, those of `plugins` (path, digest) among them."""
    from levelfield.models import list_models

    names: list[str] = list_models()
    return names
