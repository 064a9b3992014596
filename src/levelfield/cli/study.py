"""`levelfield study`: comparisons from a file. Parse, call, print; the work is in `levelfield.studies`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.markup import escape
from rich.table import Table

from levelfield.cli.confirm import confirm_long_work
from levelfield.cli.output import DataDir, Json, Plugins, Yes, console, messages, print_json
from levelfield.cli.study_options import (
    Address,
    CpusPerRun,
    GpusPerRun,
    Name,
    On,
    Out,
    Parallel,
    PluginsAsRun,
    Rows,
    ScaleName,
    Seeds,
    Set,
    SetAsRun,
    Where,
    as_asked,
    executor_for,
    timed_estimate,
)
from levelfield.cli.study_plan import plan, status
from levelfield.cli.study_results import merge, pick_, rm
from levelfield.cli.study_sweep import sweep
from levelfield.errors import UserError

if TYPE_CHECKING:
    from levelfield.studies.results.run_folders import Found

app = typer.Typer(no_args_is_help=True, help="Compare models over seeds: plan, run, look, merge, pick.")


@app.command("list")
def list_(json: Json = False) -> None:
    """List the studies that ship with levelfield.

    Example: `levelfield study list`
    """
    from levelfield.studies.declared.study import StudySpec
    from levelfield.studies.declared.study_file import list_studies

    studies = [StudySpec.load(name) for name in list_studies()]
    if json:
        facts = [
            {"name": s.name, "title": s.title, "question": s.question.strip(), "scales": scales(s)} for s in studies
        ]
        print_json(facts)
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("study", "scales", "what it compares"):
        table.add_column(heading, no_wrap=heading == "study")
    for study in studies:
        table.add_row(study.name, ", ".join(scales(study)), escape(study.title))
    console.print(table)


def scales(study: Any) -> list[str]:
    """The names of a study's scales, the published one first."""
    return list(dict.fromkeys(["full", *study.scales]))


def run(
    name: Name,
    scale: ScaleName = None,
    seeds: Seeds = None,
    row: Rows = None,
    set_: Set = None,
    out: Out = None,
    on: On = Where.LOCAL,
    parallel: Parallel = 1,
    address: Address = None,
    cpus_per_run: CpusPerRun = None,
    gpus_per_run: GpusPerRun = None,
    data_dir: DataDir = None,
    plugin: Plugins = None,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Train what is missing, then print the table and write report.html. Interrupted, the same command goes on.

    Ends with code 3 where a run failed; its row says why. Example: `levelfield study run quickstart`
    """
    from levelfield.progress import Progress
    from levelfield.studies.declared.seeds import parse_seeds
    from levelfield.studies.results.request import StudyOptions
    from levelfield.studies.results.run_folders import find_all
    from levelfield.studies.running.run_study import run_study
    from levelfield.studies.running.time_estimate import measured_seconds

    study, folder, asked = as_asked(name, scale, out, set_, plugin, data_dir, to_train=True)
    wanted = None if seeds is None else parse_seeds(seeds)
    found = find_all(folder, asked.runs(study, folder, wanted or asked.usual, row or ()))
    with executor_for(on, parallel, address, cpus_per_run, gpus_per_run) as executor:
        expected_s = measured_seconds(found)
        if on is Where.LOCAL:
            expected_s = _expect(found, f"study {study.name}", parallel, yes)
        with Progress() as progress:
            table = run_study(
                study,
                folder,
                StudyOptions(scale, set_, plugin, data_dir),
                seeds=wanted,
                progress=progress,
                executor=executor,
                parallel=parallel,
                only=row or (),
                expected_s=expected_s,
            )
    _show(table, folder, json)
    if study.name == "quickstart" and not json:
        _print_next(folder)
    these = {(one.run.row.name, one.run.seed) for one in found}
    failed = {(name, seed) for line in table.rows for name in line.runs.row.names for seed in line.runs.row.failures}
    if these & failed:
        raise typer.Exit(3)


def _expect(found: list[Found], what: str, parallel: int, yes: bool) -> dict[str, float]:
    """Seconds that a run of each row will take on this machine; asks before long work."""
    timed = timed_estimate(found, parallel)
    if timed.impossible and not timed.per_run_s and not any(one.state == "finished" for one in found):
        raise UserError(next(iter(timed.impossible.values())))
    for home, why in timed.impossible.items():
        messages.print(f"{home} cannot be run here: {why}", markup=False, highlight=False)
    confirm_long_work(timed.left_s, what, yes)
    return timed.per_run_s


def _print_next(folder: Path) -> None:
    console.print("\nThree things to try next:")
    for command in (
        "levelfield study run cifar10-cpu --data-dir DATA   # real colour images: 4 networks, 3 seeds, half an hour",
        "levelfield train --model resnet_mini --data digits --set budget.epochs=5 --out runs/first",
        "levelfield study run quickstart --seeds 6          # only the new seeds are trained",
    ):
        console.print("  " + command, markup=False, highlight=False, soft_wrap=True)
    console.print(f"The page: {folder / 'report.html'}", highlight=False)


def report(
    name: Name,
    scale: ScaleName = None,
    set_: SetAsRun = None,
    out: Out = None,
    data_dir: DataDir = None,
    plugin: PluginsAsRun = None,
    json: Json = False,
) -> None:
    """Print a study's table, every row in it, `not run` where nothing was measured; write it where runs are.

    Changes and plugins are those that the folder was run with; with others (--set) the table is printed, not written.
    Example: `levelfield study report outgrid-cifar100`
    """
    from levelfield.studies.results.outputs import is_of, report_study

    study, folder, asked = as_asked(name, scale, out, set_, plugin, data_dir)
    written = is_of(folder, asked)
    _show(report_study(study, folder, asked), folder, json, written)


def _show(table: Any, folder: Path, json: bool, written: bool = True) -> None:
    """Print a table; where it was `written`, name its page too."""
    from levelfield.tables.text.json import to_json
    from levelfield.tables.text.terminal import to_rich

    if json:
        print_json(to_json(table))
        return
    console.print(to_rich(table))
    if written and (folder / "report.html").is_file():
        console.print(f"page: {folder / 'report.html'}", highlight=False)


app.command()(plan)
app.command()(run)
app.command()(status)
app.command()(report)
app.command("pick")(pick_)
app.command()(sweep)
app.command()(merge)
app.command()(rm)
