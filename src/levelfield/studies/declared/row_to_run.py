"""From a row of a study to its run: the recipe's keys as changed by study, group, row, scale and `--set`."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from typing import Any

from levelfield.errors import UserError
from levelfield.spec import DataSpec, RunSpec, load_recipe
from levelfield.spec.overrides import set_path
from levelfield.spec.recipe_files import merge
from levelfield.spec.weights_taken import KNOWN_BY, ROW, TEACHER
from levelfield.studies.declared.study import Changes, Grid, Group, RowSpec, Scale, StudySpec, named


def run_of_row(
    study: StudySpec, grid: Grid, row: RowSpec, scale: Scale, tuned: Changes | None, extra: Changes
) -> RunSpec:
    """The run of `row`, which `grid` (the study itself or a group) has, at `scale`; its seed is 0.

    `tuned`: what a sweep found for it. `extra`: changes of the command line. Raises UserError for a bad key or value.
    """
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
            data = DataSpec.parse(named(layer["data"]), f"study {study.name}: row {name}: data")
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
    if row.teacher is not None:
        known = {key.rpartition(".")[2]: None for key in KNOWN_BY[TEACHER]}  # of another teacher, in the recipe's file
        config["recipe"]["distil"] = {**(config["recipe"].get("distil") or {}), "teacher": ROW + row.teacher, **known}
    return RunSpec.parse(config, f"study {study.name}: row {name}")


def _change(config: dict[str, Any], path: str, value: Any) -> None:
    """Set a key; a mapping is merged into what is there unless it names another kind; a budget replaces the old."""
    here: Any = config
    for key in path.split("."):
        here = here.get(key) if isinstance(here, Mapping) else None
    if isinstance(here, Mapping) and isinstance(value, Mapping) and path != "budget":
        value = merge({"here": here}, {"here": value})["here"]
    set_path(config, path, dict(value) if isinstance(value, Mapping) else value)
