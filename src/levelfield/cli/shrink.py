"""`levelfield shrink`: a finished run made smaller, and what that costs."""

from __future__ import annotations

import shutil
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from levelfield.cli.options import DataDir, OnlyWrite, Yes, finite
from levelfield.cli.output import messages
from levelfield.cli.shrink_exports import export_int8, export_rows, files_of, said_where_runs_fail
from levelfield.cli.study.options import Parallel
from levelfield.cli.study.written import check_file, run_written, write_keys, write_study
from levelfield.cli.what_was_meant import run_meant
from levelfield.errors import UserError
from levelfield.system.files import rename

if TYPE_CHECKING:
    from levelfield.runs import RunFolder
    from levelfield.spec import RunSpec
    from levelfield.studies.declared.shrink_study import Shrinking


def shrink(
    run: Annotated[Path, typer.Argument(help="A run folder that `levelfield train` or a study wrote.")],
    int8: Annotated[
        bool, typer.Option("--int8", help="Its ONNX file in int8, tested over the whole test set.")
    ] = False,
    prune: Annotated[
        float | None, typer.Option(callback=finite, help="A row in which this share of the weights is zero: 0.5.")
    ] = None,
    prune_channels: Annotated[
        float | None, typer.Option(callback=finite, help="A row with fewer channels, this share of the MACs gone: 0.5.")
    ] = None,
    quantize_aware: Annotated[
        bool, typer.Option("--quantize-aware", help="A row that is trained on with int8's rounding in it.")
    ] = False,
    distil: Annotated[
        Path | None, typer.Option(help="A row that is taught by this finished run.", show_default=False)
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds a row.")] = 3,
    file: Annotated[
        Path | None, typer.Option("--file", help="The study file to write. [default: shrink-MODEL.yaml]")
    ] = None,
    only_write: OnlyWrite = False,
    out: Annotated[Path | None, typer.Option(help="The study's folder. [default: runs/shrink-MODEL]")] = None,
    parallel: Parallel = None,
    data_dir: DataDir = None,
    yes: Yes = False,
) -> None:
    """Shrink a finished run: write and run the study of what is asked for, and export the run in int8.

    Example: `levelfield shrink runs/small --prune 0.5 --distil runs/big`
    """
    rows = quantize_aware or (prune, prune_channels, distil) != (None, None, None)
    _check(int8 or rows, prune, prune_channels, only_write)
    run = run_meant(run)

    from levelfield.runs import RunFolder
    from levelfield.studies.declared.shrink_study import Shrinking

    folder = RunFolder(run)
    spec = _checked(folder, distil)
    path = file or _file_of(spec.model.name)
    if int8:
        export_int8(run, files_of(path.stem, folder), only_write, data_dir)
    if not rows:
        return

    check_file(path)
    recipe, teacher = path.with_suffix(".recipe.yaml"), None if distil is None else str(distil)
    plan = Shrinking(spec, recipe.name, prune, prune_channels, teacher, quantize_aware, seeds)
    _write(plan, path, recipe)
    _take_over(folder, path, out, only_write)
    plugins = [plugin.path for plugin in spec.plugins] or None
    with said_where_runs_fail(int8 or quantize_aware):
        run_written(
            path, only_write, out=out, data_dir=data_dir, plugin=plugins, parallel=parallel, yes=yes, json=False
        )
    if int8 or quantize_aware:
        export_rows(out or Path("runs") / path.stem, path.stem, int8, quantize_aware, only_write, data_dir)


def _checked(run: RunFolder, teacher: Path | None) -> RunSpec:
    """What the finished run was. Raises UserError where it or its teacher has no weights, no command finds its network
    or data again by name, or the teacher has taught it already."""
    from levelfield.runs import RunFolder

    run.check_has_weights()
    spec = run.spec()
    if run.description()["reproducible"] != "by name":
        raise UserError(
            f"{run.path} trained your own network or data, which no command finds again by name\n"
            "register the network in a plugin, give the data as folder:PATH, and train it so"
        )
    if teacher is not None:
        RunFolder(teacher).check_has_weights("--distil")
        _check_teacher(spec, teacher, RunFolder(teacher).identity)
    return spec


def _check(asked: bool, prune: float | None, prune_channels: float | None, only_write: bool) -> None:
    """Raise UserError where nothing is asked for, for shares that are none, and for a library that is missing."""
    if not asked:
        raise UserError(
            "say how the run is to shrink: --int8, --prune 0.5, --prune-channels 0.5, --quantize-aware or "
            "--distil TEACHER; together, too"
        )
    given = {"--prune": (prune, "the weights"), "--prune-channels": (prune_channels, "the multiply-accumulates")}
    for option, (share, of) in given.items():
        if share is not None and not 0 < share < 1:
            raise UserError(f"{option} {share:g} is no share of {of}: give one between 0 and 1, as 0.5")
    if prune_channels is not None and not only_write and find_spec("torch_pruning") is None:
        raise UserError("--prune-channels needs torch-pruning: pip install 'levelfield[prune]'")


def _check_teacher(run: RunSpec, teacher: Path, identity: str) -> None:
    """Raise UserError where the run is taught by this one already: the row would be the run itself."""
    if run.recipe.distil is not None and run.recipe.distil.teacher_identity == identity:
        raise UserError(
            f"--distil {teacher}: it has taught this run already\ngive another teacher, or shrink a run without one"
        )


def _write(plan: Shrinking, path: Path, recipe: Path) -> None:
    """Write the study's file, and beside it that of its recipe. Raises UserError where these are of another run."""
    from levelfield.spec.yaml_files import read_yaml
    from levelfield.studies.declared.study_file import WRITTEN_BY

    def of_run(study: dict[str, Any], recipe: dict[str, Any]) -> list[Any]:
        return [study.get("data"), study.get("set"), study.get("rows", [])[:1], recipe]

    there = path.is_file() and recipe.is_file() and path.read_text(encoding="utf-8").startswith(WRITTEN_BY)
    if there and of_run(read_yaml(path), read_yaml(recipe)) != of_run(plan.study(), plan.recipe_file()):
        raise UserError(
            f"{path} shrinks another run of {plan.run.model.name}\nname another file with --file: its runs have a "
            "folder of their own, too"
        )
    write_keys(recipe, plan.recipe_file())
    write_study(path, plan.study())


def _take_over(run: RunFolder, file: Path, out: Path | None, only_write: bool) -> None:
    """Copy the finished `run` to where the study of `file` has the first row's run of its seed, which is this one."""
    if only_write:
        return
    from levelfield.studies.declared.planned_runs import PlannedRun, planned_rows
    from levelfield.studies.declared.shrink_study import WHOLE
    from levelfield.studies.declared.study import StudySpec
    from levelfield.studies.results.run_folders import differences, run_folder

    study, spec = StudySpec.load(str(file)), run.spec()
    plugins = [plugin.path for plugin in spec.plugins]
    row = next(row for row in planned_rows(study, plugins=plugins) if row.name == WHOLE)
    declared = row.spec.changed({"seed": spec.seed})
    place = run_folder(out or Path("runs") / file.stem, PlannedRun(row, spec.seed), run.identity)
    if spec.seed not in study.seeds or place.exists() or differences(declared, spec):
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".copied-", dir=place.parent) as temporary:
        copied = Path(temporary) / place.name
        shutil.copytree(run.path, copied, ignore=shutil.ignore_patterns("checkpoints", "lock", "*.tmp"))
        rename(copied, place)
    said = f"{WHOLE}, seed {spec.seed}: {run.path}, copied; it is not trained again"
    messages.print(said, soft_wrap=True, highlight=False)


def _file_of(model: str) -> Path:
    return Path(f"shrink-{model.replace(':', '-').replace('/', '-')}.yaml")
