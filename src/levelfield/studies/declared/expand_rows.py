"""From the grids of a study to its rows: models x recipes x data multiplied, names given, models known."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from itertools import product
from pathlib import Path

from levelfield.errors import UserError
from levelfield.known_models import check_name, is_known, known_names
from levelfield.runs import folder_name
from levelfield.spec import Plugin
from levelfield.studies.declared.study import NAME, OF_STUDIES, Grid, RowSpec, StudySpec, repeats


def single_rows(study: StudySpec, grid: Grid, plugins: Sequence[str]) -> list[RowSpec]:
    """The rows of one grid, each with name, recipe and data filled in."""
    recipes = grid.recipes or study.recipes or ("cpu-fast",)
    data = grid.data or study.data
    models = [model for pattern in grid.models for model in _models(pattern, plugins)]
    if repeated := repeats(models):
        raise UserError(
            f"study {study.name} names model {repeated[0]!r} twice; name it once, or give rows of their own"
        )
    rows = []
    for model, recipe, source in product(models, recipes, data or (None,)):
        parts = [model]
        parts += [Path(recipe).stem] if len(recipes) > 1 else []
        parts += [source.name] if source is not None and len(data) > 1 else []
        name = folder_name("-".join(parts))
        rows.append(RowSpec(model=model, name=name, recipe=recipe, data=source))
    for row in grid.rows:
        name = row.name or folder_name(row.model)
        if not NAME.fullmatch(name) or OF_STUDIES.fullmatch(name):
            raise UserError(
                f"study {study.name}: row {name!r} cannot be a folder's name beside what a study's folder holds\n"
                "use letters, digits, - _ . +, at most 100"
            )
        check_model(row.model, plugins)
        filled = {"name": name, "recipe": row.recipe or recipes[0], "data": row.data or (data[0] if data else None)}
        rows.append(row.changed(filled))
    for row in rows:
        if row.data is None:
            raise UserError(f"study {study.name}: row {row.name!r} has no data; give data: at the study, group or row")
    return rows


def check_model(name: str, plugins: Sequence[str] = ()) -> None:
    """Raise UserError for a name that stands for no model; `plugins` are loaded where it is not known without them."""
    if not is_known(name):
        loaded(plugins)
        check_name(name, plugins)


def loaded(plugins: Sequence[str]) -> tuple[Plugin, ...]:
    """Users' files, loaded, each with the digest of its source as it is now."""
    if not plugins:
        return ()
    from levelfield.models import load_plugin

    return tuple(Plugin(path=path, digest=load_plugin(path)) for path in plugins)


def _models(pattern: str, plugins: Sequence[str]) -> list[str]:
    if not any(sign in pattern for sign in "*?["):
        check_model(pattern, plugins)
        return [pattern]
    loaded(plugins)
    found = fnmatch.filter(known_names(), pattern)
    if not found:
        raise UserError(f"models pattern {pattern!r} matches no model; levelfield models lists all names")
    return found
