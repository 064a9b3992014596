"""`levelfield scale`: does it hold at another size, length or amount of data?"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

import typer

from levelfield.cli.completion import models, recipes
from levelfield.cli.options import DataDir, Json, OnlyWrite, Plugins, Yes, finite
from levelfield.cli.output import messages
from levelfield.cli.study.options import Parallel
from levelfield.cli.study.written import check_file, run_written, write_study
from levelfield.errors import UserError

RecipeName = Annotated[
    str, typer.Option("--recipe", "-r", help="A recipe's name, or a .yaml file.", autocompletion=recipes)
]
Compared = Annotated[
    list[str], typer.Argument(help="Models to compare: resnet_nano vit_mini ...", autocompletion=models)
]
DATA_SET = "digits"
"""What is trained on where nothing is said."""


def scale(
    rows: Compared,
    widths: Annotated[str | None, typer.Option(help="Factors of the networks' width: 0.5,1,2.")] = None,
    depths: Annotated[str | None, typer.Option(help="Factors of their depth: 0.5,1,2.")] = None,
    epochs: Annotated[str | None, typer.Option(help="Lengths of training: 5,15,45. [default: the recipe's]")] = None,
    data: Annotated[
        str,
        typer.Option("--data", "-d", help="A data set's name, shares of its training images, or both: "
                     "cifar10, 0.1,0.3,1 or cifar10:0.1,0.3,1."),
    ] = DATA_SET,
    recipe: RecipeName = "cpu-fast",
    seeds: Annotated[int, typer.Option(min=1, help="Seeds a row; at least two, or nothing can be judged.")] = 3,
    extrapolate: Annotated[
        float | None,
        typer.Option(callback=finite, help="Also say what the laws give at so many times the largest cost: a guess."),
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Change a key of every row: data.image_size=16. May be repeated.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", help="The study file to write. [default: scale-MODEL-MODEL.yaml]")
    ] = None,
    only_write: OnlyWrite = False,
    out: Annotated[Path | None, typer.Option(help="The study's folder. [default: runs/NAME of the file]")] = None,
    parallel: Parallel = None,
    data_dir: DataDir = None,
    plugin: Plugins = None,
    yes: Yes = False,
    json: Json = False,
) -> None:  # fmt: skip
    """Write the study of models at several sizes, lengths and shares of the data, run it, judge at equal cost.

    All combinations are trained. Example: `levelfield scale resnet_nano vit_mini --widths 0.5,1,2 --epochs 5,15,45`
    """
    from levelfield.spec.overrides import read_assignment
    from levelfield.studies.declared.expand_rows import check_model
    from levelfield.studies.declared.scale_study import ScaleStudy, check_factors

    for model in rows:
        check_model(model, plugin or [])
    if extrapolate is not None and extrapolate <= 1:
        raise UserError(f"--extrapolate {extrapolate:g} must be more than 1: so many times the largest cost trained")
    name, shares = _named_and_shares(data)
    factors: dict[str, Any] = {
        "widths": _numbers("--widths", widths), "depths": _numbers("--depths", depths),
        "epochs": _numbers("--epochs", epochs), "shares": shares,
    }  # fmt: skip
    changes = dict(read_assignment(text) for text in set_ or [])
    study = ScaleStudy(
        tuple(rows), name, recipe, **factors, seeds=seeds, changes=changes, extrapolate=extrapolate, images=1
    )
    path = file or Path(f"scale-{'-'.join(rows).replace(':', '-').replace('/', '-')}.yaml")
    check_file(path)
    values = study.study()
    check_factors(rows, study)
    if min(shares, default=1.0) < 1:
        values = _with_images(study, values, path, plugin or [], data_dir).study()
    write_study(path, values)
    _say_of_one(seeds)
    run_written(path, only_write, out=out, data_dir=data_dir, plugin=plugin, parallel=parallel, yes=yes, json=json)


def _say_of_one(seeds: int) -> None:
    """Say before anything is trained that a single seed judges nothing."""
    if seeds == 1:
        messages.print("one seed a row shows no spread, so that no curve can be judged: --seeds 2, better 3 to 5")


def _with_images(study: Any, values: dict[str, Any], path: Path, plugins: list[str], data_dir: str | None) -> Any:
    """`study` with the number of training images that its shares are of, counted in the data itself."""
    from dataclasses import replace

    from levelfield.studies.declared.planned_runs import planned_rows
    from levelfield.studies.declared.study import StudySpec
    from levelfield.training.prepare_run import training_images

    draft = StudySpec.parse({"name": path.stem, **values}, str(path))
    spec = planned_rows(draft, "full", plugins=plugins, data_dir=data_dir)[0].spec
    return replace(study, images=training_images(spec.changed({"data.train_limit": None})))


def _named_and_shares(text: str) -> tuple[str, tuple[float, ...]]:
    """`cifar10`, `0.1,0.3,1` or `cifar10:0.1,0.3,1` as a name and shares; `folder:PATH` is a name."""
    name, colon, last = text.rpartition(":")
    if not _are_numbers(last):
        return text, ()
    if last.count(",") == 0 and not colon:
        raise UserError(f"--data {text} is one share of the data: give several, as in 0.1,0.3,1, or a data set's name")
    return name or DATA_SET, _numbers("--data", last)


def _are_numbers(text: str) -> bool:
    try:
        return bool([float(part) for part in text.split(",")])
    except ValueError:
        return False


def _numbers(option: str, text: str | None) -> tuple[float, ...]:
    if text is None:
        return ()
    if not _are_numbers(text) or not all(math.isfinite(float(part)) for part in text.split(",")):
        raise UserError(f"{option} {text!r} is no list of numbers; give e.g. 0.5,1,2")
    return tuple(float(part) for part in text.split(","))
