"""`levelfield record`: time to a stated accuracy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from levelfield.cli.ask_before_long_work import confirm_long_work
from levelfield.cli.check_names import check_run
from levelfield.cli.completion import data_sets, models, recipes
from levelfield.cli.options import DataDir, Json, Plugins, Yes, finite
from levelfield.cli.output import console, print_json


def record(
    data: Annotated[str, typer.Argument(help="A data set's name (`levelfield data list`).", autocompletion=data_sets)],
    target: Annotated[float, typer.Option(help="Top-1 to be reached, in percent.", min=0, max=100, callback=finite)],
    within: Annotated[
        float | None, typer.Option(help="Seconds that a run may take, all included.", min=0, callback=finite)
    ] = None,
    runs: Annotated[int, typer.Option("--runs", "-n", min=1, help="Runs: seeds 0 to N - 1, all of them counted.")] = 10,
    model: Annotated[str, typer.Option(help="A model's name.", autocompletion=models)] = "resnet_mini",
    recipe: Annotated[
        str, typer.Option(help="A recipe's name, name+variant, or file.", autocompletion=recipes)
    ] = "cpu-fast",
    against: Annotated[
        Path | None, typer.Option(help="The previous record.json: replicated here, seed by seed, in turns.")
    ] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="Change one key of the run; may be repeated.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    out: Annotated[Path | None, typer.Option(help="The record's folder. [default: runs/record-DATA-TARGET]")] = None,
    data_dir: DataDir = None,
    plugin: Plugins = None,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Time runs of seeds 0 to N - 1 to their tested accuracy, and say whether their mean reaches the target.

    Each is warmed up on random labels, which is not counted. Interrupted records go on with the next run. What is
    counted: docs/reference/record.md. Example: `levelfield record digits --target 95 --model resnet_nano -n 3`
    """
    from levelfield.cli.train import assemble
    from levelfield.studies.declared.record_rules import check_declared

    options = {"execution.device": device, "execution.data_dir": data_dir}
    assignments = ["recipe.validation=0", *(set_ or [])]
    assignments += [f"{key}={value}" for key, value in options.items() if value is not None]
    spec = assemble(None, model, data, recipe, 0, assignments, plugin or [])
    check_run(spec)
    check_declared(spec)

    from levelfield.progress import Progress
    from levelfield.runs import folder_name
    from levelfield.studies.results.record_json import verdict
    from levelfield.studies.running.record import Declared, make_record
    from levelfield.training.prepare_run import prepare
    from levelfield.training.step_timing import estimate_seconds

    folder = out or Path("runs") / folder_name(f"record-{data}-{target:g}")
    left = runs - _finished(folder)
    if left > 0 and not yes:  # to tell how long it takes, steps are measured
        each = estimate_seconds(prepare(spec)) * (1 if against is None else 2)
        confirm_long_work(left * each, f"{left} runs of the record", yes)
    with Progress() as progress:
        content = make_record(spec, Declared(target, runs, within, tuple(set_ or ())), folder, against, progress)
    if json:
        print_json("record", content)
        return
    console.print(verdict(content), markup=False, highlight=False)
    console.print(f"{folder / 'record.md'} and record.json hold all of it", markup=False, highlight=False)


def _finished(folder: Path) -> int:
    """How many runs `folder` holds, of which nothing else is asked yet."""
    from levelfield.studies.results.record_json import read_record

    path = folder / "record.json"
    return len(read_record(path)["runs"]) if path.is_file() else 0
