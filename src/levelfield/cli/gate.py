"""`levelfield gate`: is a change really better?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from levelfield.cli.ask_before_long_work import confirm_long_work
from levelfield.cli.completion import data_sets, models, recipes, sides
from levelfield.cli.options import DataDir, Json, Plugins, Yes, finite
from levelfield.cli.output import console, print_json
from levelfield.errors import UserError

if TYPE_CHECKING:
    from levelfield.studies.results.gate_sides import Side

EXIT_CODES = {"better": 0, "not better": 1, "undecided": 3}


def gate(
    base: Annotated[
        str,
        typer.Argument(help="A model, a recipe (with --model), STUDY:ROW, or a folder of runs.", autocompletion=sides),
    ],
    candidate: Annotated[str, typer.Argument(help="What is to be better: of the same kind.", autocompletion=sides)],
    by: Annotated[
        float, typer.Option(help="By more than so many points of top-1.", metavar="POINTS", callback=finite)
    ] = 0.0,
    max_seeds: Annotated[int, typer.Option(min=2, help="Seeds of each side at most.")] = 10,
    ledger: Annotated[
        Path | None, typer.Option(help="A file that counts candidates and spends one 5 % on all of them.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Of both; BASE and CANDIDATE are then recipes.", autocompletion=models)
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="A data set's name, for models and recipes.", autocompletion=data_sets)
    ] = None,
    recipe: Annotated[str | None, typer.Option(help="For models. [default: cpu-fast]", autocompletion=recipes)] = None,
    scale: Annotated[str, typer.Option(help="For rows of a study.")] = "full",
    set_: Annotated[list[str] | None, typer.Option("--set", help="Change one key of both; may be repeated.")] = None,
    change: Annotated[
        list[str] | None, typer.Option(help="Change one key of the candidate alone; may be repeated.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Where runs go; a baseline's are used again.")] = Path("runs/gate"),
    data_dir: DataDir = None,
    plugin: Plugins = None,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Train baseline and candidate seed by seed until it is decided whether the candidate is better.

    Exit codes: 0 better, 1 not better, 2 bad input, 3 undecided at the limit, 70 internal error. Example:
    `levelfield gate resnet_nano vit_mini --data digits --by 0.2 --ledger runs/gate.jsonl`
    """
    if by < 0:
        raise UserError(f"--by {by:g} would call a loss better: give 0 or more points of top-1")
    from levelfield.cli.gate_sides import Said, sides_of

    said = Said(model, data, recipe, scale, set_ or [], plugin or [], data_dir)
    sides = sides_of(base, candidate, said, change or [])

    from levelfield.cli.gate_answer import as_json, in_words
    from levelfield.progress import Progress
    from levelfield.studies.results.gate_ledger import Ledger
    from levelfield.studies.running.gate import gate as try_candidate

    book = None if ledger is None else Ledger(ledger)
    if book is None or not _decided(book, sides, by):
        confirm_long_work(_longest(sides, max_seeds, out), f"at most {max_seeds} seeds of each side", yes)
    found = try_candidate(*sides, by, max_seeds, out, book, Progress())
    if json:
        print_json("gate", as_json(found, ledger))
    else:
        for line in in_words(found, ledger, finished=all(side.spec is None for side in sides)):
            console.print(line, markup=False, highlight=False)
    raise typer.Exit(EXIT_CODES[found.outcome.verdict])


def _decided(ledger: Any, sides: tuple[Side, Side], by: float) -> bool:
    from levelfield.studies.results.gate_ledger import Asked

    asked = Asked(sides[0].identity, sides[1].identity, by)
    return any(entry.asked == asked and entry.outcome is not None for entry in ledger.entries())


def _longest(sides: tuple[Side, Side], most: int, out: Path) -> float:
    """Seconds that all runs take that are not there yet."""
    from levelfield.studies.running.gate import run_folder_of
    from levelfield.training.prepare_run import prepare
    from levelfield.training.step_timing import estimate_seconds

    seconds = 0.0
    for side in sides:
        if side.spec is not None:
            missing = sum(not run_folder_of(side.spec, side.identity, seed, out).finished for seed in range(most))
            seconds += missing * estimate_seconds(prepare(side.spec)) if missing else 0.0
    return seconds
