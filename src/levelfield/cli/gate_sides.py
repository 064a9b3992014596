"""What the two names that `levelfield gate` is given stand for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from levelfield.cli.check_names import check_run
from levelfield.cli.train import assemble
from levelfield.errors import UserError, nearest

if TYPE_CHECKING:
    from levelfield.spec import RunSpec
    from levelfield.studies.results.gate_sides import Side

Kind = Literal["folder", "row", "recipe", "model"]
KINDS: Final[dict[Kind, str]] = {
    "folder": "a folder of finished runs", "row": "a row of a study", "recipe": "a recipe", "model": "a model",
}  # fmt: skip


@dataclass(frozen=True)
class Said:
    """What the options of a gate say of a side that is to be trained."""

    model: str | None
    data: str | None
    recipe: str | None
    scale: str
    set: Sequence[str]
    plugins: Sequence[str]
    data_dir: str | None


def sides_of(base: str, candidate: str, said: Said, change: Sequence[str]) -> tuple[Side, Side]:
    """The two sides, told apart by their names. `change`: of the candidate alone.

    Raises UserError for names that stand for nothing, or for things of different kinds, whose recipes nobody chose to
    be equal.
    """
    kinds = kind_of(base, said), kind_of(candidate, said)
    if kinds[0] != kinds[1]:
        one, two = (f"{name} is {KINDS[kind]}" for name, kind in zip((base, candidate), kinds, strict=True))
        raise UserError(
            f"{one}, and {two}: they would not be trained by one recipe\n"
            "give two of a kind: two folders, two rows STUDY:ROW, two models, or two recipes with --model"
        )
    if change and kinds[1] == "folder":
        raise UserError(f"--change cannot change {candidate}, whose runs are finished\nname a model, recipe or row")
    changed = replace(said, set=[*said.set, *change])
    declared = _declared(base, kinds[0], said), _declared(candidate, kinds[1], changed)
    sides = _side(base, declared[0]), _side(candidate, declared[1])
    if change:
        return sides[0], replace(sides[1], name=f"{candidate} with {', '.join(change)}")
    if sides[0].name == sides[1].name:
        return replace(sides[0], name=base), replace(sides[1], name=candidate)
    return sides


def kind_of(name: str, said: Said) -> Kind:
    """What `name` stands for. Raises UserError for what nothing can be gated by, with what would do instead."""
    from levelfield.spec.recipe_files import list_recipes
    from levelfield.studies.declared.study_file import is_study_row, list_studies

    if Path(name).is_dir():
        return "folder"
    if is_study_row(name):
        return "row"
    is_yaml = name.endswith((".yaml", ".yml"))
    if name in list_studies() or (is_yaml and _is_study(name)):
        raise UserError(f"{name} is a study: name one of its rows, {name}:ROW\n`levelfield study plan {name}` has them")
    is_recipe = name.partition("+")[0] in list_recipes() or (is_yaml and Path(name).is_file())
    if said.model is not None and (is_recipe or not _is_place(name)):
        return "recipe"
    if is_recipe:
        raise UserError(f"{name} is a recipe: say with --model which network it is to train")
    if Path(name).is_file():
        raise UserError(f"{name} is a file, and no recipe or study\ngive the folder of a run or of a row")
    if _is_model(name, said):
        if said.data is None:
            raise UserError(f"--data missing: {name} is a model; say what data to train it on, e.g. --data cifar10")
        return "model"
    raise UserError(
        f"{name} is no folder, file, model, recipe or row of a study\n"
        "give a folder of finished runs, STUDY:ROW, a model of `levelfield models`, or a recipe with --model"
    )


def _is_place(name: str) -> bool:
    return "/" in name or name.endswith((".yaml", ".yml")) or Path(name).exists()


def _is_study(name: str) -> bool:
    """Whether a .yaml file declares rows, as recipes do not. Raises UserError for one that cannot be read."""
    from levelfield.spec.yaml_files import read_yaml

    return Path(name).is_file() and not {"models", "rows", "groups"}.isdisjoint(read_yaml(Path(name)))


def _is_model(name: str, said: Said) -> bool:
    """Whether `name` is a model's; one of timm's, and one that is so near to a known name that it is a slip, count."""
    from levelfield.known_models import is_known, known_names
    from levelfield.studies.declared.expand_rows import loaded

    if is_known(name) or name.startswith("timm:"):
        return True
    loaded(said.plugins)
    return "/" not in name and bool(nearest(name, known_names()))


def _declared(name: str, kind: Kind, said: Said) -> RunSpec | None:
    """The run that a side names, none of its names misspelt; None for a folder of finished runs."""
    if kind == "folder":
        return None
    if kind == "row":
        from levelfield.studies.results.gate_sides import study_row

        declared = study_row(name, said.scale, said.set, said.plugins, said.data_dir)
    else:
        where = [] if said.data_dir is None else [f"execution.data_dir={said.data_dir}"]
        model, recipe = (name, said.recipe) if kind == "model" else (said.model, name)
        declared = assemble(None, model, said.data, recipe, None, [*said.set, *where], list(said.plugins))
    check_run(declared)
    return declared


def _side(name: str, declared: RunSpec | None) -> Side:
    from levelfield.studies.results.gate_sides import side_of_folder, side_of_spec

    if declared is None:
        return side_of_folder(Path(name))
    from levelfield.training.prepare_run import resolve

    return side_of_spec(name, resolve(declared))
