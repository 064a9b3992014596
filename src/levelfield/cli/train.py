"""`levelfield train`: one run, from names or from a whole configuration."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from levelfield.cli.ask_before_long_work import LONG_S, confirm_long_work
from levelfield.cli.check_names import check_folder, check_run
from levelfield.cli.completion import data_sets, models, recipes
from levelfield.cli.options import DataDir, Json, Plugins, Yes
from levelfield.cli.output import console, headline, messages, print_data_notes, print_json
from levelfield.errors import UserError
from levelfield.units import duration, short, whole

if TYPE_CHECKING:
    from levelfield.spec import RunSpec
    from levelfield.training.prepare_run import Prepared


def train(
    config: Annotated[Path | None, typer.Option(help="A YAML or JSON file that holds a whole run.")] = None,
    model: Annotated[
        str | None, typer.Option(help="A model's name (`levelfield models`).", autocompletion=models)
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="A data set's name (`levelfield data list`).", autocompletion=data_sets)
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(help="A recipe's name, name+variant, or file. [default: cpu-fast]", autocompletion=recipes),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The run folder. [default: runs/MODEL-DATA-RECIPE-seedN]")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="The run's seed. [default: 0]")] = None,
    image_size: Annotated[int | None, typer.Option(min=1, help="Side of the images in px.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Change one key: recipe.optimizer.lr=1e-3. May be repeated.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = None,
    data_dir: DataDir = None,
    plugin: Plugins = None,
    stop_after: Annotated[
        str | None, typer.Option(help="Stop with a checkpoint after this time: 50m, 2h, 90s.")
    ] = None,
    show_config: Annotated[
        bool, typer.Option("--show-config", help="Print the resolved run as YAML and stop.")
    ] = False,
    show_schedule: Annotated[bool, typer.Option("--show-schedule", help="Draw the learning rate.")] = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Train one model. Interrupted runs go on where they stopped; finished ones are not trained again.

    Example: `levelfield train --model resnet_mini --data digits --set budget.epochs=5 --out runs/mini`
    """
    options = {
        "execution.device": device, "execution.data_dir": data_dir, "data.image_size": image_size,
        "execution.stop_after_seconds": None if stop_after is None else _seconds(stop_after),
    }  # fmt: skip
    assignments = [*(set_ or []), *(f"{key}={value}" for key, value in options.items() if value is not None)]
    spec = assemble(config, model, data, recipe, seed, assignments, plugin or [])
    check_run(spec)
    folder = out or default_folder(spec)
    if os.environ.get("RANK", "0") == "0":  # of several processes one writes
        check_folder(folder)

    from levelfield.training.prepare_run import prepare
    from levelfield.training.processes import announced_main

    prepared = prepare(spec)
    if show_config or show_schedule:
        if announced_main():
            show = _print_config if show_config else _print_schedule
            show(prepared)
        return
    result = _train(prepared, folder, spec.recipe.precision, yes)
    if result is not None and json:
        print_json("train", result)
    elif result is not None:
        _print_summary(result, folder)


def _train(prepared: Prepared, folder: Path, precision: str, yes: bool) -> dict[str, Any] | None:
    """Train, draw the learning curve, and return the result; None on all but one of several processes, which speaks.

    `precision`: what was asked for.
    """
    from levelfield.progress import Progress
    from levelfield.runs import RunFolder
    from levelfield.training.processes import SaidElsewhereError, announced_main, announced_size
    from levelfield.training.run import train_prepared
    from levelfield.training.step_timing import estimate_seconds, surely_within

    main = announced_main()
    if main and precision == "bf16_if_native" and prepared.spec.recipe.precision == "fp32":
        messages.print("there are no bf16 instructions here: training in fp32 (recorded in run.json)", highlight=False)
    asks = not RunFolder(folder).finished and announced_size() == 1
    if asks and not yes and not surely_within(prepared, LONG_S):
        confirm_long_work(estimate_seconds(prepared), "training", yes)
    try:
        with Progress(shown=main) as progress:
            outcome = train_prepared(prepared, folder, progress=progress)
    except SaidElsewhereError:
        raise typer.Exit(2) from None
    if not main:
        return None

    from levelfield.page.run_learning_curve import write_learning_curve

    write_learning_curve(outcome.folder)
    return {**outcome.result, "data_notes": list(prepared.data.notes)}


