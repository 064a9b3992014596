"""`levelfield study sweep`: every row gets the same tuning budget."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from levelfield.cli.ask_before_long_work import confirm_long_work
from levelfield.cli.check_names import check_some_data
from levelfield.cli.options import Json, Yes, finite
from levelfield.cli.output import console, print_json, show_table
from levelfield.cli.study.from_options import OpenedStudy, executor_for, on_a_study
from levelfield.cli.study.not_tuned import not_tuned
from levelfield.cli.study.options import Address, CpusPerRun, GpusPerRun, On, Parallel, Rows, Where
from levelfield.cli.study.runs_at_once import record, settle
from levelfield.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from levelfield.studies.running.choose_parallel import Trial as ParallelTrial
    from levelfield.studies.running.search import Search
    from levelfield.tables.sweep import Sweep


@partial(on_a_study, to_train=True)
def sweep(
    opened: OpenedStudy,
    row: Rows = None,
    trials: Annotated[
        int | None, typer.Option(min=1, help="Trials of every row. [default: the study's tuning, else 5]")
    ] = None,
    lr_factors: Annotated[
        str | None, typer.Option(help="A grid instead: factors of each row's learning rate, 0.3,1,3.")
    ] = None,
    weight_decays: Annotated[str | None, typer.Option(help="A grid instead, with these weight decays.")] = None,
    share: Annotated[
        float | None,
        typer.Option(
            min=0.0, max=1.0, callback=finite,
            help="Part of the study's length for each trial. [default: the study's tuning, else 0.25]",
        ),
    ] = None,
    on: On = Where.LOCAL,
    parallel: Parallel = None,
    address: Address = None,
    cpus_per_run: CpusPerRun = None,
    gpus_per_run: GpusPerRun = None,
    yes: Yes = False,
    json: Json = False,
) -> None:  # fmt: skip
    """Tune all rows with equal trials, drawn alike, on the validation slice, and say what that cost and shows.

    Test is not looked at. What is tried the study's `tuning` says; without one it is the learning rate, and only rows
    whose published setting is unknown use what is found. Interrupted, the same command goes on. Example:
    `levelfield study sweep quickstart --trials 5`
    """
    from levelfield.progress import Progress
    from levelfield.studies.running.sweep import run_sweep

    folder = opened.folder
    searches = _searches(opened, row or (), trials, lr_factors, weight_decays, share)
    count = sum(each.count for each in searches)
    with executor_for(on, parallel, address, cpus_per_run, gpus_per_run) as executor:
        if on is Where.LOCAL:
            check_some_data(each.row.spec for each in searches)
            parallel, left_s, trial = _settled(parallel, searches, folder / "sweep")
            confirm_long_work(left_s, f"a sweep of {count} trials{_at_most(searches)}", yes)
            record(trial, folder / "sweep")
        with Progress() as progress:
            sweeps = run_sweep(folder, searches, progress, executor, parallel or 1)
    if json:
        print_json("study sweep", _as_json(sweeps))
        return
    _print_sweeps(sweeps)
    _print_use(opened, sweeps)


def _searches(
    opened: OpenedStudy, only: Sequence[str], trials: int | None, lr_factors: str | None, weight_decays: str | None,
    share: float | None,
) -> list[Search]:  # fmt: skip
    """What is tried for each row: the grid that the options give, else what the study declares."""
    from levelfield.studies.declared.tuning import NONE_DECLARED
    from levelfield.studies.running.searches_of_rows import check_seed, grid, search

    study, folder, asked, _ = opened
    check_seed([*asked.usual, *(seed for seeds in asked.seeds.values() for seed in seeds)], study.name)
    rows = asked.rows(study, folder, only, tuned={})
    names: dict[str, list[str]] = {}
    for one in asked.rows(study, folder, tuned={}):
        names.setdefault(one.home, []).append(one.name)
    if lr_factors is not None or weight_decays is not None:
        if trials is not None:
            raise UserError("--trials draws trials, --lr-factors and --weight-decays make a grid; give one of them")
        factors = _numbers(lr_factors or "0.3,1,3", "--lr-factors")
        decays = None if weight_decays is None else _numbers(weight_decays, "--weight-decays")
        return grid(rows, names, factors, decays, 0.25 if share is None else share)
    declared = study.tuning or NONE_DECLARED
    given = {key: value for key, value in (("trials", trials), ("share", share)) if value is not None}
    tuning = type(declared).parse(declared.model_dump(mode="json") | given, f"study {study.name}: tuning")
    return search(rows, names, tuning, study.name)


def _settled(parallel: int | None, searches: Sequence[Search], folder: Path) -> tuple[int, float, ParallelTrial | None]:
    """How many trials at once, the seconds that those still to be carried out take then, and how that was found out."""
    from levelfield.studies.results.run_folders import find_all
    from levelfield.studies.running.trials_so_far import TrialsSoFar

    so_far = TrialsSoFar(folder)
    due = [(one[0][1].run, so_far.left(each)) for each in searches if (one := so_far.judged(each)[1])]
    times = sum(left for _, left in due) / max(1, len(due))
    parallel, timed, trial = settle(parallel, find_all(folder, [run for run, _ in due]), folder, times)
    return parallel, sum(timed.per_run_s.get(run.row.home, 0.0) * left for run, left in due) / parallel, trial


def _at_most(searches: Sequence[Search]) -> str:
    return ", if none is pruned," if any(each.rungs for each in searches) else ""


def _numbers(text: str, option: str) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 0 or not all(map(math.isfinite, numbers)):
        raise UserError(f"{option} {text!r} is no list of numbers; give e.g. 0.3,1,3")
    return numbers


def _as_json(sweeps: Sequence[Sweep]) -> dict[str, Any]:
    from dataclasses import asdict

    from levelfield.tables.best_of_trials import expected_of, verdicts_in_words, who_is_better
    from levelfield.tables.sweep import as_json

    found = []
    for each in sweeps:
        name, *also = each.rows
        expected = [asdict(one) for one in expected_of(each)]
        found.append({"row": name, "also": also, **as_json(each), "expected_best": expected})
    pairs = [asdict(one) for one in who_is_better(sweeps)]
    return {"sweeps": found, "pairs": pairs, "answer": verdicts_in_words(sweeps)}


def _print_sweeps(sweeps: Sequence[Sweep]) -> None:
    """A line for each row, what is to be said of it, and who is better at equal numbers of trials."""
    from levelfield.tables.best_of_trials import setting_in_words, verdicts_in_words
    from levelfield.tables.number_format import percent
    from levelfield.units import duration, plain, short

    rows, notes = [], []
    numbers = ("trials", "epochs", "time", "MACs", "val. top-1", "- median")
    for each in sweeps:
        best = each.best
        gap = "" if each.sensitivity is None else percent(each.sensitivity)
        cost = (str(len(each.paid)), plain(each.epochs, 4), duration(each.seconds), short(each.training_macs))
        found = "every trial failed" if best is None else setting_in_words(each)
        rows.append((each.rows[0], *cost, percent(best.val_top1) if best else "", gap, found))
        notes += _notes(each)
    show_table(("row", *numbers, "best setting"), rows, numbers)
    for line in [*notes, *verdicts_in_words(sweeps)]:
        console.print(line, highlight=False, markup=False)
    console.print("One seed a trial, chosen on the validation slice at equal budgets; test was not looked at.")


def _print_use(opened: OpenedStudy, sweeps: Sequence[Sweep]) -> None:
    """Which rows are compared at what was found, and which are not tuned yet."""
    from levelfield.tables.lists_in_words import listed

    study, folder, asked, _ = opened
    rows = asked.rows(study, folder)
    tuned = {name for each in sweeps for name in each.rows} & {row.name for row in rows if row.tuned}
    if all(each.best is None for each in sweeps):
        return
    if not tuned:
        console.print(
            "No row takes these settings: the study declares no `tuning`, and none of these rows is marked "
            "`setting_unknown`."
        )
        return
    who = "the rows" if tuned == {name for each in sweeps for name in each.rows} else listed(sorted(tuned))
    use = f"`levelfield study run` now compares {who} at these settings, with seeds of their own."
    console.print(use, highlight=False, markup=False)
    if left := not_tuned(study, rows):
        console.print(
            f"{listed(left)} {'is' if len(left) == 1 else 'are'} not tuned yet: the audit calls untuned rows beside "
            "tuned ones unfair.",
            highlight=False, markup=False,
        )  # fmt: skip


def _notes(sweep: Sweep) -> list[str]:
    """What is to be known of a row's search beside its figures."""
    from levelfield.tables.best_of_trials import earlier_in_words

    name, *also = sweep.rows
    notes = [f"also {', '.join(also)}: the same training"] if also else []
    notes += [f"best on the edge of what was tried: {', '.join(sweep.edges)}"] if sweep.edges else []
    notes += [f"{sweep.count('pruned')} pruned"] if sweep.count("pruned") else []
    notes += [f"{sweep.count('failed')} failed"] if sweep.count("failed") else []
    notes += [f"the cost holds {earlier_in_words(sweep)} too"] if sweep.earlier else []
    return [f"{name}: {'; '.join(notes)}."] if notes else []
