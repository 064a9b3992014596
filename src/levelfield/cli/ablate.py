"""`levelfield ablate`: which part does it?"""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from levelfield.cli.completion import data_sets, models, recipes
from levelfield.cli.options import DataDir, Json, OnlyWrite, Plugins, Yes
from levelfield.cli.output import messages
from levelfield.cli.study.options import Parallel
from levelfield.cli.study.written import check_file, run_written, write_study
from levelfield.errors import UserError

if TYPE_CHECKING:
    from levelfield.spec import Recipe
    from levelfield.studies.declared.ablation import Ablation, Part


class Design(StrEnum):
    """Which rows an ablation has."""

    LEAVE_ONE_OUT = "leave-one-out"
    ADD_ONE_IN = "add-one-in"
    FACTORIAL = "factorial"


class Matched(StrEnum):
    """What a network without a part is brought back to."""

    PARAMS = "params"
    MACS = "macs"
    NONE = "none"


class MatchedBy(StrEnum):
    """What of it is made larger for that."""

    WIDTH = "width"
    DEPTH = "depth"


RecipeName = Annotated[
    str, typer.Option("--recipe", "-r", help="A recipe's name, or a .yaml file.", autocompletion=recipes)
]
Match = Annotated[
    Matched | None,
    typer.Option(
        help="Beside a network without a part, the same one made as large as the full one. [default: params; of a "
        "factorial none, whose effects use no such rows]",
        show_default=False,
    ),
]
MatchBy = Annotated[MatchedBy, typer.Option(help="Whether it is made wider or deeper for that.")]
Switched = Annotated[
    str, typer.Argument(help="A model that declares switches: outgrid_nano, roadmap_5 ...", autocompletion=models)
]


def ablate(
    model: Switched,
    data: Annotated[str, typer.Option("--data", "-d", help="A data set's name.", autocompletion=data_sets)] = "digits",
    recipe: RecipeName = "cpu-fast",
    part: Annotated[
        list[str] | None, typer.Option(help="Only this switch of the model; may be repeated. [default: all]")
    ] = None,
    recipe_parts: Annotated[
        bool,
        typer.Option("--recipe-parts", help="The parts of the recipe instead: augmentation, mixing, averaging ..."),
    ] = False,
    switch: Annotated[
        list[str] | None,
        typer.Option(help="Any key of a run beside them, its own value first: data.image_size=64,32. May be repeated."),
    ] = None,
    design: Annotated[Design, typer.Option(help="Which rows the study has.")] = Design.LEAVE_ONE_OUT,
    match: Match = None,
    match_by: MatchBy = MatchedBy.WIDTH,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds a row.")] = 3,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Change a key of every row: budget.epochs=2. May be repeated.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", help="The study file to write. [default: ablate-MODEL.yaml, ablate-MODEL-recipe.yaml]"),
    ] = None,
    only_write: OnlyWrite = False,
    out: Annotated[Path | None, typer.Option(help="The study's folder. [default: runs/, with the file's name]")] = None,
    parallel: Parallel = None,
    data_dir: DataDir = None,
    plugin: Plugins = None,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Write the study that takes a model (or a recipe) apart, run it, and say what each part brings.

    A network without a part is smaller; beside it stands the same network made as large.
    Example: `levelfield ablate outgrid_nano --data digits --set budget.epochs=5`
    """
    from levelfield.spec.overrides import read_assignment
    from levelfield.studies.declared.ablation import Ablation
    from levelfield.studies.declared.expand_rows import check_model
    from levelfield.studies.running.own_positions import full_run

    check_model(model, plugin or [])
    changes = dict(read_assignment(text) for text in set_ or [])
    ablation = Ablation(model, data, recipe, (), design.value, seeds, changes)
    if recipe_parts and part:
        raise UserError("--part names a model's switches, --recipe-parts all parts of the recipe; give one of them")
    used = full_run(ablation, plugin or [], data_dir).recipe if recipe_parts else None
    ablation = replace(ablation, parts=tuple(_parts(model, used, part or [], switch or [])))
    path = file or Path(f"ablate-{ablation.base}{'-recipe' if recipe_parts else ''}.yaml")
    _write(ablation, path, _matched(match, design), match_by, plugin or [], data_dir)
    run_written(path, only_write, out=out, data_dir=data_dir, plugin=plugin, parallel=parallel, yes=yes, json=json)


def _matched(match: Matched | None, design: Design) -> Matched:
    """What controls are brought back to. Raises UserError where a factorial is asked to have any."""
    if design is not Design.FACTORIAL:
        return match or Matched.PARAMS
    if match not in (None, Matched.NONE):
        raise UserError(f"--match {match}: a factorial's effects use no controls of equal size; leave it out")
    return Matched.NONE


def _write(
    ablation: Ablation, path: Path, match: Matched, by: MatchedBy, plugins: list[str], data_dir: str | None
) -> None:
    """Write the study file, with the controls that are asked for, and say so."""
    from levelfield.studies.declared.study import StudySpec
    from levelfield.studies.running.matched_controls import matched_controls
    from levelfield.studies.running.own_positions import check_own

    check_file(path)
    check_own(ablation, plugins, data_dir)
    draft = StudySpec.parse({"name": path.stem} | ablation.study(), f"ablation of {ablation.model}")
    say = partial(messages.print, soft_wrap=True, highlight=False, markup=False)
    controls = matched_controls(draft, ablation.variants(), match.value, by.value, plugins, data_dir, say)
    write_study(path, ablation.study(controls))


def _parts(model: str, recipe: Recipe | None, only: list[str], switches: list[str]) -> list[Part]:
    """The parts of `recipe`, where it is given, else of the model; and the keys of `switches`."""
    from levelfield.known_models import known_model
    from levelfield.models import model_info
    from levelfield.studies.declared.ablation import part_of_key, parts_of_model, parts_of_recipe

    parts: list[Part] = []
    if recipe is not None:
        parts = parts_of_recipe(recipe)
    elif only or not switches:
        parts = parts_of_model(known_model(model) or model_info(model), only)
    for text in switches:
        key, equals, positions = text.partition("=")
        if not equals:
            raise UserError(f"--switch {text!r} is not of the form KEY=OWN,OTHER, as in data.image_size=64,32")
        parts.append(part_of_key(key.strip(), _listed(positions), [part.name for part in parts]))
    if not parts:
        raise UserError("the recipe uses nothing that could be left out; name keys with --switch KEY=OWN,OTHER")
    return parts


def _listed(text: str) -> list[Any]:
    """`a,b` as a list of YAML values, which may be lists themselves."""
    from levelfield.spec.overrides import read_assignment

    values = read_assignment(f"list=[{text}]")[1]
    return values if isinstance(values, list) else [values]
