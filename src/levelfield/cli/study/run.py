"""`levelfield study run`: train what a study lacks."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from levelfield.cli.ask_before_long_work import confirm_long_work
from levelfield.cli.check_names import check_some_data
from levelfield.cli.options import Json, Margin, Verdict, Yes
from levelfield.cli.output import console, messages
from levelfield.cli.study.from_options import OpenedStudy, executor_for, on_a_study
from levelfield.cli.study.not_tuned import what_to_do_first
from levelfield.cli.study.options import (
    Address,
    CpusPerRun,
    GpusPerRun,
    MaxSeeds,
    On,
    Parallel,
    Rows,
    Seeds,
    Until,
    Where,
)
from levelfield.cli.study.report import show_table
from levelfield.cli.study.runs_at_once import record, settle
from levelfield.errors import UserError

if TYPE_CHECKING:
    from levelfield.cli.study.options import Stop
    from levelfield.studies.results.run_folders import Found
    from levelfield.studies.results.study_request import StudyRequest
    from levelfield.studies.running.time_estimate import Estimate
    from levelfield.studies.running.until_decided import UntilDecided
    from levelfield.tables.table import StudyTable


@partial(on_a_study, to_train=True)
def run(
    opened: OpenedStudy,
    seeds: Seeds = None,
    until: Until = None,
    max_seeds: MaxSeeds = None,
    margin: Margin = None,
    row: Rows = None,
    on: On = Where.LOCAL,
    parallel: Parallel = None,
    address: Address = None,
    cpus_per_run: CpusPerRun = None,
    gpus_per_run: GpusPerRun = None,
    verdict: Verdict = None,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Train what is missing, then print the table and write report.html. Interrupted, the same command goes on.

    Ends with code 3 where a run failed; its row says why. Example: `levelfield study run quickstart`
    """
    from levelfield.progress import Progress
    from levelfield.studies.declared.seeds import parse_seeds
    from levelfield.studies.results.run_folders import find_all
    from levelfield.studies.results.study_request import judged
    from levelfield.studies.running import run_study
    from levelfield.studies.running.time_estimate import measured_seconds
    from levelfield.studies.running.until_decided import seeds_up_to, settle_looks

    study, folder, asked, said = opened
    asked = judged(asked, folder, margin, verdict)
    wanted = None if seeds is None else parse_seeds(seeds)
    growing = _growing(until, max_seeds)
    most = None if growing is None else settle_looks(folder, growing, asked.margin, asked.verdict).most
    planned = wanted or asked.usual if most is None else seeds_up_to(most, asked.usual)
    found = find_all(folder, asked.runs(study, folder, planned, row or ()))
    _say_if_nothing_is_missing(wanted, found, asked)
    missing = [one.run.row for one in found if one.state != "finished"]
    if on is Where.LOCAL and len(missing) == len(found):
        check_some_data(row.spec for row in missing)
    if (first := what_to_do_first(study, missing, asked, folder)) is not None:
        messages.print(first, markup=False, highlight=False)
    with executor_for(on, parallel, address, cpus_per_run, gpus_per_run) as executor:
        expected_s = measured_seconds(found)
        if on is Where.LOCAL:
            parallel, timed, trial = settle(parallel, found, folder)
            expected_s = _expect(timed, found, study.name, most, yes)
            record(trial, folder)  # not before the user has said yes
        with Progress() as progress:
            table = run_study.run(
                study,
                folder,
                **vars(said),
                seeds=wanted, progress=progress, executor=executor, parallel=parallel or 1, only=row or (),
                expected_s=expected_s, until=growing, margin=margin, verdict=verdict,
            )  # fmt: skip
    show_table("study run", table, folder, json)
    _print_next(study.name, folder, json)
    if _any_failed(found, table):
        raise typer.Exit(3)


def _say_if_nothing_is_missing(wanted: tuple[int, ...] | None, found: list[Found], asked: StudyRequest) -> None:
    """That --seeds asked for nothing new; a table is never cut down to fewer seeds than it was asked for before."""
    from levelfield.tables.lists_in_words import counted

    if wanted is None or any(one.state != "finished" for one in found):
        return
    held = max(len(asked.seeds_of(one.run.row.name)) for one in found)
    more = f"; the table keeps the {held} seeds that it was asked for before" if held > len(wanted) else ""
    messages.print(
        f"all runs of {counted(len(wanted), 'seed')} a row are there: nothing to train{more}", highlight=False
    )


def _any_failed(found: list[Found], table: StudyTable) -> bool:
    """Whether a run that was asked for has no result."""
    these = {(one.run.row.name, one.run.seed) for one in found}
    failed = {(name, seed) for line in table.rows for name in line.runs.row.names for seed in line.runs.row.failures}
    return bool(these & failed)


def _growing(until: Stop | None, max_seeds: int | None) -> UntilDecided | None:
    """What the options say of --until. Raises UserError for those that say nothing without it."""
    from levelfield.studies.running.until_decided import UntilDecided

    if until is None:
        if max_seeds is not None:
            raise UserError(f"--max-seeds {max_seeds} belongs to --until decided; add that, or leave it away")
        return None
    return UntilDecided(max_seeds)


def _expect(timed: Estimate, found: list[Found], name: str, most: int | None, yes: bool) -> dict[str, float]:
    """Seconds that a run of each row of the study `name` will take on this machine; asks before long work.

    Raises UserError where no row can be run.
    """
    what = f"study {name}" + ("" if most is None else f", if all of it takes {most} seeds a row,")
    if timed.impossible and not timed.per_run_s and not any(one.state == "finished" for one in found):
        raise UserError(next(iter(timed.impossible.values())))
    for home, why in timed.impossible.items():
        messages.print(f"{home} cannot be run here: {why}", markup=False, highlight=False)
    confirm_long_work(timed.left_s, what, yes)
    return timed.per_run_s


def _print_next(study: str, folder: Path, json: bool) -> None:
    """After the first study, what to try next."""
    if study != "quickstart" or json:
        return
    console.print("\nThree things to try next:")
    for command in (
        "levelfield study run cifar10-cpu --data-dir DATA   # real colour images: 4 networks, 5 seeds",
        "levelfield train --model resnet_mini --data digits --set budget.epochs=5 --out runs/digits",
        "levelfield study run quickstart --seeds 6          # only the new seeds are trained",
    ):
        console.print("  " + command, markup=False, highlight=False, soft_wrap=True)
    console.print(f"The page: {folder / 'report.html'}", highlight=False)