def default_folder(spec: RunSpec) -> Path:
    """runs/MODEL-DATA-RECIPE-seedN, with the characters that a path cannot hold replaced."""
    from levelfield.runs import folder_name

    name = f"{spec.model.name}-{spec.data.name}-{spec.recipe.name}-seed{spec.seed}"
    return Path("runs") / folder_name(name)


def assemble(
    config: Path | None,
    model: str | None,
    data: str | None,
    recipe: str | None,
    seed: int | None,
    assignments: list[str],
    plugins: list[str],
) -> RunSpec:
    """The RunSpec that the options describe. Raises UserError for what is missing, unknown or contradictory."""
    from levelfield.spec import RunSpec, load_recipe
    from levelfield.spec.overrides import apply
    from levelfield.spec.yaml_files import read_mapping

    if config is not None:
        if not config.is_file():
            raise UserError(f"--config {config}: no such file; write one with `levelfield train ... --show-config`")
        values: dict[str, Any] = read_mapping(config)
        if recipe is not None or isinstance(values.get("recipe"), str):
            values |= _recipe_values(load_recipe(recipe or values["recipe"]), values.get("budget"))
    else:
        missing = [f"--{name}" for name, value in (("model", model), ("data", data)) if value is None]
        if missing:
            raise UserError(
                f"{' and '.join(missing)} missing: name the network and the images, or give a whole run with --config\n"
                "e.g. levelfield train --model resnet_mini --data digits"
            )
        stated = load_recipe("cpu-fast" if recipe is None else recipe)
        values = {"model": {}, "data": {}, **_recipe_values(stated, None)}
    for part, name in (("model", model), ("data", data)):
        if name is not None:
            values[part] = {**values.get(part, {}), "name": name}
    if seed is not None:
        values["seed"] = seed
    if plugins:
        values["plugins"] = [*values.get("plugins", []), *({"path": path} for path in plugins)]
    values = apply(values, assignments)
    if "budget" not in values:
        raise UserError("the recipe states no length: add --set budget.epochs=N")
    return RunSpec.parse(values, str(config) if config is not None else "run")


def _recipe_values(stated: Any, budget: Any) -> dict[str, Any]:
    values: dict[str, Any] = {"recipe": stated.recipe.model_dump(mode="json")}
    if budget is not None:
        values["budget"] = budget
    elif stated.budget is not None:
        values["budget"] = stated.budget.model_dump(mode="json", exclude_none=True)
    return values


def _seconds(text: str) -> float:
    units = {"s": 1.0, "m": 60.0, "h": 3600.0}
    number, unit = (text[:-1], text[-1]) if text[-1:] in units else (text, "s")
    try:
        seconds = float(number) * units[unit]
    except ValueError:
        seconds = 0.0
    if seconds <= 0:
        raise UserError(f"--stop-after {text!r} is no time: give 90s, 50m or 2h")
    return seconds


def _print_config(prepared: Prepared) -> None:
    import yaml

    values = prepared.spec.model_dump(mode="json")
    typer.echo(yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=100), nl=False)


def _print_schedule(prepared: Prepared) -> None:
    """The learning rate over the run as a chart in the terminal."""
    from levelfield.cli.character_chart import draw_line
    from levelfield.training.steps_and_phases import make_plan

    plan = make_plan(prepared.spec.recipe, prepared.spec.budget, len(prepared.data.train))
    title = f"learning rate over {plan.steps} steps ({plan.steps / plan.steps_per_epoch:g} epochs)"
    marks = [phase.start for phase in plan.phases[1:]]
    console.print(draw_line(plan.learning_rates(), title, marks=marks), markup=False)


def _print_summary(result: dict[str, Any], folder: Path) -> None:
    headline(
        result["model"],
        f" on {result['data']}, seed {result['seed']}: ",
        f"{result['top1']:.2f} %",
        f" top-1 on test (loss {result['loss']:.4f}), {result['params']:,} parameters, {short(result['macs'])} MACs",
    )
    speed = result["train_images_per_s"]
    steady = f", in the steady state at {whole(speed)} images/s" if speed else ""
    took = duration(result["train_seconds"] + result["compile_seconds"])
    how = f"recipe {result['recipe']}, {result['epochs_done']:g} epoch{'s' * (result['epochs_done'] != 1)}"
    console.print(f"trained {took}: {how}{steady}", markup=False, highlight=False)
    print_data_notes(result["data_notes"])
    console.print(f"run folder: {folder}   more: levelfield eval {folder}", highlight=False)
