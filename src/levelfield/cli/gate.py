"""`levelfield gate`: is a change really better?"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from levelfield.cli.ask_before_long_work import confirm_long_work
from levelfield.cli.check_names import check_run
from levelfield.cli.options import DataDir, Json, Plugins, Yes
from levelfield.cli.output import console, print_json
from levelfield.cli.train import assemble
from levelfield.errors import UserError

if TYPE_CHECKING:
    from levelfield.spec import RunSpec
    from levelfield.studies.results.gate_sides import Side
    from levelfield.studies.running.gate import GateResult

EXIT_CODES = {"better": 0, "not better": 1, "undecided": 3}


def gate(
    base: Annotated[str, typer.Argument(help="A model, a recipe (with --model), STUDY:ROW, or a folder of runs.")],
    candidate: Annotated[str, typer.Argument(help="What is to be better: of the same kinds.")],
    by: Annotated[float, typer.Option(help="By more than so many points of top-1.", metavar="POINTS")] = 0.0,
    max_seeds: Annotated[int, typer.Option(min=2, help="Seeds of each side at most.")] = 10,
    ledger: Annotated[
        Path | None, typer.Option(help="A file that counts candidates and spends one 5 % on all of them.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Of both; BASE and CANDIDATE are then recipes.")] = None,
    data: Annotated[str | None, typer.Option(help="A data set's name, for models and recipes.")] = None,
    recipe: Annotated[str | None, typer.Option(help="For models. [default: cpu-fast]")] = None,
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

    Exit codes: 0 better, 1 not better, 2 bad input, 3 undecided at the limit. Example:
    `levelfield gate resnet_nano vit_mini --data digits --by 0.2 --ledger runs/gate.jsonl`
    """
    if by < 0:
        raise UserError(f"--by {by:g} would call a loss better: give 0 or more points of top-1")
    if change and Path(candidate).is_dir():
        raise UserError(f"--change cannot change {candidate}, whose runs are finished\nname a model, recipe or row")

    def declared(name: str, changes: list[str]) -> RunSpec | None:
        return _declared(name, model, data, recipe, scale, [*(set_ or []), *changes], plugin or [], data_dir)

    of_base, of_candidate = declared(base, []), declared(candidate, change or [])

    from levelfield.progress import Progress
    from levelfield.studies.results.gate_ledger import Ledger
    from levelfield.studies.running.gate import gate as try_candidate

    sides = _side(base, of_base), _side(candidate, of_candidate)
    book = None if ledger is None else Ledger(ledger)
    if book is None or not _decided(book, sides, by):
        confirm_long_work(_longest(sides, max_seeds, out), f"at most {max_seeds} seeds of each side", yes)
    found = try_candidate(*sides, by, max_seeds, out, book, Progress())
    if json:
        print_json(_as_json(found, ledger))
    else:
        _print(found, ledger)
    raise typer.Exit(EXIT_CODES[found.outcome.verdict])


def _declared(
    name: str, model: str | None, data: str | None, recipe: str | None, scale: str, changes: list[str],
    plugins: list[str], data_dir: str | None,
) -> RunSpec | None:  # fmt: skip
    """The run that a side names, none of its names misspelt; None for a folder of finished runs."""
    from levelfield.studies.results.gate_sides import is_study_row, study_row

    if Path(name).is_dir():
        return None
    if is_study_row(name):
        declared = study_row(name, scale, changes, plugins, data_dir)
    else:
        where = [] if data_dir is None else [f"execution.data_dir={data_dir}"]
        one, two = (name, recipe) if model is None else (model, name)
        declared = assemble(None, one, data, two, None, [*changes, *where], plugins)
    check_run(declared)
    return declared


def _side(name: str, declared: RunSpec | None) -> Side:
    from levelfield.studies.results.gate_sides import side_of_folder, side_of_spec

    if declared is None:
        return side_of_folder(Path(name))
    from levelfield.training.prepare_run import resolve

    return side_of_spec(name, resolve(declared))


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


def _as_json(found: GateResult, ledger: Path | None) -> dict[str, Any]:
    entry, outcome = found.entry, found.outcome
    last = outcome.looks[-1] if outcome.looks else None
    return {
        "verdict": outcome.verdict,
        "why": outcome.why,
        "by": entry.asked.by,
        "gain": None if last is None else last.gain,
        "above": None if last is None else last.low,
        "seeds": 0 if last is None else last.seeds,
        "max_seeds": entry.most,
        "level": entry.level,
        "baseline": {"name": entry.names[0], "identity": entry.asked.baseline},
        "candidate": {"name": entry.names[1], "identity": entry.asked.candidate},
        "looks": [asdict(look) for look in outcome.looks],
        "decided_before": found.before,
        "ledger": None
        if ledger is None
        else {
            "file": str(ledger), "number": entry.number, "tried": found.tried, "kept": found.kept,
            "dropped": found.dropped,
        },
    }  # fmt: skip


def _print(found: GateResult, ledger: Path | None) -> None:
    entry, outcome = found.entry, found.outcome
    one, two = entry.names
    line = f"{two} against {one}: {outcome.verdict}"
    line += f" by more than {entry.asked.by:g} points" if outcome.verdict == "better" else f" ({outcome.why})"
    console.print(line, markup=False, highlight=False)
    if outcome.looks and outcome.looks[-1].gain is not None:
        last = outcome.looks[-1]
        line = f"gain {last.gain:+.2f} points"
        line += "" if last.low is None else f", above {last.low:+.2f} at the {100 * last.level:.2g} % of this look"
        line += f"; {last.seeds} seeds of each side, at most {entry.most}; {last.method}"
        console.print(line, markup=False, highlight=False)
    if ledger is not None:
        console.print(
            f"candidate {entry.number} of {ledger}, judged at {100 * entry.level:.2g} % of the 5 % for all; "
            f"{found.tried} tried, {found.kept} kept, {found.dropped} dropped",
            markup=False, highlight=False,
        )  # fmt: skip
    if found.before:
        console.print("decided before: the ledger's answer, nothing was run", markup=False, highlight=False)
