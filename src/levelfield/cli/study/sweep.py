"""`levelfield study sweep`: every row gets the same tuning budget."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from levelfield.cli.ask_before_long_work import confirm_long_work
from levelfield.cli.options import Json, Yes, finite
from levelfield.cli.output import console, print_json, show_table
from levelfield.cli.study.from_options import OpenedStudy, on_a_study, timed_estimate
from levelfield.cli.study.options import Rows
from levelfield.errors import UserError
from levelfield.units import plain

if TYPE_CHECKING:
    from levelfield.studies.running.sweep import RowSweep


@partial(on_a_study, to_train=True)
def sweep(
    opened: OpenedStudy,
    row: Rows = None,
    lr_factors: Annotated[str, typer.Option(help="Factors of each row's learning rate.")] = "0.3,1,3",
    weight_decays: Annotated[str | None, typer.Option(help="Weight decays. [default: each row's own]")] = None,
    share: Annotated[
        float, typer.Option(min=0.0, max=1.0, callback=finite, help="Part of the study's length for each point.")
    ] = 0.25,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Tune all rows at equal budgets on the validation slice, and show how sensitive each is. Test is not looked at.

    Rows whose published setting is unknown use what is found here when the study runs. Example:
    `levelfield study sweep quickstart --weight-decays 0,0.05`
    """
    from levelfield.progress import Progress
    from levelfield.studies.declared.planned_runs import PlannedRun
    from levelfield.studies.results.run_folders import find_all
    from levelfield.studies.running.sweep import SEED, grid_rows, run_sweep

    study, folder, asked, _ = opened
    rows = asked.rows(study, folder, row or (), tuned={})
    names: dict[str, list[str]] = {}
    for one in asked.rows(study, folder, tuned={}):
        names.setdefault(one.home, []).append(one.name)
    decays = None if weight_decays is None else _numbers(weight_decays, "--weight-decays")
    grid = grid_rows(rows, _numbers(lr_factors, "--lr-factors"), decays, share)
    points = [PlannedRun(point, SEED) for _, points in grid for point in points]
    timed = timed_estimate(find_all(folder / "sweep", points))
    confirm_long_work(timed.left_s, f"a sweep of {len(points)} points", yes)
    with Progress() as progress:
        sweeps = run_sweep(folder, grid, progress, names)
    if json:
        found = [{"row": each.row, "also": list(each.also), **each.found_as_json()} for each in sweeps]
        print_json("study sweep", {"sweeps": found})
        return
    _print_sweeps(sweeps)


def _numbers(text: str, option: str) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 0 or not all(map(math.isfinite, numbers)):
        raise UserError(f"{option} {text!r} is no list of numbers; give e.g. 0.3,1,3")
    return numbers


def _print_sweeps(sweeps: list[RowSweep]) -> None:
    rows = []
    numbers = ("best lr", "weight decay", "validation top-1", "best - median")
    for sweep in sweeps:
        best = sweep.best
        notes = ["best on the edge of the grid: " + ", ".join(sweep.edges)] if sweep.edges else []
        notes += [f"{sweep.failed} points failed"] if sweep.failed else []
        gap = "" if sweep.sensitivity is None else f"{sweep.sensitivity:.2f}"
        found = best and (plain(best.lr), plain(best.weight_decay), f"{best.val_top1:.2f}", gap)
        notes += [f"also {', '.join(sweep.also)}: the same training"] if sweep.also else []
        rows.append((sweep.row, *(found or ("",) * 4), "; ".join(notes)))
    show_table(("row", *numbers, "note"), rows, numbers)
    console.print("One seed a point, chosen on the validation slice at equal budgets.", highlight=False)
